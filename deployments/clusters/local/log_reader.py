"""Reads pages of an instance's log, line by line: never a whole file in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deployments.clusters.base import LogMatches, LogPage, LogQuery
from deployments.clusters.local.log_writer import count_lines, log_files
from deployments.clusters.log_pages import matches_of, page_of


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a log: the lines ``begin`` to ``end``, without ``end``."""

    path: str
    begin: int
    end: int

    def lines(self, skipped: int) -> Iterator[str]:
        """From line ``begin + skipped`` on; none of a file that rotation removed meanwhile."""
        try:
            with open(self.path, "rb") as file:
                for line in itertools.islice(file, skipped, self.end - self.begin):
                    yield line.rstrip(b"\n").decode("utf-8", "replace")
        except FileNotFoundError:
            return


def read_page(folder: Path, query: LogQuery, run: int) -> LogPage:
    """A page of the log in ``folder``; ``run`` is the program now or last started, which has a predecessor."""
    return page_of(find_parts(folder, run - 1 if query.previous else None), query)


def find_matches(folder: Path, query: LogQuery, run: int) -> LogMatches:
    """``Cluster.search_log`` of the log in ``folder``."""
    return matches_of(find_parts(folder, run - 1 if query.previous else None), query)


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
