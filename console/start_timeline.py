"""The timelines of a service's instances as pages show them: steps with start, time and usual time (console.md §4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext_lazy

from deployments.chronicle import StartStep
from deployments.models import Instance, Service
from deployments.stages import Stage
from deployments.timelines import alike_of_service
from deployments.usual import Usual, usual_times

SHOWN = 20
SHOWN_STEPS = 12  # of one instance
WAY_OUT_AFTER = timedelta(seconds=10)
#: Steps read for them: each start of a program has up to five.
READ_STEPS = 400
WORDS = {
    Stage.SCHEDULED: gettext_lazy("Waiting for a worker"),
    Stage.PLACING: gettext_lazy("Waiting for its place on a node"),
    Stage.IMAGE: gettext_lazy("Pulling the image"),
    Stage.WEIGHTS: gettext_lazy("Getting files and packages"),
    Stage.AGAIN: gettext_lazy("Waiting to be started again"),
    Stage.STARTING: gettext_lazy("Starting the program"),
    Stage.LOADING: gettext_lazy("Loading weights"),
    Stage.WARMING: gettext_lazy("Asking the model for its first token"),
    Stage.CHECKING: gettext_lazy("Waiting for its check to pass"),
    Stage.READY: gettext_lazy("Answering"),
}
LOOKS = {"done": ("circle-check", "ok"), "failed": ("octagon-x", "bad"), "left": ("square", "idle")}


@dataclass(frozen=True, slots=True)
class Step:
    """One step; ``ended_at`` None: it goes on."""

    stage: Stage
    began_at: datetime
    ended_at: datetime | None
    now: datetime
    outcome: str = ""
    usual: Usual | None = None
    #: Where the step lies in the whole start, in thousandths of it.
    x: int = 0
    width: int = 0

    @property
    def word(self) -> str:
        return str(WORDS[self.stage])

    @property
    def seconds(self) -> float:
        return max(0.0, ((self.ended_at or self.now) - self.began_at).total_seconds())

    @property
    def icon(self) -> str:
        return LOOKS.get(self.outcome, ("loader", "accent"))[0]

    @property
    def tone(self) -> str:
        return LOOKS.get(self.outcome, ("loader", "accent"))[1]

    @property
    def is_slow(self) -> bool:
        return self.usual is not None and self.seconds > self.usual.slow_after_seconds

    @property
    def slow_at(self) -> datetime | None:
        """When a step that goes on begins to take longer than usual."""
        if self.usual is None:
            return None
        return self.began_at + timedelta(seconds=self.usual.slow_after_seconds)


@dataclass(frozen=True, slots=True)
class Timeline:
    """One instance's starts, oldest step first."""

    instance: str
    revision: int
    is_there: bool
    steps: tuple[Step, ...]
    ready_at: datetime | None
    ready_seconds: float | None
    usual: Usual | None  # of the whole way
    hidden: int = 0  # earlier steps of a program that ended many times

    @property
    def current(self) -> Step | None:
        """The step that goes on."""
        last = self.steps[-1] if self.steps else None
        return last if last is not None and last.ended_at is None else None

    @property
    def began_at(self) -> datetime:
        return self.steps[0].began_at

    @property
    def way_out_at(self) -> datetime:
        """When a wait is long enough to be offered an end (console.md §1, principle 2)."""
        return self.began_at + WAY_OUT_AFTER

    @property
    def has_way_out(self) -> bool:
        return self.steps[-1].now >= self.way_out_at

    @property
    def has_failed(self) -> bool:
        return any(step.outcome == "failed" for step in self.steps)


def timelines_of(service: Service, instances: Iterable[Instance], now: datetime) -> list[Timeline]:
    """The newest instance first; two queries."""
    rows = list(service.start_steps.exclude(stage=Stage.ENDING)[:READ_STEPS])
    usual = usual_times(service, alike_of_service(service))
    by_name: dict[str, list[StartStep]] = {}
    for row in reversed(rows):
        by_name.setdefault(row.instance, []).append(row)
    there = {instance.name: instance for instance in instances}
    for name in there:
        by_name.setdefault(name, [])
    made = [timeline_of(name, steps, there.get(name), usual, now) for name, steps in by_name.items()]
    found = [one for one in made if one is not None]
    return sorted(found, key=lambda one: (one.began_at, one.instance), reverse=True)[:SHOWN]


def timeline_of(
    name: str, rows: Sequence[StartStep], there: Instance | None, usual: Mapping[Stage, Usual], now: datetime
) -> Timeline | None:
    """One instance's; None where nothing is known of it."""
    steps = [
        Step(Stage(row.stage), row.began_at, row.ended_at, now, row.outcome, usual.get(Stage(row.stage)))
        for row in rows
        if row.stage != Stage.READY
    ]
    whole = [row for row in rows if row.stage == Stage.READY]
    if there is not None and there.stage_since is not None and there.stage not in (Stage.READY, Stage.NONE):
        stage = Stage(there.stage)
        steps.append(Step(stage, there.stage_since, None, now, "", usual.get(stage)))
    if not steps:
        return None
    return Timeline(
        instance=name,
        revision=there.revision_number if there is not None else rows[0].revision_number,
        is_there=there is not None,
        steps=placed(steps[-SHOWN_STEPS:]),
        hidden=max(0, len(steps) - SHOWN_STEPS),
        ready_at=whole[-1].ended_at if whole else None,
        ready_seconds=whole[-1].seconds if whole else None,
        usual=usual.get(Stage.READY),
    )


def placed(steps: Sequence[Step]) -> tuple[Step, ...]:
    """With their places in the bar of the whole; a step too short to be seen still gets a sliver."""
    begin = steps[0].began_at
    whole = max(((step.ended_at or step.now) - begin).total_seconds() for step in steps) or 1.0
    found = []
    for step in steps:
        x = min(990, round((step.began_at - begin).total_seconds() / whole * 1000))
        width = min(1000 - x, max(6, round(step.seconds / whole * 1000)))
        found.append(Step(step.stage, step.began_at, step.ended_at, step.now, step.outcome, step.usual, x, width))
    return tuple(found)


def scheduled_only(service: Service, now: datetime) -> Timeline:
    """A service that no worker has come to yet."""
    usual = usual_times(service, alike_of_service(service))
    step = Step(Stage.SCHEDULED, service.progress_since, None, now, "", usual.get(Stage.SCHEDULED), 0, 1000)
    number = service.wanted_revision.number if service.wanted_revision else 1
    return Timeline("", number, True, (step,), None, None, usual.get(Stage.READY))
