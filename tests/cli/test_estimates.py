"""How long something usually takes: known from runs that ended, or not said."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from console.cli.estimates import Estimate, Run, duration, estimate, past_runs


def events(*told: tuple[str, int]) -> list[dict[str, str]]:
    return [{"Code": code, "Time": f"2026-01-02T03:{at // 60:02}:{at % 60:02}Z"} for code, at in told]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([("Created", 0), ("Waiting", 1), ("RUNNING", 9)], [Run("create", 9)]),
        ([("Stopping", 0), ("Stopped", 2), ("Starting", 3), ("RUNNING", 8)], [Run("stop", 2), Run("start", 5)]),
        ([("Updating", 0), ("RUNNING", 70)], [Run("update", 70)]),
        ([("Scaling", 0), ("ScaledToZero", 0)], [Run("scale", 0.5)]),
        # Overtaken by another wish, failed, halted, or not over yet: none of these tells how long it takes.
        ([("Created", 0), ("Stopping", 1), ("Stopped", 3)], [Run("stop", 2)]),
        ([("Created", 0), ("CrashLoopBackOff", 4), ("RUNNING", 9)], []),
        ([("Updating", 0), ("UpdateHalted", 4), ("RUNNING", 9)], []),
        ([("Stopping", 0), ("RUNNING", 4)], []),
        ([("Created", 0), ("Waiting", 1)], []),
        ([("RUNNING", 1)], []),
        ([], []),
    ],
)
def test_only_runs_that_went_well_to_their_end_count(told: Sequence[tuple[str, int]], expected: list[Run]) -> None:
    assert past_runs(events(*told)) == expected


def test_the_estimate_is_the_median_of_the_last_runs_of_its_kind() -> None:
    runs = [Run("start", 1000), *(Run("start", seconds) for seconds in (4, 5, 6, 7, 90)), Run("stop", 1)]
    assert estimate("start", runs) == Estimate(6, 5)


def test_what_also_brings_an_instance_up_stands_in() -> None:
    assert estimate("restart", [Run("create", 8)]) == Estimate(8, 1)
    assert estimate("delete", [Run("stop", 2)]) == Estimate(2, 1)


def test_scaling_and_stopping_are_like_nothing_else() -> None:
    assert estimate("scale", [Run("create", 8)]) is None
    assert estimate("stop", [Run("create", 8)]) is None


def test_other_services_are_the_last_resort_and_said_to_be() -> None:
    found = estimate("create", [], [Run("start", 8)])
    assert found == Estimate(8, 1, of_others=True)
    assert "services like it" in found.source()


def test_without_a_past_nothing_is_invented() -> None:
    assert estimate("create", [], []) is None


def test_what_is_left_shrinks_and_then_is_said_to_be_over() -> None:
    known = Estimate(8, 1)
    assert known.remaining(3) == "about 5 s left"
    assert known.remaining(9) == "longer than the usual 8 s"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (59.4, "59 s"), (59.9, "1 min"), (125, "2 min 5 s"), (3600, "1 h"), (3780, "1 h 3 min")],
)
def test_durations_are_said_as_people_do(seconds: float, words: str) -> None:
    assert duration(seconds) == words
