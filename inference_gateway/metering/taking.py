"""From spools to the tables, each line once: how far a spool was taken is written in the same transaction."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q, QuerySet, Sum
from django.utils import timezone

from inference_gateway.metering.records import Record, read_line
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
    """``usage_hours_once``."""

    hour: datetime
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
    records = [record for line in data.splitlines() if (record := _read(line)) is not None]
    with transaction.atomic():
        if start == 0:
            UsageSpool.objects.get_or_create(name=spool)
        if not UsageSpool.objects.filter(name=spool, taken=start).update(taken=start + len(data)):
            return find_taken(spool)
        _insert(records)
        for key, sums in _sum_up(records).items():
            _add(key, sums)
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


def _read(line: bytes) -> Record | None:
    try:
        return read_line(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        logger.error("a line of usage cannot be read and is left out: %r", line[:200])
        return None


def _insert(records: Sequence[Record]) -> None:
    """By the columns' names alone: a model's object for each event would cost more than the request that it is of."""
    table = connection.ops.quote_name(UsageEvent._meta.db_table)
    columns = ", ".join(map(connection.ops.quote_name, Record.__struct_fields__))
    adapt = connection.ops.adapt_datetimefield_value
    rows = [(adapt(datetime.fromtimestamp(record.at, UTC)), *msgspec.structs.astuple(record)[1:]) for record in records]
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} ({columns}) VALUES ({', '.join(['%s'] * len(Record.__struct_fields__))})",  # noqa: S608
            rows,
        )


def _sum_up(records: Sequence[Record]) -> dict[HourKey, Sums]:
    found: dict[tuple[float, str, str, int, int, int, str, str], list[int]] = {}
    for one in records:
        key = (
            one.at // 3600,
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
    hours = {HourKey(datetime.fromtimestamp(key[0] * 3600, UTC), *key[1:]): Sums(*sums) for key, sums in found.items()}
    # In one order everywhere: two processes that add to the same hours do not wait for each other in a circle.
    return dict(sorted(hours.items()))


def _add(key: HourKey, sums: Sums) -> None:
    rows = UsageHour.objects.filter(**key._asdict())
    added = {name: F(name) + value for name, value in sums._asdict().items()}
    if rows.update(**added):
        return
    try:
        with transaction.atomic():
            UsageHour.objects.create(**key._asdict(), **sums._asdict())
    except IntegrityError:  # another process was first
        rows.update(**added)
