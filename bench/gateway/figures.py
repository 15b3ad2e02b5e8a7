"""Figures of rounds: percentiles, medians with their spread, ratios. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` (0 to 1) of all do not exceed: one that was measured, not between two.

    Raises ValueError for no values.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    rank = -int(-share * len(ordered) // 1)  # rounded up
    return ordered[min(len(ordered), max(1, rank)) - 1]


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure over the rounds: its median, and the quartiles between which half of the rounds lie."""

    median: float
    low: float
    high: float
    rounds: int

    @property
    def spread(self) -> float:
        """The interquartile range."""
        return self.high - self.low


def summarize(values: Sequence[float]) -> Figure:
    """Raises ValueError for no values."""
    if not values:
        raise ValueError("no values")
    if len(values) == 1:
        return Figure(values[0], values[0], values[0], 1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Figure(median, low, high, len(values))


def drift(first: float, last: float) -> float:
    """How far apart two measurements of the same thing are, as a share of their mean."""
    middle = (first + last) / 2
    return abs(last - first) / middle if middle else 0.0
