"""How far a container's program is, as its log says it; and how often somebody is told of that."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from deployments.bytes_done import MIB, BytesDone
from deployments.clusters.kubernetes.backend import counts_of
from deployments.clusters.kubernetes.logs.containers import Segment
from deployments.clusters.kubernetes.logs.counting import Counted, count, read_counted
from deployments.clusters.kubernetes.logs.reading import read_counts
from deployments.clusters.kubernetes.logs.record import Record
from deployments.clusters.kubernetes.logs.telling import Telling
from deployments.clusters.kubernetes.looking import Known
from deployments.models import KeptLog
from tests.deployments.clusters.kubernetes.pod_json import pod

SECOND = 10**9
NEVER = threading.Event()
COPIES = Segment("storage-0", "i1", is_previous=False, is_over=False)
RUNNING = {"state": {"running": {"startedAt": "2026-01-01T12:00:05Z"}}, "containerID": "c1"}


def said(done: int, total: int = 100 * MIB) -> str:
    return f"slipway: {BytesDone(done, total).line('copied')}"


def test_the_rate_is_that_since_the_first_line_once_some_time_has_passed() -> None:
    first = count(said(10 * MIB), "i1", 5 * SECOND, None)
    soon = count(said(14 * MIB), "i1", 6 * SECOND, first)
    later = count(said(30 * MIB), "i1", 10 * SECOND, soon)

    assert first == Counted("i1", 10 * MIB, 100 * MIB, 5 * SECOND, 10 * MIB, 5 * SECOND)
    assert soon is not None
    assert soon.bytes_per_second is None
    assert later is not None
    assert (later.bytes_done, later.bytes_per_second) == (BytesDone(30 * MIB, 100 * MIB), 4 * MIB)


def test_any_other_line_changes_nothing() -> None:
    before = count(said(1), "i1", SECOND, None)
    assert count("slipway: copying oss://b/qwen/", "i1", 2 * SECOND, before) is before
    assert count("hello", "i1", SECOND, None) is None


@pytest.mark.parametrize(("container", "line"), [("i2", said(5)), ("i1", said(5, 200)), ("i1", said(3))])
def test_another_program_and_one_that_begins_anew_are_counted_from_their_own_first_line(
    container: str, line: str
) -> None:
    found = count(line, container, 9 * SECOND, Counted("i1", 4, 100 * MIB, SECOND, 0, SECOND))
    assert found is not None
    assert (found.container_id, found.first_done, found.first_at) == (container, found.done, 9 * SECOND)


def test_what_is_kept_is_read_again_and_what_another_version_kept_is_left() -> None:
    found = Counted("i1", 4, 8, SECOND, 0, SECOND)
    assert read_counted(found.as_json()) == found
    assert read_counted(None) is None
    assert read_counted({"percent": 3}) is None


def test_a_service_is_told_of_once_a_second_however_much_its_programs_say() -> None:
    telling = Telling()
    told: list[tuple[float, set[str]]] = []
    for tenth in range(40):
        telling.note("one")
        if tenth == 3:
            telling.note("two")
        if due := telling.due(tenth / 10):
            told.append((tenth / 10, due))
    assert told == [(0.0, {"one"}), (0.3, {"two"}), (1.0, {"one"}), (2.0, {"one"}), (3.0, {"one"})]
    assert telling.due(3.95) == set()
    assert telling.due(4.0) == {"one"}, "the last word is told, too"


def line_at(second: int, text: str) -> bytes:
    return f"2026-01-01T12:00:{second:02d}Z {text}".encode()


@pytest.mark.django_db
def test_how_far_it_is_is_written_with_the_lines_that_say_so_and_only_then() -> None:
    row = KeptLog.objects.create(service_uid="u", instance="p", created_at=timezone.now())
    record = Record(row)
    record.note(is_followed=True)
    record.begin(COPIES)
    record.take(line_at(1, "slipway: copying oss://b/qwen/"), NEVER)
    plain = record.collect()
    plain.write(timezone.now())
    record.accept(plain)
    assert not plain.has_counted
    assert read_counts(["p"]) == {}

    for second in range(2, 9):
        record.take(line_at(second, said(second * MIB)), NEVER)
    lost = record.collect()
    assert lost.has_counted
    record.reject(lost)
    batch = record.collect()
    with CaptureQueriesContext(connection) as context:
        batch.write(timezone.now())
    rows = [query["sql"] for query in context if query["sql"].startswith('UPDATE "deployments_keptlog"')]
    assert len(rows) == 1, "of seven lines, and of what they say"
    record.accept(batch)

    assert batch.has_counted
    assert read_counts(["p", "q"])["p"].bytes_done == BytesDone(8 * MIB, 100 * MIB)
    assert not record.collect().has_counted, "nothing new was said"
    assert Record(KeptLog.objects.get()).counted == record.counted, "the next keeper goes on from there"
    KeptLog.objects.update(is_followed=False)
    assert read_counts(["p"]) == {}, "nothing is new in a log that nobody follows"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("thing", "queries"),
    [
        (pod(main=RUNNING | {"started": False}), 1),
        (pod(main=RUNNING | {"started": True}, ready=True), 0),
        (pod(main=RUNNING | {"started": True}), 0),
        (pod(main={"state": {"waiting": {"reason": "ContainerCreating"}}}), 0),
    ],
)
def test_rows_are_asked_only_where_something_is_copied_or_loaded(
    thing: dict[str, Any], queries: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(queries):
        assert counts_of(Known(pods={"chat-1": thing}, is_fresh=True)) == {}
    with django_assert_num_queries(0):  # without a watcher nobody reads the logs
        assert counts_of(Known(pods={"chat-1": thing})) == {}
