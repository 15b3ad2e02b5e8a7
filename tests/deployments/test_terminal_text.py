"""Colours of terminals: what is kept of them, and what a program can print without harm."""

from __future__ import annotations

import pytest

from deployments.terminal_text import plain_text, styled_runs

ESC = "\x1b"


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("plain", [("plain", "")]),
        (f"{ESC}[31mred{ESC}[0m and not", [("red", "ansi-red"), (" and not", "")]),
        (f"{ESC}[1;4;92mloud{ESC}[m", [("loud", "ansi-green ansi-bold ansi-underline")]),
        (f"{ESC}[97;41mon red{ESC}[49m{ESC}[39m off", [("on red", "ansi-white ansi-on-red"), (" off", "")]),
        (f"{ESC}[38;5;196mcube{ESC}[38;2;0;0;255mtrue", [("cube", "ansi-red"), ("true", "ansi-blue")]),
        (f"{ESC}[38;5;240mdark{ESC}[38;5;255mlight", [("dark", "ansi-black"), ("light", "ansi-white")]),
        (f"{ESC}[2K{ESC}[1Gmoved{ESC}[?25l", [("moved", "")]),
        (f"{ESC}]8;;https://x.test{ESC}\\link{ESC}]8;;\x07", [("link", "")]),
        (f"a{ESC}[0mb\x07\x08c\td", [("abc\td", "")]),
        (f"cut {ESC}[3", [("cut 3", "")]),
        (f"{ESC}[38;5m{ESC}[38mlacking", [("lacking", "")]),
        (f"{ESC}[{'1;' * 500}31mmany", [("many", "ansi-bold")]),
        ("<b>&</b>", [("<b>&</b>", "")]),
        ("", []),
    ],
)
def test_a_line_becomes_runs_of_one_style(text: str, runs: list[tuple[str, str]]) -> None:
    assert styled_runs(text) == runs
    assert plain_text(text) == "".join(said for said, _ in runs)
