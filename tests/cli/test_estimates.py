"""Usual times in words: what Slipway says of them, and what is left of a wait."""

from __future__ import annotations

import pytest

from console.cli.estimates import Estimate, duration, stage_of


def test_an_estimate_says_where_it_is_known_from() -> None:
    said = {"Stage": "ready", "Seconds": 8.2, "SlowAfterSeconds": 12, "P90Seconds": 12, "Runs": 3, "OfOthers": True}
    known = Estimate.parse(said)
    assert known == Estimate(8.2, 12, 3, of_others=True)
    assert known.source() == "This usually takes 8 s, by 3 earlier runs of services like it."
    assert Estimate(8, 10, 1).source() == "This usually takes 8 s, by 1 earlier run."


@pytest.mark.parametrize(
    ("elapsed", "words"),
    [(3, "about 5 s left"), (9, "any moment now"), (12, "longer than the usual 8 s")],
)
def test_what_is_left_shrinks_and_then_is_said_to_be_over(elapsed: float, words: str) -> None:
    assert Estimate(8, 12, 5).remaining(elapsed) == words


@pytest.mark.parametrize(
    ("kind", "pending", "stage"),
    [
        ("create", 1, "ready"),
        ("restart", 0, "ready"),
        ("scale", 2, "ready"),
        ("scale", 0, "ending"),
        ("stop", 1, "ending"),
        ("delete", 0, "ending"),
    ],
)
def test_instances_come_or_go(kind: str, pending: int, stage: str) -> None:
    assert stage_of(kind, {"PendingInstance": pending}) == stage


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (59.4, "59 s"), (59.9, "1 min"), (125, "2 min 5 s"), (3600, "1 h"), (3780, "1 h 3 min")],
)
def test_durations_are_said_as_people_do(seconds: float, words: str) -> None:
    assert duration(seconds) == words
