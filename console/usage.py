"""What services were used for, summed up for a page and for REST: over time, by service, key, person or model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db.models import F, Q, QuerySet, Sum
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from deployments.models import ApiKey, Membership, Role, Workspace
from inference_gateway.models import UsageHour
from inference_gateway.principals import Proof

#: How many bars a range has, and the hours of each. Bars begin at full hours, quarters of a day, or days, in UTC.
RANGES = {"24h": (24, 1), "7d": (28, 6), "30d": (30, 24)}
RANGE_WORDS = {
    "24h": gettext_lazy("Last 24 hours"),
    "7d": gettext_lazy("Last 7 days"),
    "30d": gettext_lazy("Last 30 days"),
}
DIMENSIONS = {
    "service": gettext_lazy("Service"),
    "key": gettext_lazy("Key"),
    "person": gettext_lazy("Person"),
    "model": gettext_lazy("Model"),
}
COLUMNS: dict[str, tuple[str, ...]] = {
    "service": ("service_name",),
    "key": ("key_id", "proof"),
    "person": ("person_id", "proof"),
    "model": ("model",),
}
SUMS = ("requests", "failed", "prompt_tokens", "completion_tokens")
MOST_ROWS = 50
MOST_CSV_ROWS = 100_000
WIDTH, HEIGHT, GAP = 1000, 200, 4


@dataclass(slots=True)
class Used:
    """Sums of one bar, or of one row of the table."""

    name: str = ""
    begins_at: datetime | None = None
    requests: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def add(self, sums: Mapping[str, Any]) -> None:
        for name in SUMS:
            setattr(self, name, getattr(self, name) + int(sums[name] or 0))


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the chart: prompt tokens below, completion tokens on them."""

    x: float
    width: float
    prompt_y: float
    prompt_height: float
    completion_y: float
    completion_height: float


def visible_usage(reader: User, workspace: Workspace | None = None) -> QuerySet[UsageHour]:
    """Administrators see all, owners what concerns their workspaces, everybody their own."""
    rows = UsageHour.objects.order_by()
    if not reader.is_superuser:
        owned = Membership.objects.filter(user=reader, role=Role.OWNER).values("workspace_id")
        rows = rows.filter(Q(workspace_id__in=owned) | Q(person_id=reader.pk))
    return rows if workspace is None else rows.filter(workspace_id=workspace.pk)


def first_instant(kept: str, now: datetime) -> datetime:
    """When the first bar of a range begins."""
    count, hours = RANGES[kept]
    last = now.replace(minute=0, second=0, microsecond=0)
    last -= timedelta(hours=last.hour % hours)
    return last - timedelta(hours=hours * (count - 1))


def sum_over_time(rows: QuerySet[UsageHour], kept: str, now: datetime) -> list[Used]:
    """One entry a bar, oldest first: one query."""
    count, hours = RANGES[kept]
    begins_at = first_instant(kept, now)
    bars = [Used(begins_at=begins_at + timedelta(hours=hours * number)) for number in range(count)]
    sums = {name: Sum(name) for name in SUMS}
    for row in rows.filter(hour__gte=begins_at).values("hour").annotate(**sums):
        number = int((row["hour"] - begins_at) / timedelta(hours=hours))
        if number < count:
            bars[number].add(row)
    return bars


def total_of(bars: Sequence[Used]) -> Used:
    total = Used()
    for bar in bars:
        total.add({name: getattr(bar, name) for name in SUMS})
    return total


def sum_by(rows: QuerySet[UsageHour], dimension: str, kept: str, now: datetime) -> list[Used]:
    """One entry each, most tokens first, then most requests; the least of many are one entry at the end."""
    columns = COLUMNS[dimension]
    sums = {name: Sum(name) for name in SUMS}
    found = rows.filter(hour__gte=first_instant(kept, now)).values(*columns).annotate(**sums)
    ordered = sorted(
        found, key=lambda row: (-(row["prompt_tokens"] + row["completion_tokens"]), -row["requests"], str(row))
    )
    names = name_all(dimension, ordered[:MOST_ROWS])
    shown: dict[str, Used] = {}
    for name, row in zip(names, ordered, strict=False):
        shown.setdefault(name, Used(name=name)).add(row)
    entries = list(shown.values())
    if len(ordered) > MOST_ROWS:
        others = Used(name=_("Others"))
        for row in ordered[MOST_ROWS:]:
            others.add(row)
        entries.append(others)
    return entries


