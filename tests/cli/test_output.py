"""Tables, and text that must not steer a terminal."""

from __future__ import annotations

import io

import pytest

from console.cli.output import coloured, local_time, log_line, plain, render_list, render_pairs


class Screen(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_list_is_columns_without_lines() -> None:
    text = render_list(("NAME", "STATUS"), [("a", "Running"), ("longer", 3)], io.StringIO())
    assert text.splitlines() == ["NAME    STATUS", "a       Running", "longer  3"]


def test_what_goes_through_a_pipe_is_never_cut() -> None:
    long = "x" * 5000
    assert long in render_list(("A", "B"), [(long, "end")], io.StringIO())
    assert f"{long} | end" not in render_pairs([("a", long)], io.StringIO())
    assert long in render_pairs([("a", long)], io.StringIO())


def test_wide_characters_keep_the_columns_straight() -> None:
    text = render_list(("NAME", "B"), [("模型", "x"), ("abcd", "x")], io.StringIO())
    assert text.splitlines()[1:] == ["模型  x", "abcd  x"]


def test_brackets_in_text_are_text() -> None:
    assert "[bold]" in render_list(("A",), [("[bold]",)], io.StringIO())


def test_a_terminal_has_colours_unless_somebody_said_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32m" in render_list(("A",), [("Running",)], Screen())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in render_list(("A",), [("Running",)], Screen())


@pytest.mark.parametrize(
    "text",
    [
        "a\x1b[2Jb",
        "a\x1b]0;title\x07b",
        "a\x1b]8;;http://x\x1b\\b",
        "a\x1bPq\x1b\\b",
        "a\rb",
        "a\x9b2Jb",
        "a\x1bcb",
        "a\x00\x7fb",
        "a\x1b[31mb",
    ],
)
def test_nothing_of_the_server_steers_the_terminal(text: str) -> None:
    assert plain(text) == "ab"


def test_a_log_keeps_its_colours_and_gives_them_back() -> None:
    assert coloured("\x1b[31mred\x1b[2J") == "\x1b[31mred\x1b[0m"


def test_a_log_in_a_file_is_as_it_was_written() -> None:
    line = "\x1b[31mred\x1b[2J\r"
    assert log_line(line, io.StringIO()) == line


def test_a_log_without_colours_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert log_line("\x1b[31mred", Screen()) == "red"


def test_no_instant_stays_none() -> None:
    assert local_time("") == ""
