"""Pages of a log and what is found in it, from parts that know how to give their lines: the same for every cluster.

Lines keep their numbers for the log's whole life: after old ones were removed, the oldest kept is no longer 0.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

from deployments.clusters.base import LogMatches, LogPage, LogQuery
from deployments.terminal_text import plain_text

MOST_LINES = 10_000  # a page
EMPTY = LogPage((), 0, 0)


class Part(Protocol):
    """The lines ``begin`` to ``end`` of a log, without ``end``, kept together."""

    @property
    def begin(self) -> int: ...

    @property
    def end(self) -> int: ...

    def lines(self, skipped: int) -> Iterator[str]:
        """From line ``begin + skipped`` on; fewer where the part is removed meanwhile."""


def page_of(parts: Sequence[Part], query: LogQuery) -> LogPage:
    """``Cluster.read_log`` of a log whose parts these are, oldest first."""
    if not parts or query.limit < 0:
        return EMPTY
    limit = min(query.limit, MOST_LINES)
    begin, end = parts[0].begin, parts[-1].end
    if query.keyword:
        return read_matches(parts, query, limit)
    if not limit:
        return LogPage((), end, end - begin, begin, end)
    first = max(begin, end - limit if query.first_line is None else query.first_line)
    lines = list(itertools.islice(numbered(parts, first), limit))
    if query.most_characters is not None:
        lines = shorten(lines, query.most_characters, from_end=query.first_line is None)
    return LogPage(tuple(lines), lines[-1][0] + 1 if lines else end, end - begin, begin, end)


def shorten(lines: list[tuple[int, str]], most_characters: int, *, from_end: bool) -> list[tuple[int, str]]:
    """The first lines, or the last, that are no longer together; one at least."""
    room, kept = most_characters, 0
    for _, text in reversed(lines) if from_end else lines:
        room -= len(text)
        if room < 0 and kept:
            break
        kept += 1
    return lines[-kept:] if from_end and kept else lines[:kept]


def read_matches(parts: Sequence[Part], query: LogQuery, limit: int) -> LogPage:
    """The first ``limit`` matches from a line on, or the last ones; matches are counted over all lines."""
    begin, end, first = parts[0].begin, parts[-1].end, query.first_line
    kept: deque[tuple[int, str]] = deque(maxlen=limit)
    total = 0
    for number, text in matching(parts, query.keyword):
        total += 1
        if first is None or (number >= first and len(kept) < limit):
            kept.append((number, text))
    is_cut = first is not None and 0 < limit == len(kept)
    return LogPage(tuple(kept), kept[-1][0] + 1 if is_cut else end, total, begin, end)


def matches_of(parts: Sequence[Part], query: LogQuery) -> LogMatches:
    """``Cluster.search_log`` of a log whose parts these are, oldest first."""
    if not parts or not query.keyword or query.limit < 1:
        return LogMatches()
    limit = min(query.limit, MOST_LINES)
    here = parts[-1].end if query.first_line is None else query.first_line
    earlier: deque[int] = deque(maxlen=limit)
    later: list[int] = []
    total = passed = 0
    for number, _ in matching(parts, query.keyword):
        total += 1
        if number < here:
            passed += 1
            earlier.append(number)
        elif len(later) < limit:
            later.append(number)
    return LogMatches(total, passed - len(earlier), (*earlier, *later))


def matching(parts: Sequence[Part], keyword: str) -> Iterator[tuple[int, str]]:
    """The lines that hold ``keyword``, without regard to case, to colours, and to the time before the text.

    The time is ours: "20" should not find every line of this century.
    """
    wanted = keyword.casefold()
    for number, text in numbered(parts, parts[0].begin):
        said = text.partition(" ")[2]
        if wanted in (plain_text(said) if "\x1b" in said else said).casefold():
            yield number, text


def numbered(parts: Sequence[Part], first: int) -> Iterator[tuple[int, str]]:
    """Lines from number ``first`` on."""
    for part in parts:
        if part.end > first:
            skipped = max(first - part.begin, 0)
            yield from enumerate(part.lines(skipped), part.begin + skipped)