def name_all(dimension: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    """What people call what the rows are of. Keys and people may be gone by now."""
    if dimension == "key":
        keys = ApiKey.objects.filter(pk__in={row["key_id"] for row in rows})
        names = {key.pk: f"{key.name} ({key.prefix}…)" for key in keys}
        return [names.get(row["key_id"]) or unnamed(row["key_id"], row["proof"]) for row in rows]
    if dimension == "person":
        people = dict(User.objects.filter(pk__in={row["person_id"] for row in rows}).values_list("pk", "username"))
        return [people.get(row["person_id"]) or unnamed(row["person_id"], row["proof"]) for row in rows]
    column = COLUMNS[dimension][0]
    return [row[column] or _("unknown") for row in rows]


def unnamed(number: int, proof: str) -> str:
    if number:
        return _("gone (%(number)s)") % {"number": number}
    return _("Web chat") if proof == Proof.SESSION else _("Tokens of services")


def draw(bars: Sequence[Used]) -> list[Bar]:
    """The bars of the chart, the highest as high as it."""
    most = max((bar.tokens for bar in bars), default=0) or 1
    step = WIDTH / max(1, len(bars))
    drawn = []
    for number, bar in enumerate(bars):
        prompt, completion = HEIGHT * bar.prompt_tokens / most, HEIGHT * bar.completion_tokens / most
        drawn.append(
            Bar(
                x=round(number * step + GAP / 2, 1),
                width=round(step - GAP, 1),
                prompt_y=round(HEIGHT - prompt, 1),
                prompt_height=round(prompt, 1),
                completion_y=round(HEIGHT - prompt - completion, 1),
                completion_height=round(completion, 1),
            )
        )
    return drawn


@dataclass(frozen=True, slots=True)
class NamedHour:
    """An hour's row with what people call whose it is; a number for who is gone, "" where nobody is known."""

    row: UsageHour
    workspace: str
    person: str
    key: str


def hours_of(rows: QuerySet[UsageHour], kept: str, now: datetime) -> QuerySet[UsageHour]:
    """One row for each hour, service, person, key and model, oldest first."""
    return rows.filter(hour__gte=first_instant(kept, now)).order_by(F("hour").asc(), "pk")


def name_hours(found: Sequence[UsageHour]) -> Iterator[NamedHour]:
    """In three queries."""
    people = dict(User.objects.filter(pk__in={row.person_id for row in found}).values_list("pk", "username"))
    keys = {key.pk: key.prefix for key in ApiKey.objects.filter(pk__in={row.key_id for row in found})}
    slugs: dict[int, str] = defaultdict(str, Workspace.objects.values_list("pk", "slug"))
    for row in found:
        person = people.get(row.person_id, str(row.person_id or ""))
        yield NamedHour(row, slugs[row.workspace_id], person, keys.get(row.key_id, str(row.key_id or "")))


def csv_rows(rows: QuerySet[UsageHour], kept: str, now: datetime) -> Iterator[list[str]]:
    """A head, and the hours. English, as all that programs read."""
    yield ["hour", "workspace", "service", "person", "key", "proof", "model", *SUMS]
    for one in name_hours(list(hours_of(rows, kept, now)[:MOST_CSV_ROWS])):
        row = one.row
        texts = [one.workspace, row.service_name, one.person, one.key, row.proof, row.model]
        numbers = [str(getattr(row, name)) for name in SUMS]
        yield [f"{row.hour:%Y-%m-%dT%H:%MZ}", *(as_cell(text) for text in texts), *numbers]


def as_cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula: callers choose the names of models."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
