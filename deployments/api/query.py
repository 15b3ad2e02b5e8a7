"""Parameters after the ``?``: unknown ones are passed over, wrong ones are named in a 400."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.utils.dateparse import parse_datetime
from rest_framework.request import Request

from deployments.api.errors import wrong

Row = TypeVar("Row", bound=Model)
MAX_PAGE = 1_000_000
MAX_PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list; pages are numbered from 1."""

    number: int
    size: int

    @property
    def first(self) -> int:
        return (self.number - 1) * self.size

    def of(self, rows: QuerySet[Row]) -> list[Row]:
        return list(rows[self.first : self.first + self.size])

    def of_list(self, items: Sequence[Any]) -> Sequence[Any]:
        return items[self.first : self.first + self.size]

    def count_of(self, total: int) -> int:
        """How many pages ``total`` entries are."""
        return -(-total // self.size)


def text(request: Request, name: str) -> str:
    """A parameter's text, "" where absent. NUL is refused: PostgreSQL cannot even compare with it."""
    value = request.query_params.get(name, "").strip()
    if "\0" in value:
        raise wrong(name, "text_nul", f"{name} holds a NUL character. Remove it.")
    return value


def whole(request: Request, name: str, default: int, low: int, high: int) -> int:
    value = text(request, name)
    if not value:
        return default
    if not re.fullmatch(r"[+-]?[0-9]{1,12}", value) or not low <= int(value) <= high:
        raise wrong(name, "out_of_range", f"{name} must be a whole number from {low} to {high}.")
    return int(value)


def flag(request: Request, name: str) -> bool | None:
    value = text(request, name).lower()
    if value not in {"", "true", "false", "1", "0"}:
        raise wrong(name, "invalid", f"{name} must be true or false.")
    return value in {"true", "1"} if value else None


def choice(request: Request, name: str, choices: Iterable[str], default: str = "") -> str:
    """One of ``choices``, whatever its case."""
    value = text(request, name)
    if not value:
        return default
    known = {one.lower(): one for one in choices}
    if value.lower() not in known:
        raise wrong(name, "unknown_value", f"{name} must be one of {', '.join(known.values())}.")
    return known[value.lower()]


def page(request: Request, *, number: str = "PageNumber", size: int = 100) -> Page:
    return Page(whole(request, number, 1, 1, MAX_PAGE), whole(request, "PageSize", size, 1, MAX_PAGE_SIZE))


def instant(request: Request, name: str) -> datetime | None:
    """A time, UTC unless it says otherwise."""
    value = text(request, name)
    if not value:
        return None
    # A + that nobody encoded arrives as a blank: 2026-01-02T03:04:05+00:00.
    value = re.sub(r"(T[0-9:.]+) ([0-9:]+)$", r"\1+\2", value)
    try:
        found = parse_datetime(value)
    except ValueError:
        found = None
    if found is None or not 1970 <= found.year <= 9000:
        raise wrong(name, "invalid", f"{name} must be a time such as 2026-01-31T12:00:00Z.")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def labels(request: Request, name: str) -> Mapping[str, str]:
    """A JSON object as text (sdk-wire.md §1); values as texts."""
    value = text(request, name)
    if not value:
        return {}
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or any(isinstance(one, dict | list) or one is None for one in found.values()):
        raise wrong(name, "invalid", f'{name} must be a JSON object of texts, such as {{"team": "a"}}.')
    return {key: label_text(one) for key, one in found.items()}


def label_text(value: object) -> str:
    """A label's value as text, a boolean in JSON's spelling."""
    return str(value).lower() if isinstance(value, bool) else str(value)
