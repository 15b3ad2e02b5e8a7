"""The generators count what the engine did, and see what it did wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.gateway import loads
from bench.gateway.arms import Engine
from bench.gateway.client import Target, get_json
from bench.gateway.loads import alone, hold_streams, saturate, stream_side_by_side
from bench.gateway.open_loop import OpenLoop


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    started = Engine(tmp_path_factory.mktemp("engine"), "--slots", "40")
    started.start()
    yield Target(started.port)
    started.stop()


def count_answered(engine: Target) -> int:
    answered = loads.run(get_json(engine.port, "/stats"))["answered"]
    assert isinstance(answered, int)
    return answered


def nothing() -> float:
    return 0.0


def test_one_after_the_other_each_answer_has_its_time(engine: Target) -> None:
    times = alone(engine, 20)
    assert len(times) == 20
    assert min(times) > 0


def test_one_after_the_other_ends_at_the_first_error(engine: Target) -> None:
    with pytest.raises(ValueError, match="answered with 404"):
        alone(Target(engine.port, model="status=404"), 20)


def test_without_wrk_a_closed_loop_of_our_own_counts_answers(engine: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    before = count_answered(engine)
    result = saturate(engine, 4, 0.5, nothing)
    assert result.answered == count_answered(engine) - before > 10
    assert result.failed == 0
    assert 0 < result.latencies_ms[0] <= result.latencies_ms[1]


def test_a_closed_loop_counts_errors_apart(engine: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    result = saturate(engine, 2, 0.2, nothing, "status=503")
    assert result.answered == 0
    assert result.failed > 0


def test_streams_side_by_side_are_whole_and_counted(engine: Target) -> None:
    result = loads.run(stream_side_by_side(engine, 5, 50, 0.5, nothing))
    assert result.broken == 0
    assert 0 < result.reads <= result.tokens
    assert len(result.first_ms) == 5


def test_a_stream_that_breaks_off_is_seen(engine: Target) -> None:
    result = loads.run(stream_side_by_side(Target(engine.port, model="rst=30"), 2, 50, 0.2, nothing))
    assert result.broken == 2


def test_held_streams_are_all_begun_when_memory_is_looked_at(engine: Target) -> None:
    assert loads.run(hold_streams(engine, 20, lambda: 4711.0)) == (20, 4711.0)


def test_an_open_loop_asks_at_its_own_pace_and_sorts_what_comes(engine: Target) -> None:
    offered = loads.run(OpenLoop(engine, "tokens=1", 5.0).offer(200, 1))
    assert 120 < offered.offered < 280
    assert (len(offered.good_ms), offered.failed, offered.late) == (offered.offered, 0, 0)
    refused = loads.run(OpenLoop(engine, "status=429", 5.0).offer(100, 0.5))
    assert len(refused.refused_ms) == refused.offered > 0
    late = loads.run(OpenLoop(engine, "tokens=1 delay=300", 0.2).offer(50, 0.5))
    assert late.late == late.offered > 0
