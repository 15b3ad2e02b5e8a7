"""What was measured in a stretch of time, as plain values that can be added: a row's JSON. Pure.

``counts`` are numbers, ``histograms`` lists of counts with the total behind them (``inference_gateway.histograms``),
``levels`` what one writer alone looked at again and again: [sum, how often, most]. What several processes look at,
requests under way, is a count of seconds instead: added up over processes and divided by the time it is their mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inference_gateway.histograms import DURATION_BOUNDS, EACH_TOKEN_BOUNDS, FIRST_TOKEN_BOUNDS, find_quantile

BOUNDS: Mapping[str, Sequence[float]] = {
    "first_token": FIRST_TOKEN_BOUNDS,
    "each_token": EACH_TOKEN_BOUNDS,
    "duration": DURATION_BOUNDS,
}
#: Counts of answers by status are named so: ``code.200``.
CODE = "code."

Level = tuple[float, int, float]


class Measures:
    """Starts empty; ``add`` more of the same."""

    __slots__ = ("counts", "histograms", "levels")

    def __init__(self) -> None:
        self.counts: dict[str, float] = {}
        self.histograms: dict[str, list[float]] = {}
        self.levels: dict[str, Level] = {}

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Measures:
        """A row's JSON, as ``as_json`` wrote it."""
        measures = cls()
        measures.counts = dict(row.get("counts", {}))
        measures.histograms = {name: list(values) for name, values in row.get("histograms", {}).items()}
        measures.levels = {name: (one[0], one[1], one[2]) for name, one in row.get("levels", {}).items()}
        return measures

    def as_json(self) -> dict[str, Any]:
        told = {"counts": self.counts, "histograms": self.histograms, "levels": self.levels}
        return {key: value for key, value in told.items() if value}

    def count(self, name: str, more: float = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + more

    def look(self, name: str, value: float) -> None:
        """A level as it is now."""
        total, times, most = self.levels.get(name, (0.0, 0, 0.0))
        self.levels[name] = (total + value, times + 1, max(most, value))

    def add(self, more: Measures) -> None:
        for name, value in more.counts.items():
            self.count(name, value)
        for name, values in more.histograms.items():
            mine = self.histograms.get(name)
            # Of other length: measured by another version, with other bounds. The newer ones count.
            if mine is None or len(mine) != len(values):
                self.histograms[name] = list(values)
            else:
                self.histograms[name] = [one + other for one, other in zip(mine, values, strict=True)]
        for name, (total, times, most) in more.levels.items():
            mine_total, mine_times, mine_most = self.levels.get(name, (0.0, 0, 0.0))
            self.levels[name] = (mine_total + total, mine_times + times, max(mine_most, most))

    def since(self, before: Measures) -> Measures:
        """What came to counts and histograms after ``before``. What shrank began anew: all of it came since."""
        grown = Measures()
        for name, value in self.counts.items():
            old = before.counts.get(name, 0)
            if more := value - old if value >= old else value:
                grown.counts[name] = more
        for name, values in self.histograms.items():
            old_values = before.histograms.get(name, [0.0] * len(values))
            if len(old_values) != len(values) or any(new < old for new, old in zip(values, old_values, strict=True)):
                old_values = [0.0] * len(values)
            more_values = [new - old for new, old in zip(values, old_values, strict=True)]
            if any(more_values[:-1]):
                grown.histograms[name] = more_values
        return grown

    def quantile(self, name: str, share: float) -> float | None:
        """Of a histogram, in its unit; None where nothing was measured."""
        values = self.histograms.get(name)
        bounds = BOUNDS[name]
        if values is None or len(values) != len(bounds) + 2:
            return None
        return find_quantile(bounds, values[:-1], share)

    def level(self, name: str) -> float | None:
        """The mean of a level."""
        total, times, _ = self.levels.get(name, (0.0, 0, 0.0))
        return total / times if times else None

    @property
    def codes(self) -> dict[str, float]:
        """Answers by status."""
        return {name.removeprefix(CODE): count for name, count in self.counts.items() if name.startswith(CODE)}
