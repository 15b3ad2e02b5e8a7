"""What was measured, kept: minutes written by several processes, folded into coarser steps, read as even points."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from inference_gateway.monitoring.history import RANGES, read_history, total
from inference_gateway.monitoring.measures import Measures
from inference_gateway.monitoring.models import Sample
from inference_gateway.monitoring.samples import FIVE_MINUTES, HOUR, KEEP, MINUTE, Row, fold, prune, write

UID = "eas-m-observed"
NOW = datetime(2026, 3, 10, 12, 7, 30, tzinfo=UTC)
DAY = timedelta(days=1)
#: A server of another test may still write its own.
OWN = Sample.objects.filter(service_uid=UID)
pytestmark = pytest.mark.django_db


def measured(**counts: float) -> Measures:
    measures = Measures()
    for name, value in counts.items():
        measures.count(name.replace("__", "."), value)
    measures.histograms["first_token"] = [0.0] * 7 + [counts.get("code__200", 0)] + [0.0] * 14
    return measures


def put(at: datetime, writer: str = "one", uid: str = UID, **counts: float) -> None:
    write([Row(uid, "traffic", at.replace(second=0), measured(**counts))], writer)


def mark(begin: datetime, minutes: int) -> None:
    write([Row("", "traffic", begin + timedelta(minutes=one), Measures()) for one in range(minutes)], "one")


def test_writing_a_minute_again_replaces_it_and_another_process_adds_to_it() -> None:
    put(NOW, code__200=1)
    put(NOW, code__200=3)
    put(NOW, writer="two", code__200=2, code__503=1)
    steps = read_history(UID, RANGES[0], NOW).steps
    assert steps[-1].traffic is not None
    assert steps[-1].traffic.codes == {"200": 5, "503": 1}
    assert steps[-1].seconds == 30
    assert OWN.count() == 2


def test_a_minute_without_a_gateway_is_a_gap_and_one_without_requests_is_none() -> None:
    mark(NOW.replace(second=0) - timedelta(minutes=4), 3)
    put(NOW - timedelta(minutes=3), code__200=2)
    steps = read_history(UID, RANGES[0], NOW).steps
    seen = [None if step.traffic is None else step.traffic.codes.get("200", 0) for step in steps]
    assert seen == [None] * 10 + [0, 2, 0, None, None]


def test_folding_adds_every_step_up_once_however_often_it_runs() -> None:
    begin = NOW.replace(hour=10, minute=0, second=0)
    for minute in range(120):
        put(begin + timedelta(minutes=minute), code__200=1)
        put(begin + timedelta(minutes=minute), writer="two", code__200=1)
    for _ in range(2):
        fold(NOW)
    fives = OWN.filter(step_seconds=FIVE_MINUTES)
    assert {row.measures["counts"]["code.200"] for row in fives} == {10}
    assert fives.count() == 24
    hours = OWN.filter(step_seconds=HOUR).order_by("begins_at")
    assert [row.measures["counts"]["code.200"] for row in hours] == [120, 120]
    assert sum(hours[0].measures["histograms"]["first_token"]) == 120


def test_what_comes_late_is_in_the_coarse_step_after_the_next_folding() -> None:
    put(NOW - timedelta(minutes=8), code__200=1)
    fold(NOW)
    put(NOW - timedelta(minutes=8), writer="late", code__200=5)
    fold(NOW + timedelta(minutes=1))
    row = Sample.objects.get(step_seconds=FIVE_MINUTES, service_uid=UID)
    assert row.measures["counts"]["code.200"] == 6


@pytest.mark.parametrize("asked", RANGES, ids=lambda one: one.key)
def test_every_range_counts_each_request_once_and_yesterdays_beside_it(asked: object) -> None:
    assert asked in RANGES
    chosen = next(one for one in RANGES if one is asked)
    for minutes in range(0, 26 * 60, 7):
        put(NOW - timedelta(minutes=minutes), code__200=1)
    fold(NOW - timedelta(minutes=3))  # the newest are not folded yet
    history = read_history(UID, chosen, NOW)
    begin, end = history.steps[0].begins_at, history.steps[-1].begins_at + timedelta(seconds=chosen.step_seconds)
    assert (end - begin).total_seconds() == chosen.seconds
    assert begin < NOW < end
    at = [(NOW - timedelta(minutes=minutes)).replace(second=0) for minutes in range(0, 26 * 60, 7)]
    assert total(history.steps)[0].codes.get("200", 0) == sum(begin <= one < end for one in at)
    wanted = sum(begin - DAY <= one < end - DAY for one in at)
    assert total(history.before)[0].codes.get("200", 0) == wanted


def test_one_question_to_the_database_whatever_the_range(django_assert_num_queries: object) -> None:
    for chosen in RANGES:
        with django_assert_num_queries(1):  # type: ignore[operator]
            read_history(UID, chosen, NOW)


def test_what_no_range_shows_any_more_is_forgotten() -> None:
    for step_seconds, age in KEEP.items():
        for begins_at in (NOW - age - timedelta(seconds=step_seconds), NOW - age + timedelta(minutes=2)):
            Sample.objects.create(service_uid=UID, kind="traffic", step_seconds=step_seconds, begins_at=begins_at)
    prune(NOW)
    assert sorted(OWN.values_list("step_seconds", flat=True)) == [MINUTE, FIVE_MINUTES, HOUR]


def test_a_counter_that_began_anew_counts_from_there() -> None:
    before, after = measured(tokens=100, code__200=5), measured(tokens=40, code__200=6)
    grown = after.since(before)
    assert grown.counts == {"tokens": 40, "code.200": 1}
    assert after.since(after).as_json() == {}
