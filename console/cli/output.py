"""What is printed: tables for people, JSON for programs, and nothing that takes over a terminal."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TextIO

import click
from rich.box import ASCII
from rich.console import Console
from rich.table import Table
from rich.text import Text

STATUS_STYLES = {
    "Running": "green",
    "Normal": "",
    "Failed": "bold red",
    "DeleteFailed": "bold red",
    "Warning": "yellow",
    "Stopped": "dim",
}
#: Colours (SGR) are the only escape sequences let through; the others move cursors and rename windows.
_COLOUR = r"\x1b\[[0-9;:]*m"
_ESCAPE = re.compile(
    rf"(?P<colour>{_COLOUR})"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC, DCS and other strings
    r"|\x1b[0-Z\\-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


def console_for(stream: TextIO) -> Console:
    """Rich on a stream. A pipe has no width, so nothing that goes through one is ever cut."""
    width = None if stream.isatty() else 100_000
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def has_colours(stream: TextIO) -> bool:
    """Whether colours belong there: a terminal, and nobody who said NO_COLOR."""
    console = console_for(stream)
    return console.is_terminal and not console.no_color


def plain(text: str) -> str:
    """Text of the server without control characters: a message must not steer the terminal."""
    return _ESCAPE.sub("", text.replace("\r\n", "\n"))


def coloured(text: str) -> str:
    """The same with its colours, each line ending in the terminal's own."""
    cleaned = _ESCAPE.sub(lambda found: found["colour"] or "", text.replace("\r\n", "\n"))
    return f"{cleaned}\x1b[0m" if "\x1b" in cleaned else cleaned


def dimmed(text: str, stream: TextIO) -> str:
    """Text that is less important than what is around it."""
    return click.style(text, dim=True) if has_colours(stream) else text


def log_line(line: str, stream: TextIO) -> str:
    """A line of a log: as it is into a file or pipe, tamed on a terminal."""
    if not stream.isatty():
        return line
    return coloured(line) if has_colours(stream) else plain(line)


def render_list(columns: Sequence[str], rows: Iterable[Sequence[object]], stream: TextIO) -> str:
    """A list in columns, as eascmd's, without lines around it so that other programs can take it apart."""
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=not stream.isatty(), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    return _rendered(table, stream)


def render_pairs(rows: Iterable[tuple[str, object]], stream: TextIO) -> str:
    """A description in two columns with lines around them."""
    table = Table(box=ASCII, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, _cell(value))
    return _rendered(table, stream)


def _cell(value: object) -> Text:
    text = plain(str(value))
    return Text(text, style=STATUS_STYLES.get(text, ""))


def _rendered(table: Table, stream: TextIO) -> str:
    real = console_for(stream)
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=real.width,
        force_terminal=real.is_terminal,
        color_system="standard" if has_colours(stream) else None,
        highlight=False,
    )
    console.print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def print_list(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A list on standard output."""
    click.echo(render_list(columns, rows, sys.stdout))


def print_pairs(rows: Iterable[tuple[str, object]]) -> None:
    """A description on standard output."""
    click.echo(render_pairs(rows, sys.stdout))


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """JSON on standard output, as REST has it."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=indent))


def note(text: str) -> None:
    """A remark on standard error: never part of what a command answers."""
    click.echo(plain(text), err=True)


def local_time(text: str) -> str:
    """An instant of REST (UTC) in this machine's zone; nothing stays nothing."""
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return text
