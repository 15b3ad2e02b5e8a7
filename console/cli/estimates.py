"""How long something usually takes, from the events of runs that have ended. Where there are none, nothing is said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

#: Codes of the events that begin something, with what they begin.
BEGINS = {
    "Created": "create",
    "Starting": "start",
    "Updating": "update",
    "Switching": "update",
    "Restarting": "restart",
    "Scaling": "scale",
    "Stopping": "stop",
    "Deleting": "delete",
}
#: Codes of the events that end it well, with what they can end.
ENDS = {
    "RUNNING": {"create", "start", "update", "restart", "scale"},
    "Stopped": {"stop"},
    "ScaledToZero": {"scale"},
}
#: Codes between the two that neither begin nor end anything.
BETWEEN = {"Creating", "Waiting", "TokenRotated"}
#: Each of these brings a new instance up, which is what takes the time.
BRING_UP = ("create", "start", "update", "restart")
#: What ends the same way: the instances of a service that is deleted end as those of one that is stopped.
ALIKE = {**dict.fromkeys(BRING_UP, BRING_UP), "delete": ("stop",)}
LAST_RUNS = 5


@dataclass(frozen=True, slots=True)
class Run:
    """Something that was begun and went well."""

    kind: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """The usual time, and where it is known from."""

    seconds: float
    runs: int
    of_others: bool = False  # the runs are those of other services

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
        return f"longer than the usual {duration(self.seconds)}"


def past_runs(events: Iterable[Mapping[str, Any]]) -> list[Run]:
    """The runs in a service's events, given oldest first. What failed, or was overtaken, does not count."""
    runs: list[Run] = []
    kind, began = "", 0.0
    for event in events:
        code, at = str(event["Code"]), datetime.fromisoformat(str(event["Time"])).timestamp()
        if code in BEGINS:
            kind, began = BEGINS[code], at
        elif kind and kind in ENDS.get(code, ()):
            # Times are whole seconds: what took less than one took about half of one.
            runs.append(Run(kind, max(at - began, 0.5)))
            kind = ""
        elif code not in BETWEEN:
            kind = ""
    return runs


def estimate(kind: str, own: Sequence[Run], others: Sequence[Run] = ()) -> Estimate | None:
    """The median of the last runs: of this kind, else of a kind like it, else of other services. Else None."""
    for runs, kinds, of_others in (
        (own, (kind,), False),
        (own, ALIKE.get(kind, ()), False),
        (others, (kind,), True),
        (others, ALIKE.get(kind, ()), True),
    ):
        seconds = [run.seconds for run in runs if run.kind in kinds][-LAST_RUNS:]
        if seconds:
            return Estimate(median(seconds), len(seconds), of_others)
    return None


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
