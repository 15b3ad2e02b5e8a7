"""How long something usually takes, from past runs that went well. Where there are none, nothing is said.

The times of steps come from ``StartStep`` rows: of the same service, else of services alike (the same model on the same
engine) on this cluster. The command line asks for the same over REST.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from django.db.models import Q

from deployments.chronicle import StartStep
from deployments.models import Service
from deployments.stages import Stage

LAST_RUNS = 20
#: What is looked through for them: a start has a handful of steps.
LAST_STEPS = 600
#: A difference that nobody waits for, and that a look takes.
NOISE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Usual:
    """The median, and what nine of ten runs stay under."""

    seconds: float
    p90_seconds: float
    runs: int
    of_others: bool = False  # the runs are those of other services

    @property
    def says_more(self) -> bool:
        """Whether it tells something beside a run that is over: not where that one is all that is known."""
        return self.runs > 1 or self.of_others

    @property
    def slow_after_seconds(self) -> float:
        """From here on it takes longer than usual (console.md §4, "Progress": past the p90)."""
        return max(self.p90_seconds, self.seconds + NOISE_SECONDS)


def usual_of(seconds: Sequence[float], *, of_others: bool = False) -> Usual | None:
    """From the newest runs, given newest first; None without any."""
    newest = sorted(seconds[:LAST_RUNS])
    if not newest:
        return None
    return Usual(median(newest), newest[math.ceil(0.9 * len(newest)) - 1], len(newest), of_others)


def usual_times(service: Service, alike: str) -> Mapping[Stage, Usual]:
    """Of each step, in one query; "ready" is the whole way from the wish to the first answer, "ending" that to the end.

    ``alike`` is ``timelines.alike_of_service``.
    """
    theirs = Q(service=service) | Q(alike=alike) if alike else Q(service=service)
    # The whole way is the wish's: a program that is started again has none.
    counts = Q(outcome=StartStep.Outcome.DONE) & ~Q(stage=Stage.READY, run__gt=0)
    rows = StartStep.objects.filter(theirs, counts).order_by("-pk")
    own: dict[Stage, list[float]] = defaultdict(list)
    others: dict[Stage, list[float]] = defaultdict(list)
    for step in rows.only("service_id", "stage", "began_at", "ended_at")[:LAST_STEPS]:
        (own if step.service_id == service.pk else others)[Stage(step.stage)].append(step.seconds)
    found: dict[Stage, Usual] = {}
    for stage in own.keys() | others.keys():
        usual = usual_of(own[stage]) or usual_of(others[stage], of_others=True)
        if usual is not None:
            found[stage] = usual
    return found
