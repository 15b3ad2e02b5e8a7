"""What the kubelet sends of a log, and which containers' logs a pod has."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.utils import timezone

from deployments.clusters.base import LogQuery
from deployments.clusters.kubernetes.logs.containers import Segment, logs_of
from deployments.clusters.kubernetes.logs.lines import Line, read_line, since_time
from deployments.clusters.kubernetes.logs.reading import read_log
from deployments.clusters.kubernetes.logs.record import Overtaken, Record
from deployments.models import KeptLog

NOON = 1_767_268_800_000_000_000  # 2026-01-01T12:00:00Z
NEVER = threading.Event()
NOW = Segment("main", "c1", is_previous=False, is_over=False)


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"2026-01-01T12:00:00.000000001Z hello", Line(NOON + 1, "hello")),
        (b"2026-01-01T12:00:00.5Z hello", Line(NOON + 500_000_000, "hello")),
        (b"2026-01-01T12:00:00Z", Line(NOON, "")),
        (b"2026-01-01T20:00:00.000000001+08:00 hello", Line(NOON + 1, "hello")),
        (b"2026-01-01T12:00:00Z  two  spaces ", Line(NOON, " two  spaces ")),
        (b"no time at all", Line(7, "no time at all")),
        (b"2026-13-41T12:00:00Z not a day", Line(7, "2026-13-41T12:00:00Z not a day")),
        (b"2026-01-01T12:00:00Z \xff", Line(NOON, "\\xff")),
        (b"unable to retrieve container logs for containerd://1", None),
        (b"", None),
    ],
)
def test_a_line_has_the_time_it_was_written(raw: bytes, line: Line | None) -> None:
    assert read_line(raw, 7) == line


def test_a_line_is_kept_with_milliseconds_in_utc() -> None:
    assert Line(NOON + 123_456_789, "10%\r20%\r").kept() == [
        "2026-01-01T12:00:00.123Z 10%",
        "2026-01-01T12:00:00.123Z 20%",
    ]


def test_reading_again_begins_a_second_early() -> None:
    assert since_time(NOON + 1) == "2026-01-01T11:59:59Z"


def pod(main: dict[str, Any], *init: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"name": "p"},
        "spec": {
            "initContainers": [{"name": one["name"]} for one in init],
            "containers": [{"name": "main"}, {"name": "side"}],
        },
        "status": {"containerStatuses": [{"name": "main", **main}], "initContainerStatuses": list(init)},
    }


RUNNING = {"state": {"running": {}}, "containerID": "c2"}
WAITING = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}}
ENDED = {"terminated": {"exitCode": 1, "containerID": "c1"}}


@pytest.mark.parametrize(
    ("found", "segments"),
    [
        (pod({"state": {"waiting": {"reason": "PodInitializing"}}}), []),
        (pod(RUNNING), [("main", "c2", False, False)]),
        (pod(RUNNING | {"lastState": ENDED}), [("main", "c1", True, True), ("main", "c2", False, False)]),
        (pod(WAITING | {"lastState": ENDED}), [("main", "c1", False, True)]),
        (pod({"state": ENDED}), [("main", "c1", False, True)]),
        (
            pod(RUNNING, {"name": "weights", "state": {"terminated": {"containerID": "i1"}}}),
            [("weights", "i1", False, True), ("main", "c2", False, False)],
        ),
        (pod({"state": {"terminated": {"reason": "ContainerStatusUnknown", "containerID": ""}}}), []),
    ],
)
def test_a_pod_s_logs_are_told_oldest_first(found: dict[str, Any], segments: list[tuple[str, str, bool, bool]]) -> None:
    assert logs_of(found) == {"p": tuple(Segment(*one) for one in segments), "p/side": ()}


def test_a_container_beside_the_main_one_has_a_log_of_its_own() -> None:
    found = pod(RUNNING, {"name": "proxy", "state": {"running": {}}, "containerID": "i1"})
    found["spec"]["initContainers"][0]["restartPolicy"] = "Always"
    found["status"]["containerStatuses"].append({"name": "side", "state": {"running": {}}, "containerID": "s1"})
    assert logs_of(found) == {
        "p": (Segment("main", "c2", is_previous=False, is_over=False),),
        "p/proxy": (Segment("proxy", "i1", is_previous=False, is_over=False),),
        "p/side": (Segment("side", "s1", is_previous=False, is_over=False),),
    }


@pytest.fixture
def record(db: None) -> Record:
    return Record(KeptLog.objects.create(service_uid="u1", instance="i1", created_at=timezone.now()))


def stamped(second: int, text: str) -> bytes:
    return f"2026-01-01T12:00:{second:02d}.000000000Z {text}".encode()


def write(record: Record) -> None:
    batch = record.collect()
    batch.write(timezone.now())
    record.accept(batch)


def read_again(record: Record) -> Record:
    return Record(KeptLog.objects.get(pk=record.pk))


def kept(record: Record) -> list[str]:
    return [text.partition(" ")[2] for _, text in read_log("u1", LogQuery(record.instance)).lines]


def test_lines_that_are_sent_again_are_kept_once(record: Record) -> None:
    sent = [stamped(1, "a"), stamped(2, "b"), stamped(2, "c"), stamped(2, "c")]
    record.begin(NOW)
    for raw in sent:
        record.take(raw, NEVER)
    write(record)

    again = read_again(record)
    assert again.begin(NOW) == NOON + 2_000_000_000
    for raw in [*sent, stamped(2, "c"), stamped(3, "d")]:
        again.take(raw, NEVER)
    write(again)

    assert kept(record) == ["a", "b", "c", "c", "c", "d"]


def test_a_batch_that_failed_is_written_with_the_next(record: Record) -> None:
    record.begin(NOW)
    record.take(stamped(1, "a"), NEVER)
    batch = record.collect()
    record.take(stamped(2, "b"), NEVER)
    record.reject(batch)
    write(record)
    assert kept(record) == ["a", "b"]


def test_a_second_keeper_is_noticed_before_it_doubles_a_line(record: Record) -> None:
    other = read_again(record)
    for one in (record, other):
        one.begin(NOW)
        one.take(stamped(1, "a"), NEVER)
    write(record)
    with pytest.raises(Overtaken):
        other.collect().write(timezone.now())
    assert kept(record) == ["a"]


def test_each_restart_is_a_run_of_its_own_and_init_containers_belong_to_the_first(record: Record) -> None:
    for second, (name, container_id) in enumerate([("weights", "i1"), ("main", "c1"), ("main", "c2")], 1):
        segment = Segment(name, container_id, is_previous=False, is_over=True)
        record.begin(segment)
        record.take(stamped(second, name), NEVER)
        record.finish(segment)
    write(record)
    assert list(record_runs(record)) == [(0, 0, 2), (1, 2, 1)]
    assert read_again(record).is_done(Segment("main", "c2", is_previous=False, is_over=True))


def record_runs(record: Record) -> Any:
    return KeptLog.objects.get(pk=record.pk).chunks.order_by("first_line").values_list("run", "first_line", "lines")


def test_long_logs_are_chunks_and_the_oldest_go(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.clusters.kubernetes.logs.record.CHUNK_CHARACTERS", 1000)
    monkeypatch.setattr("deployments.clusters.kubernetes.logs.record.KEPT_CHARACTERS", 5000)
    record.begin(NOW)
    for number in range(300):
        record.take(stamped(1, f"line {number}"), NEVER)
        if number % 7 == 0:
            write(record)
    write(record)
    texts = kept(record)
    assert texts == [f"line {number}" for number in range(300 - len(texts), 300)]
    assert 3000 < sum(map(len, texts)) + 25 * len(texts) < 6000
    assert record.next_line == 300
