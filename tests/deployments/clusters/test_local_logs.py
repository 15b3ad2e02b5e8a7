"""Logs of the local cluster: any bytes in, numbered lines of bounded length out, within a bounded space."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deployments.clusters.base import LogMatches, LogQuery
from deployments.clusters.local.log_reader import find_matches, read_page
from deployments.clusters.local.log_writer import LINE_CHARACTERS, LogWriter, log_files


def texts(folder: Path, run: int = 0, **query: object) -> list[str]:
    page = read_page(folder, LogQuery("i", **query), run)  # type: ignore[arg-type]
    return [text.partition(" ")[2] for _, text in page.lines]


def write(folder: Path, *chunks: bytes) -> list[str]:
    log = LogWriter(str(folder))
    for chunk in chunks:
        log.feed(chunk)
    log.finish_run()
    return texts(folder)


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([b"one\ntwo\n"], ["one", "two"]),
        ([b"o", b"ne\nt", b"wo"], ["one", "two"]),
        ([b"one\r\ntwo\r", b"\nthree\n"], ["one", "two", "three"]),
        ([b"\n\nx\n"], ["", "", "x"]),
        ([b"10%\r20%\r", b"30%\rdone\n"], ["10%", "20%", "30%", "done"]),
        ([b"\rbar\r"], ["bar"]),
        (["é".encode()[:1], "é".encode()[1:] + b"\n"], ["é"]),
        ([b"\xff\xfe bad\n"], ["\\xff\\xfe bad"]),
        ([b"\xe4\xb8"], ["\\xe4\\xb8"]),
        ([b"nul \0 end\n"], ["nul \\x00 end"]),
        (["a\u2028b\x85c\x0cd\n".encode()], ["a\u2028b\x85c\x0cd"]),
        ([], []),
    ],
)
def test_bytes_become_lines(tmp_path: Path, chunks: list[bytes], lines: list[str]) -> None:
    assert write(tmp_path, *chunks) == lines


def test_a_line_without_end_is_cut_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    lines = write(tmp_path, *([b"x" * 10_000] * 10), b"\nnext\n")

    assert "".join(lines[:-1]) == "x" * 100_000
    assert max(map(len, lines)) == LINE_CHARACTERS
    assert lines[-1] == "next"


def test_each_line_has_its_time(tmp_path: Path) -> None:
    write(tmp_path, b"hello\n")

    ((number, text),) = read_page(tmp_path, LogQuery("i"), 0).lines
    assert number == 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z hello", text)


def test_rotation_keeps_the_newest_lines_under_their_old_numbers(tmp_path: Path) -> None:
    log = LogWriter(str(tmp_path), file_bytes=1000)
    for number in range(1000):
        log.feed(f"line {number}\n".encode())

    page = read_page(tmp_path, LogQuery("i", first_line=0), 0)

    assert page.lines[0][0] > 0
    assert all(text.endswith(f" line {number}") for number, text in page.lines)
    assert [number for number, _ in page.lines] == list(range(page.lines[0][0], 1000))
    assert (page.next_line, page.total) == (1000, len(page.lines))
    assert sum(Path(path).stat().st_size for _, _, path in log_files(str(tmp_path))) <= 5200


def test_pages_join_across_files(tmp_path: Path) -> None:
    log = LogWriter(str(tmp_path), file_bytes=1000)
    for number in range(100):
        log.feed(f"line {number}\n".encode())
    assert len(log_files(str(tmp_path))) > 2

    collected, first = [], 0
    while (page := read_page(tmp_path, LogQuery("i", first_line=first, limit=7), 0)).lines:
        collected += [number for number, _ in page.lines]
        first = page.next_line

    assert collected == list(range(100))


def test_a_search_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    log = LogWriter(str(tmp_path), file_bytes=1000)
    for number in range(100):
        log.feed(f"{'Even' if number % 2 == 0 else 'odd'} {number}\n".encode())

    first = read_page(tmp_path, LogQuery("i", first_line=0, limit=30, keyword="eveN"), 0)
    second = read_page(tmp_path, LogQuery("i", first_line=first.next_line, limit=30, keyword="even"), 0)
    last = read_page(tmp_path, LogQuery("i", limit=2, keyword="even"), 0)

    assert [number for number, _ in first.lines + second.lines] == list(range(0, 100, 2))
    assert (first.total, second.total) == (50, 50)
    assert second.next_line == 100
    assert [number for number, _ in last.lines] == [96, 98]


def test_a_search_does_not_find_the_time(tmp_path: Path) -> None:
    write(tmp_path, b"hello\n")

    assert read_page(tmp_path, LogQuery("i", keyword="T"), 0).total == 0


def test_a_new_writer_goes_on_counting(tmp_path: Path) -> None:
    write(tmp_path, b"one\ntwo\n")
    again = LogWriter(str(tmp_path))
    again.start_run(1)
    again.feed(b"three\n")

    assert read_page(tmp_path, LogQuery("i"), 1).next_line == 3
    assert texts(tmp_path, run=1, previous=True) == ["one", "two"]


def test_a_run_without_output_has_an_empty_log(tmp_path: Path) -> None:
    log = LogWriter(str(tmp_path))
    log.start_run(0)
    log.feed(b"first\n")
    log.start_run(1)
    log.start_run(2)
    log.feed(b"third\n")

    assert texts(tmp_path, run=2, previous=True) == []


def test_the_tail_is_short_however_long_the_lines(tmp_path: Path) -> None:
    log = LogWriter(str(tmp_path))
    log.feed(b"".join(b"%d %s\n" % (number, b"y" * 5000) for number in range(50)))

    assert [line.partition(" ")[0] for line in log.tail] == [str(number) for number in range(30, 50)]
    assert max(map(len, log.tail)) == 2000


def test_a_log_that_cannot_be_written_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    log = LogWriter(str(tmp_path / "log"))
    (tmp_path / "log").rmdir()

    log.feed(b"lost\n")
    (tmp_path / "log").mkdir()
    log.feed(b"kept\n")
    log.finish_run()

    assert texts(tmp_path / "log") == ["kept"]


def test_matches_are_numbered_around_a_line_and_counted_over_all(tmp_path: Path) -> None:
    write(tmp_path, *(b"odd\n" if number % 2 else b"\x1b[31mev\x1b[0men\n" for number in range(100)))

    near = find_matches(tmp_path, LogQuery("i", keyword="EVEN", first_line=50, limit=2), 0)
    assert (near.total, near.before, near.numbers) == (50, 23, (46, 48, 50, 52))
    end = find_matches(tmp_path, LogQuery("i", keyword="even", limit=2), 0)
    assert (end.before, end.numbers) == (48, (96, 98))
    assert find_matches(tmp_path, LogQuery("i", keyword="T", limit=9), 0) == LogMatches()
    assert find_matches(tmp_path / "none", LogQuery("i", keyword="even"), 0) == LogMatches()


def test_a_page_says_which_lines_are_kept_and_ends_sooner_where_they_are_long(tmp_path: Path) -> None:
    write(tmp_path, *[b"x" * 1000 + b"\n"] * 10)

    bounds = read_page(tmp_path, LogQuery("i", limit=0), 0)
    assert (bounds.lines, bounds.begin, bounds.end) == ((), 0, 10)
    first = read_page(tmp_path, LogQuery("i", first_line=2, most_characters=3200), 0)
    assert [number for number, _ in first.lines] == [2, 3, 4]
    assert (first.next_line, first.end) == (5, 10)
    last = read_page(tmp_path, LogQuery("i", most_characters=3200), 0)
    assert [number for number, _ in last.lines] == [7, 8, 9]
    assert len(read_page(tmp_path, LogQuery("i", first_line=0, most_characters=1), 0).lines) == 1
