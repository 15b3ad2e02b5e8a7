"""How long something usually takes, in words: the times are Slipway's own (``GET …/usual-times``), for all who ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: What ends instances; all else waits for new ones.
ENDS = ("stop", "delete")


@dataclass(frozen=True, slots=True)
class Estimate:
    """The usual time, from when on it is longer than usual, and where it is known from."""

    seconds: float
    slow_after_seconds: float
    runs: int
    of_others: bool = False  # the runs are those of other services

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> Estimate:
        """One of REST's ``UsualTimes``."""
        return cls(said["Seconds"], said["SlowAfterSeconds"], said["Runs"], said["OfOthers"])

    def source(self) -> str:
        """A sentence for a person who wants to know how far to trust it."""
        runs = "1 earlier run" if self.runs == 1 else f"{self.runs} earlier runs"
        return (
            f"This usually takes {duration(self.seconds)}, by {runs}{' of services like it' if self.of_others else ''}."
        )

    def remaining(self, elapsed_seconds: float) -> str:
        """What is left, in words."""
        left = self.seconds - elapsed_seconds
        if left > 0:
            return f"about {duration(left)} left"
        if elapsed_seconds < self.slow_after_seconds:
            return "any moment now"
        return f"longer than the usual {duration(self.seconds)}"


def stage_of(kind: str, service: Mapping[str, Any]) -> str:
    """The stage whose usual time is that of the whole wait: instances come, or they go."""
    goes = kind in ENDS or (kind == "scale" and service["PendingInstance"] == 0)
    return "ending" if goes else "ready"


def duration(seconds: float) -> str:
    """As people say it: ``8 s``, ``2 min 5 s``, ``1 h 3 min``."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(whole // 60, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
