"""Bytes done of all: the line that a program writes is read again, and said in words."""

from __future__ import annotations

import json

import pytest
from django.utils import translation

from deployments.bytes_done import (
    GIB,
    MIB,
    BytesDone,
    about,
    copying_words,
    loading_words,
    pause_seconds,
    read_line,
)
from deployments.words import Sentence, read_sentence, words_of


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (BytesDone(0, 70_002), "0.0 of 0.1 MiB copied (0 of 70002 bytes)"),
        (BytesDone(3 * MIB, 500 * MIB), "3.0 of 500.0 MiB copied (3145728 of 524288000 bytes)"),
        (BytesDone(GIB, 1500 * GIB), "1.0 of 1,500.0 GiB copied (1073741824 of 1610612736000 bytes)"),
    ],
)
def test_a_line_is_for_people_and_read_again_whatever_stands_before_it(found: BytesDone, line: str) -> None:
    assert found.line("copied") == line
    assert read_line(f"2026-11-22 12:00:00,000 INFO slipway.engine {line}") == found


@pytest.mark.parametrize(
    "line",
    [
        "",
        "bytes)",
        "read (12 bytes)",
        "(2 of 1 bytes)",
        "(-1 of 4 bytes)",
        "(1 of 4 bytes) and more",
        f"({'9' * 19} of {'9' * 19} bytes)",
        "(١ of ٤ bytes)",
    ],
)
def test_any_other_line_says_nothing_of_bytes(line: str) -> None:
    assert read_line(line) is None


def test_lines_come_every_second_and_seldom_in_what_takes_long() -> None:
    assert [pause_seconds(elapsed) for elapsed in (0, 20, 60, 100, 3600)] == [1.0, 1.0, 3.0, 5.0, 5.0]


def test_loading_is_said_in_the_unit_that_fits() -> None:
    assert loading_words() == "Loading weights."
    assert loading_words(BytesDone(12 * MIB, 94 * MIB)) == "Loading weights: 12 of 94 MiB."
    assert loading_words(BytesDone(GIB, 5 * GIB // 2)) == "Loading weights: 1.0 of 2.5 GiB."


@pytest.mark.parametrize(
    ("found", "rate", "words"),
    [
        (None, None, "Copying the files of oss://b/qwen/."),
        (BytesDone(0, 94 * MIB), None, "Copying files: 0 of 94 MiB (oss://b/qwen/)."),
        (
            BytesDone(40 * MIB, 94 * MIB),
            4.5 * MIB,
            "Copying files: 40 of 94 MiB, 4.5 MiB/s, about 10 s left (oss://b/qwen/).",
        ),
        (BytesDone(3 * GIB, 7 * GIB), None, "Copying files: 3.0 of 7.0 GiB (oss://b/qwen/)."),
        (
            BytesDone(3 * GIB, 7 * GIB),
            102.4 * MIB,
            "Copying files: 3.0 of 7.0 GiB, 102 MiB/s, about 40 s left (oss://b/qwen/).",
        ),
        (BytesDone(3 * GIB, 7 * GIB), 10.0, "Copying files: 3.0 of 7.0 GiB (oss://b/qwen/)."),
        (
            BytesDone(7 * GIB, 7 * GIB),
            100.0 * MIB,
            "Copying files: 7.0 of 7.0 GiB, 100 MiB/s, about 1 s left (oss://b/qwen/).",
        ),
    ],
)
def test_a_copy_says_how_much_how_fast_and_how_long_where_that_is_known(
    found: BytesDone | None, rate: float | None, words: str
) -> None:
    assert copying_words("oss://b/qwen/", found, rate) == words


def test_what_is_kept_of_a_step_says_it_again_in_the_reader_s_words() -> None:
    step = copying_words("oss://b/qwen/", BytesDone(3 * GIB, 7 * GIB), 102.4 * MIB)
    kept = json.loads(json.dumps(words_of(step)))
    again = read_sentence(str(step), kept)
    assert isinstance(again, Sentence)
    with translation.override("fa"):
        assert "۳٫۰" in again.translated()
        assert "۴۰ ثانیه" in again.translated()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (9.6, "10 s"),
        (43, "45 s"),
        (119, "120 s"),
        (170, "3 min"),
        (3599, "1 h 0 min"),
        (8999, "2 h 30 min"),
    ],
)
def test_an_estimate_is_no_more_exact_than_it_is(seconds: float, words: str) -> None:
    assert about(seconds) == words
