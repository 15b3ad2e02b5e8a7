"""Counts by size, and the percentiles that can be told from them. Pure; the runtime uses it as well as the gateway.

The bounds are those that OpenTelemetry's conventions for generative AI advise for each of their metrics
(open-telemetry/semantic-conventions-genai, gen-ai-metrics), so that its dashboards fit, with vLLM's own longest ones
behind: answers that take minutes are no exception here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

#: Seconds.
FIRST_TOKEN_BOUNDS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0,
)  # fmt: skip
EACH_TOKEN_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
DURATION_BOUNDS = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 655.36,
)  # fmt: skip
#: Tokens of one request.
TOKEN_BOUNDS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)


class Histogram:
    """``counts`` has one place for each bound and one for all above; each is of its own part, not added up."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        return sum(self.counts)


def cumulate(bounds: Sequence[float], counts: Sequence[float]) -> list[tuple[str, float]]:
    """(``le``, how many are at most that), as Prometheus writes buckets."""
    rows: list[tuple[str, float]] = []
    so_far = 0.0
    for bound, count in zip((*bounds, float("inf")), counts, strict=True):
        so_far += count
        rows.append(("+Inf" if bound == float("inf") else str(float(bound)), so_far))
    return rows


def find_quantile(bounds: Sequence[float], counts: Sequence[float], share: float) -> float | None:
    """Below what ``share`` (0 to 1) of all values lie, as Prometheus' ``histogram_quantile`` tells it: evenly spread
    within a part, and of those above the last bound that bound. None where there are no values.
    """
    whole = sum(counts)
    if not whole:
        return None
    rank, before, lower = share * whole, 0.0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count and before + count >= rank:
            return lower + (bound - lower) * (rank - before) / count
        before += count
        lower = bound
    return float(bounds[-1])
