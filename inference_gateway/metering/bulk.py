"""Rows into a table, many at once. They come as often as requests do.

A model's object for each, or a statement for each, would cost more than much of the request that it is of.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from django.db import connection

#: Rows of one statement on SQLite, the most first. sqlite3 lets go of the interpreter twice a statement, and has to get
#: it back from the event loop. Each length is kept prepared, so they are few; 32,766 values is the most that all allow.
SIZES = (256, 32, 4, 1)


class Into(NamedTuple):
    """``end`` follows the values: what to do where a row is there already."""

    table: str
    columns: tuple[str, ...]
    end: str = ""


def insert(into: Into, values: list[Any]) -> None:
    """``values`` are the rows' behind one another, as the database's driver takes them."""
    if connection.vendor == "sqlite":
        _insert_at_once(into, values)
        return
    width = len(into.columns)
    rows = [values[at : at + width] for at in range(0, len(values), width)]
    with connection.cursor() as cursor:
        cursor.executemany(_render(into, 1, "%s"), rows)


def _insert_at_once(into: Into, values: list[Any]) -> None:
    """Past Django's cursor, which would look for "%s" in long statements each time."""
    start = 0
    with connection.wrap_database_errors:
        for size in SIZES:
            statement, length = _render(into, size, "?"), size * len(into.columns)
            for end in range(start + length, len(values) + 1, length):
                connection.connection.execute(statement, values[start:end])
                start = end


@lru_cache
def _render(into: Into, rows: int, value: str) -> str:
    row = f"({', '.join([value] * len(into.columns))})"
    names, values = ", ".join(into.columns), ", ".join([row] * rows)
    return f"INSERT INTO {into.table} ({names}) VALUES {values} {into.end}"  # noqa: S608


def copy(into: Into, rows: Iterable[tuple[Any, ...]]) -> None:
    """PostgreSQL only: a tenth of what statements cost."""
    with (
        connection.wrap_database_errors,
        connection.cursor() as cursor,
        cursor.copy(f"COPY {into.table} ({', '.join(into.columns)}) FROM STDIN") as stream,
    ):
        for row in rows:
            stream.write_row(row)
