"""Turns at the API server."""

from __future__ import annotations

from deployments.clusters.kubernetes.pacing import Pacer


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


def pacer(clock: Clock, rate: float = 10.0, burst: int = 3) -> Pacer:
    return Pacer(rate, burst, lambda: clock.now, clock.sleep)


def test_a_burst_goes_at_once_and_then_one_turn_at_a_time() -> None:
    clock = Clock()
    turns = pacer(clock)

    assert all(turns.wait(60) for _ in range(5))

    assert clock.slept == [0.1, 0.1]


def test_a_pause_fills_the_bucket_no_further_than_the_burst() -> None:
    clock = Clock()
    turns = pacer(clock)
    clock.now += 3600

    assert all(turns.wait(60) for _ in range(4))

    assert clock.slept == [0.1]


def test_who_would_wait_too_long_is_told_so_at_once_and_takes_no_turn() -> None:
    clock = Clock()
    turns = pacer(clock, burst=1)
    assert turns.wait(0)

    assert not turns.wait(0.05)

    assert clock.slept == []
    assert turns.wait(0.2)
    assert clock.slept == [0.1]


def test_closing_holds_everybody_back_until_it_is_over() -> None:
    clock = Clock()
    turns = pacer(clock)
    turns.close_for(5)
    turns.close_for(1)

    assert not turns.wait(4)
    assert turns.wait(6)

    assert clock.slept == [5.0]
