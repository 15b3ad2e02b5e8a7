"""From spools to the tables, each line once: how far a spool was taken is written in the same transaction."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
from django.db import connection, transaction
from django.db.models import F, QuerySet, Sum
from django.utils import timezone
from msgspec.structs import astuple

from inference_gateway.metering.bulk import SIZES, Into, copy, insert
from inference_gateway.metering.records import Record, read_line, read_lines
from inference_gateway.usage_models import UsageEvent, UsageHour, UsageSpool

logger = logging.getLogger(__name__)

KEEP_EVENTS = timedelta(days=35)
#: And so many, the newest: at hundreds a second a month of them would be a billion.
MOST_EVENTS = 1_000_000
FORGOTTEN_AT_ONCE = 5_000
#: While these are read the event loop waits; then the database has its turn, and the loop goes on.
LINES_AT_ONCE = 2 * SIZES[0]


class Sums(NamedTuple):
    """What is added to an hour."""

    requests: int
    failed: int
    prompt_tokens: int
    completion_tokens: int


#: Whose usage an hour sums up: ``usage_hours_once`` but the hour.
WHOSE = ("service_uid", "service_name", "workspace_id", "person_id", "key_id", "proof", "model")
#: What is to be added to which hour: Unix time in seconds, and the values of ``WHOSE``.
Hours = defaultdict[tuple[float, tuple[str | int, ...]], list[Record]]

_whose = attrgetter(*WHOSE)
_EVENTS = Into(UsageEvent._meta.db_table, Record.__struct_fields__)
_AT, _IS_COUNTED = (slice(_EVENTS.columns.index(name), None, len(_EVENTS.columns)) for name in ("at", "is_counted"))
#: The sums that are there grow in the statement itself: other processes add to the same hours.
_HOURS = Into(
    UsageHour._meta.db_table,
    ("hour", *WHOSE, *Sums._fields),
    f"ON CONFLICT (hour, {', '.join(WHOSE)}) DO UPDATE SET "
    + ", ".join(f"{name} = {UsageHour._meta.db_table}.{name} + EXCLUDED.{name}" for name in Sums._fields),
)


def find_taken(spool: str) -> int:
    """How many bytes of a spool are in the tables."""
    return UsageSpool.objects.filter(name=spool).values_list("taken", flat=True).first() or 0


def take(spool: str, start: int, data: bytes) -> int:
    """Take whole lines that begin at byte ``start`` of the spool; how far it is taken now.

    Where another process took them first, nothing happens but that its number is returned.
    """
    hours: Hours = defaultdict(list)
    with transaction.atomic():
        if start == 0:
            UsageSpool.objects.get_or_create(name=spool)
        if not UsageSpool.objects.filter(name=spool, taken=start).update(taken=start + len(data)):
            return find_taken(spool)
        for records in _read(data):
            _add_events(records)
            for record in records:
                hours[record.at // 3600 * 3600, _whose(record)].append(record)
        _add_to_hours(hours)
    return start + len(data)


def forget(spool: str) -> None:
    """The spool is gone."""
    UsageSpool.objects.filter(name=spool).delete()


def forget_surplus_events() -> None:
    """Sums stay. A few thousand rows at a time: others write, too."""
    newest = UsageEvent.objects.order_by("-pk").values_list("pk", flat=True).first()
    if newest is None:
        return
    surplus = UsageEvent.objects.filter(pk__lte=newest - MOST_EVENTS)
    pks = surplus.order_by("pk").values_list("pk", flat=True)
    while end := pks[FORGOTTEN_AT_ONCE - 1 : FORGOTTEN_AT_ONCE].first():
        surplus.filter(pk__lte=end).delete()
    surplus.delete()


def forget_old_events() -> None:
    """Wherever they are: rows are in the order of taking, what a process left that died is taken late, clocks are set.

    Reads the whole table: once an hour that costs less than an index by time, which each request would pay for.
    """
    old = UsageEvent.objects.filter(at__lt=timezone.now() - KEEP_EVENTS)
    last = 0
    while found := list(old.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE]):
        last = found[-1]
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


def _read(data: bytes) -> Iterator[list[Record]]:
    """All that can be read, some at a time."""
    lines = data.splitlines()
    for start in range(0, len(lines), LINES_AT_ONCE):
        some = lines[start : start + LINES_AT_ONCE]
        try:
            yield read_lines(b"\n".join(some))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            yield [record for line in some if (record := _read_line(line)) is not None]


def _read_line(line: bytes) -> Record | None:
    try:
        return read_line(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        logger.error("a line of usage cannot be read and is left out: %r", line[:200])
        return None


def _add_events(records: list[Record]) -> None:
    if connection.vendor == "postgresql":
        copy(_EVENTS, ((f"{_render_instant(at)}+00", *rest) for at, *rest in map(astuple, records)))
        return
    values = list(chain.from_iterable(map(astuple, records)))
    values[_AT] = map(_render_instant, values[_AT])
    # As SQLite has it: for each bool sqlite3 would look for somebody who adapts it.
    values[_IS_COUNTED] = map(int, values[_IS_COUNTED])
    insert(_EVENTS, values)


def _render_instant(at: float) -> str:
    """As Django writes it into SQLite, in a fraction of the time."""
    second = int(at)
    microseconds = round((at - second) * 1e6)
    if 0 < microseconds < 1_000_000:
        return f"{_render_second(second)}.{microseconds:06}"
    return datetime.fromtimestamp(at, UTC).isoformat(" ").removesuffix("+00:00")


@lru_cache(maxsize=4)
def _render_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat(" ").removesuffix("+00:00")


def _add_to_hours(hours: Hours) -> None:
    adapt = connection.ops.adapt_datetimefield_value
    values: list[Any] = []
    # In one order everywhere: two processes that add to the same hours do not wait for each other in a circle.
    for hour, whose in sorted(hours):
        values += adapt(datetime.fromtimestamp(hour, UTC)), *whose, *_sum_up(hours[hour, whose])
    insert(_HOURS, values)


def _sum_up(records: list[Record]) -> Sums:
    return Sums(
        requests=len(records),
        failed=sum([one.status >= 400 for one in records]),
        prompt_tokens=sum([one.prompt_tokens for one in records]),
        completion_tokens=sum([one.completion_tokens for one in records]),
    )
