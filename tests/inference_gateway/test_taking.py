"""Lines of usage into the tables: all of each, in whatever numbers they come."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from django.db import DatabaseError, connection
from django.utils import timezone

from inference_gateway.metering import bulk, taking
from inference_gateway.metering.records import Record
from inference_gateway.metering.taking import LINES_AT_ONCE, find_taken, take
from inference_gateway.models import UsageEvent, UsageHour

pytestmark = [pytest.mark.backends, pytest.mark.django_db]

UID = "eas-m-taken"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
#: What means something in SQL, in one of its drivers or in PostgreSQL's COPY.
ODD_NAMES = (
    "o'clock",
    '"quoted"',
    "100%s",
    "%(at)s",
    "?1",
    "\\N",
    "a\tb\\t",
    "one\ntwo\r\n",
    "\\.",
    "模型 🙂",
    "NULL",
    "",
)
NUMBERS_OF_LINES = sorted(
    {number + more for number in (0, *bulk.SIZES, sum(bulk.SIZES), LINES_AT_ONCE) for more in (-1, 0, 1)} - {-1}
)


def record(number: int = 0) -> Record:
    return Record(
        at=NOON + number + 1 / 7,
        request_id=f"request-{number}",
        workspace_id=7,
        service_uid=UID,
        service_name="one",
        person_id=3,
        key_id=number % 3,
        proof="api_key",
        operation="chat",
        model=ODD_NAMES[number % len(ODD_NAMES)],
        status=200 if number % 5 else 502,
        error_code="" if number % 5 else "it's",
        ending="finished",
        prompt_tokens=number,
        completion_tokens=2,
        is_counted=number % 2 == 0,
        first_token_ms=None if number % 4 else number,
        duration_ms=number + 1,
    )


def lines(records: list[Record]) -> bytes:
    return b"".join(msgspec.json.encode(one) + b"\n" for one in records)


def rows() -> list[tuple[object, ...]]:
    found = UsageEvent.objects.filter(service_uid=UID).order_by("pk")
    return list(found.values_list(*Record.__struct_fields__))


def as_row(one: Record) -> tuple[object, ...]:
    return datetime.fromtimestamp(one.at, UTC), *msgspec.structs.astuple(one)[1:]


def hours() -> dict[tuple[datetime, int, str], tuple[int, int, int, int]]:
    return {
        (one.hour, one.key_id, one.model): (one.requests, one.failed, one.prompt_tokens, one.completion_tokens)
        for one in UsageHour.objects.filter(service_uid=UID)
    }


def requests_left() -> list[str]:
    return list(UsageEvent.objects.filter(service_uid=UID).order_by("pk").values_list("request_id", flat=True))


def newest() -> int:
    """Of all: a server of another test may still write its own."""
    return UsageEvent.objects.order_by("-pk").values_list("pk", flat=True)[0]


@pytest.mark.parametrize("count", NUMBERS_OF_LINES)
def test_each_line_is_a_row_with_all_that_it_says(count: int) -> None:
    records = [record(number) for number in range(count)]
    data = lines(records)
    assert take("spool", 0, data) == len(data) == find_taken("spool")
    assert rows() == [as_row(one) for one in records]


def test_hours_are_what_their_lines_sum_up_to_however_often_they_are_added_to() -> None:
    records = [record(number) for number in range(6000)]  # of two hours
    expected: dict[tuple[datetime, int, str], tuple[int, int, int, int]] = {}
    for one in records:
        key = datetime.fromtimestamp(one.at // 3600 * 3600, UTC), one.key_id, one.model
        sums = expected.get(key, (0, 0, 0, 0))
        more = 1, int(one.status >= 400), one.prompt_tokens, one.completion_tokens
        expected[key] = sums[0] + more[0], sums[1] + more[1], sums[2] + more[2], sums[3] + more[3]
    assert len({hour for hour, _, _ in expected}) == 2
    taken = 0
    for part in (records[:11], records[11:3000], records[3000:]):
        taken = take("spool", taken, lines(part))
    assert taken == len(lines(records))
    assert hours() == expected


def test_more_hours_at_once_than_a_statement_has_rows() -> None:
    records = [msgspec.structs.replace(record(number), key_id=number) for number in range(2 * bulk.SIZES[0] + 45)]
    for start in (0, len(lines(records))):
        take("spool", start, lines(records))
    assert {key_id: sums[0] for (_, key_id, _), sums in hours().items()} == dict.fromkeys(range(len(records)), 2)


@pytest.mark.parametrize("place", [0, 100, LINES_AT_ONCE - 1, LINES_AT_ONCE, LINES_AT_ONCE + 40])
def test_a_line_that_nobody_can_read_takes_no_other_with_it(place: int, caplog: pytest.LogCaptureFixture) -> None:
    records = [record(number) for number in range(LINES_AT_ONCE + 40)]
    data = lines(records[:place]) + b'["soon",\xff]\n' + lines(records[place:])
    assert take("spool", 0, data) == len(data)
    assert rows() == [as_row(one) for one in records]
    assert "cannot be read" in caplog.text


def test_what_the_database_refuses_is_not_taken_in_part() -> None:
    records = [record(number) for number in range(2 * LINES_AT_ONCE)]
    refused = msgspec.structs.replace(record(), duration_ms=-1)
    first = lines(records[:10])
    assert take("spool", 0, first) == len(first)
    with pytest.raises(DatabaseError):
        take("spool", len(first), lines([*records[10:], refused]))
    assert len(rows()) == 10
    assert sum(sums[0] for sums in hours().values()) == 10
    assert find_taken("spool") == len(first)
    assert take("spool", len(first), lines(records[10:])) == len(lines(records))
    assert rows() == [as_row(one) for one in records]


@pytest.mark.parametrize("part", [0.0, 0.000001, 0.1, 0.5, 0.9999, 0.999999, 0.9999996, 0.0000004])
def test_instants_are_what_django_writes(part: float) -> None:
    at = NOON + 59 + part
    take("spool", 0, lines([msgspec.structs.replace(record(), at=at)]))
    instant = datetime.fromtimestamp(at, UTC)
    row = UsageEvent.objects.get(service_uid=UID)
    assert row.at == instant
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("SELECT CAST(at AS TEXT) FROM inference_gateway_usageevent WHERE id = %s", [row.pk])
            assert cursor.fetchone() == (connection.ops.adapt_datetimefield_value(instant),)


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
def test_old_events_go_wherever_they_are_and_no_others(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "FORGOTTEN_AT_ONCE", at_once)
    now = timezone.now()
    # The first while the clock was wrong; then in order; then what a process left that died long ago; then new ones.
    days_ago = [-3650, 40, 36, 34, 20, 50, 35.01, 34.99, 1, 36, 0]
    ages = [now - timedelta(days=days) for days in days_ago]
    take("spool", 0, lines([msgspec.structs.replace(record(n), at=at.timestamp()) for n, at in enumerate(ages)]))
    taking.forget_old_events()
    assert requests_left() == [f"request-{n}" for n, days in enumerate(days_ago) if days < 35]


@pytest.mark.parametrize("at_once", [1, 3, 100])
@pytest.mark.parametrize("forget", [taking.forget_surplus_events, taking.forget_old_events])
def test_events_that_are_neither_old_nor_too_many_stay(
    at_once: int, forget: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "FORGOTTEN_AT_ONCE", at_once)
    forget()
    records = [msgspec.structs.replace(record(n), at=timezone.now().timestamp()) for n in range(10)]
    take("spool", 0, lines(records))
    forget()
    assert len(requests_left()) == 10


@pytest.mark.parametrize("at_once", [1, 2, 6, 7, 8, 100])
def test_only_the_newest_events_are_kept(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "MOST_EVENTS", 5)
    monkeypatch.setattr(taking, "FORGOTTEN_AT_ONCE", at_once)
    # The newest by when they were taken, whatever their time is.
    take("spool", 0, lines([msgspec.structs.replace(record(n), at=NOON - n) for n in range(12)]))
    mine = dict(UsageEvent.objects.filter(service_uid=UID).values_list("request_id", "pk"))
    for _ in range(2):
        newest_before = newest()
        taking.forget_surplus_events()
        left = requests_left()
        assert all(mine[name] > newest_before - 5 for name in left)
        assert {name for name, pk in mine.items() if pk > newest() - 5} <= set(left)
    assert len(left) <= 5
