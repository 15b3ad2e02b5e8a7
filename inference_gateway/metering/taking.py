"""From spools to the tables, each line once: how far a spool was taken is written in the same transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from django.db import connection, transaction
from django.db.models import F, Model, Q, QuerySet, Sum
from django.utils import timezone

from inference_gateway.metering.records import Record, read_line, read_lines
from inference_gateway.usage_models import UsageEvent, UsageHour, UsageSpool

logger = logging.getLogger(__name__)

KEEP_EVENTS = timedelta(days=35)
#: And so many, the newest: at hundreds a second a month of them would be a billion.
MOST_EVENTS = 1_000_000
FORGOTTEN_AT_ONCE = 5_000


class Sums(NamedTuple):
    """What is added to an hour."""

    requests: int
    failed: int
    prompt_tokens: int
    completion_tokens: int


class HourKey(NamedTuple):
    """``usage_hours_once``. ``hour`` is Unix time in seconds."""

    hour: float
    service_uid: str
    service_name: str
    workspace_id: int
    person_id: int
    key_id: int
    proof: str
    model: str


def find_taken(spool: str) -> int:
    """How many bytes of a spool are in the tables."""
    return UsageSpool.objects.filter(name=spool).values_list("taken", flat=True).first() or 0


def take(spool: str, start: int, data: bytes) -> int:
    """Take whole lines that begin at byte ``start`` of the spool; how far it is taken now.

    Where another process took them first, nothing happens but that its number is returned.
    """
    records = _read(data)
    with transaction.atomic():
        if start == 0:
            UsageSpool.objects.get_or_create(name=spool)
        if not UsageSpool.objects.filter(name=spool, taken=start).update(taken=start + len(data)):
            return find_taken(spool)
        _add_events(records)
        _add_to_hours(_sum_up(records))
    return start + len(data)


def forget(spool: str) -> None:
    """The spool is gone."""
    UsageSpool.objects.filter(name=spool).delete()


def forget_old_events() -> None:
    """Sums stay. A few thousand rows at a time: others write, too."""
    newest = UsageEvent.objects.order_by("-pk").values_list("pk", flat=True).first()
    if newest is None:
        return
    old = UsageEvent.objects.filter(Q(pk__lte=newest - MOST_EVENTS) | Q(at__lt=timezone.now() - KEEP_EVENTS))
    while found := list(old.order_by("pk").values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE]):
        UsageEvent.objects.filter(pk__in=found).delete()


def read_used(subject: str, now: datetime) -> tuple[int, int]:
    """Tokens of today and of this month by a ``principals.Subject``."""
    kind, _, numbers = subject.partition(":")
    number, _, workspace = numbers.partition("@")
    rows = UsageHour.objects.filter(**{f"{kind}_id": int(number)})
    if workspace:
        rows = rows.filter(workspace_id=int(workspace))
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return _sum_tokens(rows.filter(hour__gte=day)), _sum_tokens(rows.filter(hour__gte=day.replace(day=1)))


def _sum_tokens(rows: QuerySet[UsageHour]) -> int:
    summed = rows.aggregate(tokens=Sum(F("prompt_tokens") + F("completion_tokens")))
    return int(summed["tokens"] or 0)


def _read(data: bytes) -> list[Record]:
    """All that can be read."""
    try:
        return read_lines(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return [record for line in data.splitlines() if (record := _read_line(line)) is not None]


def _read_line(line: bytes) -> Record | None:
    try:
        return read_line(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        logger.error("a line of usage cannot be read and is left out: %r", line[:200])
        return None


def _add_events(records: Sequence[Record]) -> None:
    rows = [(_adapt(record.at), *msgspec.structs.astuple(record)[1:]) for record in records]
    _insert(UsageEvent, Record.__struct_fields__, rows)


def _add_to_hours(hours: Mapping[HourKey, Sums]) -> None:
    """Add to the sums that are there, in one statement: other processes add to the same hours."""
    table = UsageHour._meta.db_table
    sums = ", ".join(f"{name} = {table}.{name} + EXCLUDED.{name}" for name in Sums._fields)
    rows = [(_adapt(key.hour), *key[1:], *added) for key, added in hours.items()]
    end = f"ON CONFLICT ({', '.join(HourKey._fields)}) DO UPDATE SET {sums}"
    _insert(UsageHour, HourKey._fields + Sums._fields, rows, end)


def _insert(model: type[Model], columns: Sequence[str], rows: list[tuple[Any, ...]], end: str = "") -> None:
    """By the columns' names alone: a model's object for each event would cost more than the request that it is of."""
    names, values = ", ".join(columns), ", ".join(["%s"] * len(columns))
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {model._meta.db_table} ({names}) VALUES ({values}) {end}", rows)  # noqa: S608


def _adapt(at: float) -> datetime | str:
    """An instant as the database's driver takes it."""
    instant = datetime.fromtimestamp(at, UTC)
    # As Django writes it, in half the time.
    return instant.isoformat(" ").removesuffix("+00:00") if connection.vendor == "sqlite" else instant


def _sum_up(records: Iterable[Record]) -> dict[HourKey, Sums]:
    found: dict[HourKey, list[int]] = {}
    for one in records:
        key = HourKey(
            one.at // 3600 * 3600,
            one.service_uid,
            one.service_name,
            one.workspace_id,
            one.person_id,
            one.key_id,
            one.proof,
            one.model,
        )
        sums = found.setdefault(key, [0, 0, 0, 0])
        sums[0] += 1
        sums[1] += one.status >= 400
        sums[2] += one.prompt_tokens
        sums[3] += one.completion_tokens
    # In one order everywhere: two processes that add to the same hours do not wait for each other in a circle.
    return {key: Sums(*found[key]) for key in sorted(found)}
