"""Reads pages of an instance's log, line by line: never a whole file in memory."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deployments.clusters.base import LogPage, LogQuery
from deployments.clusters.local.log_writer import count_lines, log_files

MOST_LINES = 10_000  # a page
EMPTY = LogPage((), 0, 0)


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a log: the lines ``begin`` to ``end``, without ``end``."""

    path: str
    begin: int
    end: int


def read_page(folder: Path, query: LogQuery, run: int) -> LogPage:
    """A page of the log in ``folder``; ``run`` is the program now or last started, which has a predecessor.

    Lines keep their numbers for the log's whole life: after rotation the oldest kept is no longer 0.
    """
    parts = find_parts(folder, run - 1 if query.previous else None)
    if not parts or query.limit < 1:
        return EMPTY
    limit = min(query.limit, MOST_LINES)
    begin, end = parts[0].begin, parts[-1].end
    if query.keyword:
        return search(parts, query, limit)
    first = max(begin, end - limit if query.first_line is None else query.first_line)
    lines = tuple(itertools.islice(numbered(parts, first), limit))
    return LogPage(lines, lines[-1][0] + 1 if lines else end, end - begin)


def search(parts: list[Part], query: LogQuery, limit: int) -> LogPage:
    """The first ``limit`` matches from a line on, or the last ones; matches are counted over all lines."""
    keyword = query.keyword.casefold()
    first = query.first_line
    kept: deque[tuple[int, str]] = deque(maxlen=limit)
    total = 0
    for number, text in numbered(parts, parts[0].begin):
        # The time before the text is ours: "20" should not find every line of this century.
        if keyword not in text.partition(" ")[2].casefold():
            continue
        total += 1
        if first is None or (number >= first and len(kept) < limit):
            kept.append((number, text))
    is_cut = first is not None and len(kept) == limit
    return LogPage(tuple(kept), kept[-1][0] + 1 if is_cut else parts[-1].end, total)


def find_parts(folder: Path, run: int | None) -> list[Part]:
    """The files of one run, or of all, oldest first. Only the newest file has to be read to know its end."""
    files = log_files(str(folder))
    ends = [first for first, _, _ in files[1:]]
    if files:
        ends.append(files[-1][0] + count_lines(files[-1][2]))
    return [
        Part(path, first, end)
        for (first, of_run, path), end in zip(files, ends, strict=True)
        if run is None or of_run == run
    ]


def numbered(parts: list[Part], first: int) -> Iterator[tuple[int, str]]:
    """Lines from number ``first`` on. A file that rotation removes meanwhile is skipped."""
    for part in parts:
        if part.end <= first:
            continue
        try:
            with open(part.path, "rb") as file:
                skipped = max(first - part.begin, 0)
                wanted = itertools.islice(file, skipped, part.end - part.begin)
                for number, line in enumerate(wanted, part.begin + skipped):
                    yield number, line.rstrip(b"\n").decode("utf-8", "replace")
        except FileNotFoundError:
            continue
