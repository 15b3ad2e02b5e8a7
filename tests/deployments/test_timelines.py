"""The steps of a start: what one look after another makes of them, and what a real start leaves behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deployments.assess import Seen
from deployments.clusters.base import InstanceObservation, InstancePhase, ProgramExit
from deployments.stages import Stage
from deployments.timelines import Over, Standing, advance, first_standing, runs_ended

MADE = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
WISH = MADE - timedelta(seconds=2)


def at(seconds: float) -> datetime:
    return MADE + timedelta(seconds=seconds)


def looked(stage: Stage, *, answer_seconds: float = 0.0, **changes: Any) -> Seen:
    values: dict[str, Any] = {
        "name": "a", "revision": 1, "phase": InstancePhase.RUNNING, "created_at": MADE, "started_at": at(0.1),
    }  # fmt: skip
    ready = stage is Stage.READY
    return Seen(InstanceObservation(**(values | changes)), ready, "", 0, stage, answer_seconds)


def walk(*looks: tuple[float, Seen]) -> list[tuple[str, str, float, float, int]]:
    """The steps that looks at these seconds find: stage, outcome, begin and end in seconds, run."""
    steps, standing = first_standing(looks[0][1].instance, WISH, at(looks[0][0]))
    for seconds, seen in looks:
        over, standing = advance(standing, seen, WISH, at(seconds))
        steps += over
    return [told(step) for step in steps]


def told(step: Over) -> tuple[str, str, float, float, int]:
    begin, end = ((moment - MADE).total_seconds() for moment in (step.began_at, step.ended_at))
    return str(step.stage), str(step.outcome), begin, end, step.run


def test_a_language_model_is_scheduled_started_loaded_and_asked() -> None:
    assert walk(
        (0.2, looked(Stage.STARTING)),
        (1.0, looked(Stage.LOADING)),
        (2.0, looked(Stage.LOADING)),
        (9.0, looked(Stage.WARMING)),
        (11.0, looked(Stage.READY)),
        (14.0, looked(Stage.READY)),
    ) == [
        ("scheduled", "done", -2.0, 0.0, 0),
        ("starting", "done", 0.0, 1.0, 0),
        ("loading", "done", 1.0, 9.0, 0),
        ("warming", "done", 9.0, 11.0, 0),
        ("ready", "done", -2.0, 11.0, 0),
    ]


def test_a_first_token_within_one_look_is_told_apart_from_the_loading() -> None:
    steps = walk((1.0, looked(Stage.LOADING)), (5.0, looked(Stage.READY, answer_seconds=0.5)))
    assert ("loading", "done", 1.0, 4.5, 0) in steps
    assert ("warming", "done", 4.5, 5.0, 0) in steps


def test_no_step_is_told_that_did_not_happen() -> None:
    stages = [step[0] for step in walk((0.2, looked(Stage.STARTING)), (0.5, looked(Stage.READY)))]
    assert stages == ["scheduled", "starting", "ready"]


def test_a_program_that_ends_fails_its_step_and_waits_to_be_started_again() -> None:
    end = ProgramExit(1, "Error", "", at(0.1), at(3.0))
    waiting = looked(Stage.AGAIN, phase=InstancePhase.BACKOFF, last_exit=end, started_at=None)
    again = looked(Stage.STARTING, restart_count=1, last_exit=end, started_at=at(4.0))
    ready = looked(Stage.READY, restart_count=1, last_exit=end, started_at=at(4.0))
    assert walk((1.0, looked(Stage.LOADING)), (3.1, waiting), (3.5, waiting), (4.2, again), (6.0, ready)) == [
        ("scheduled", "done", -2.0, 0.0, 0),
        ("starting", "done", 0.0, 1.0, 0),
        ("loading", "failed", 1.0, 3.0, 0),
        ("again", "done", 3.0, 4.0, 1),
        ("starting", "done", 4.0, 6.0, 1),
        ("ready", "done", 4.0, 6.0, 1),
    ]


def test_a_restart_between_two_looks_is_found_by_its_count() -> None:
    end = ProgramExit(1, "Error", "", at(0.1), at(3.0))
    again = looked(Stage.LOADING, restart_count=1, last_exit=end, started_at=at(4.0))
    assert walk((1.0, looked(Stage.READY)), (5.0, again))[-2:] == [
        ("again", "done", 3.0, 4.0, 1),
        ("starting", "done", 4.0, 5.0, 1),
    ]


def test_a_program_that_never_began_again_failed_in_no_time() -> None:
    first = ProgramExit(127, "StartError", "", None, at(0.2))
    second = ProgramExit(127, "StartError", "", None, at(1.2))
    waits = looked(Stage.AGAIN, phase=InstancePhase.BACKOFF, last_exit=first, started_at=None)
    again = looked(Stage.AGAIN, phase=InstancePhase.BACKOFF, last_exit=second, started_at=None, restart_count=1)
    assert walk((0.3, waits), (1.3, again))[1:] == [
        ("starting", "failed", 0.0, 0.2, 0),
        ("again", "done", 0.2, 1.2, 1),
        ("starting", "failed", 1.2, 1.2, 1),
    ]


def test_an_engine_that_is_slow_to_answer_once_has_not_gone_back() -> None:
    busy = (2.0, looked(Stage.STARTING))
    steps = walk((0.5, looked(Stage.LOADING)), busy, (3.0, looked(Stage.READY)), (4.0, looked(Stage.STARTING)))
    assert [step[0] for step in steps] == ["scheduled", "starting", "loading", "ready"]


def test_an_instance_that_is_asked_to_end_leaves_its_step_unfinished() -> None:
    leaving = looked(Stage.NONE, phase=InstancePhase.STOPPING)
    steps = walk((1.0, looked(Stage.LOADING)), (2.0, leaving), (3.0, leaving))
    assert steps[-1] == ("loading", "left", 1.0, 2.0, 0)


def test_one_that_will_not_be_started_again_failed_in_its_step() -> None:
    end = ProgramExit(1, "Error", "", at(0.1), at(1.5))
    over = looked(Stage.NONE, phase=InstancePhase.FAILED, last_exit=end, started_at=None)
    assert walk((1.0, looked(Stage.STARTING)), (2.0, over), (9.0, over))[-1] == ("starting", "failed", 0.0, 1.5, 0)


def test_an_old_wish_is_not_this_instance_s() -> None:
    steps, standing = first_standing(looked(Stage.STARTING).instance, MADE - timedelta(days=3), at(1))
    assert not steps
    assert standing == Standing(Stage.STARTING, MADE)


@pytest.mark.parametrize(("phase", "count", "ends"), [("Running", 2, 2), ("BackOff", 2, 3), ("Failed", 0, 1)])
def test_ends_are_counted_from_phase_and_starts(phase: str, count: int, ends: int) -> None:
    assert runs_ended(phase, count) == ends
