"""The timeline of each start (console.md §4): which steps an instance went through, and how long each took.

A step is written when it is over; the one that goes on is in the instance's row (``stage``, ``stage_since``).
What is told is what was seen: times of the program's own start and end are the cluster's, the others are of the look
that found them, which comes five times a second while a service is in motion.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from deployments.assess import Seen
from deployments.chronicle import StartStep
from deployments.clusters.base import InstanceObservation, InstancePhase
from deployments.engines import read_command
from deployments.models import Desired, Instance, Service
from deployments.spec import ServiceSpec
from deployments.stages import Stage

#: On the way to the first answer, in order.
WAY = (
    Stage.SCHEDULED, Stage.PLACING, Stage.IMAGE, Stage.WEIGHTS, Stage.STARTING,
    Stage.LOADING, Stage.CHECKING, Stage.WARMING, Stage.READY,
)  # fmt: skip
#: A wish that is older belongs to something else.
LONGEST_WAIT = timedelta(days=1)
KEPT_STEPS, KEPT_FOR = 2_000, timedelta(days=90)
DONE, FAILED, LEFT = StartStep.Outcome.DONE, StartStep.Outcome.FAILED, StartStep.Outcome.LEFT


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an instance is on its way: ``run`` counts the ends of its program so far."""

    stage: Stage
    since: datetime
    run: int = 0


@dataclass(frozen=True, slots=True)
class Over:
    """A step that has ended."""

    stage: Stage
    outcome: StartStep.Outcome
    began_at: datetime
    ended_at: datetime
    run: int = 0


def runs_ended(phase: str, restart_count: int) -> int:
    """How often a program has ended, from its phase and the starts after the first."""
    return restart_count + (1 if phase in (InstancePhase.BACKOFF, InstancePhase.FAILED) else 0)


def standing_of(row: Instance) -> Standing | None:
    """What the row remembers; None where it is of a version that remembered nothing."""
    if row.stage_since is None:
        return None
    return Standing(Stage(row.stage), row.stage_since, runs_ended(row.phase, row.restart_count))


def first_standing(seen: InstanceObservation, wish_at: datetime, now: datetime) -> tuple[list[Over], Standing]:
    """A new instance: it was scheduled from the wish until it was made."""
    made_at = min(seen.created_at or now, now)
    steps = []
    if timedelta() < made_at - wish_at < LONGEST_WAIT:
        steps.append(Over(Stage.SCHEDULED, DONE, wish_at, made_at))
    before = (Stage.PLACING, Stage.IMAGE, Stage.WEIGHTS)  # where the cluster makes it in steps
    return steps, Standing(seen.stage if seen.stage in before else Stage.STARTING, made_at)


def advance(was: Standing, one: Seen, wish_at: datetime, now: datetime) -> tuple[list[Over], Standing]:
    """The steps that are over since ``was``, and where the instance is now. Pure."""
    steps: list[Over] = []
    seen, end = one.instance, one.instance.last_exit
    run = runs_ended(seen.phase, seen.restart_count)
    if run > was.run and end is not None:
        ended_at = max(was.since, min(end.finished_at, now))
        if was.stage is Stage.AGAIN:
            # Started and ended between two looks, or never begun, which the cluster finds at once.
            began_at = max(was.since, min(end.started_at or ended_at, ended_at))
            steps.append(Over(Stage.AGAIN, DONE, was.since, began_at, was.run))
            was = Standing(Stage.STARTING, began_at, was.run)
        if was.stage not in (Stage.READY, Stage.NONE):
            steps.append(Over(was.stage, FAILED, was.since, ended_at, was.run))
        was = Standing(Stage.AGAIN, ended_at, run)
    if one.stage is Stage.NONE:
        if was.stage not in (Stage.READY, Stage.NONE) and seen.phase is not InstancePhase.FAILED:
            steps.append(Over(was.stage, LEFT, was.since, now, was.run))
        return steps, Standing(Stage.NONE, was.since if was.stage is Stage.NONE else now, run)
    if one.stage is Stage.AGAIN:
        return steps, was if was.stage is Stage.AGAIN else Standing(Stage.AGAIN, now, run)
    if was.stage in (Stage.AGAIN, Stage.NONE):
        began_at = max(was.since, min(seen.started_at or now, now))
        if was.stage is Stage.AGAIN:
            steps.append(Over(Stage.AGAIN, DONE, was.since, began_at, run))
        was = Standing(Stage.STARTING, began_at, run)
    return walk(was, one, steps, wish_at, now)


def walk(was: Standing, one: Seen, steps: list[Over], wish_at: datetime, now: datetime) -> tuple[list[Over], Standing]:
    """Forward only: an engine that is slow to answer one question has not gone back to loading."""
    if WAY.index(one.stage) <= WAY.index(was.stage):
        return steps, was
    changed_at = now
    if one.stage is Stage.READY and one.answer_seconds and was.stage is not Stage.WARMING:
        changed_at = max(was.since, now - timedelta(seconds=one.answer_seconds))
        steps.append(Over(was.stage, DONE, was.since, changed_at, was.run))
        was = Standing(Stage.WARMING, changed_at, was.run)
        changed_at = now
    steps.append(Over(was.stage, DONE, was.since, changed_at, was.run))
    if one.stage is Stage.READY:
        made_at = one.instance.created_at or now
        whole = wish_at if timedelta() <= made_at - wish_at < LONGEST_WAIT else made_at
        began_at = whole if was.run == 0 else min(one.instance.started_at or now, now)
        steps.append(Over(Stage.READY, DONE, min(began_at, now), now, was.run))
    return steps, Standing(one.stage, changed_at, was.run)


def alike_of(spec: ServiceSpec) -> str:
    """What makes starts take alike long on one cluster: engine and model, else image and command."""
    container = spec.document["containers"][0]
    command = read_command(container)
    said = (
        f"{command.recipe.label}\0{command.model or ''}"
        if command is not None
        else f"{container.get('image', '')}\0{container.get('script') or container.get('command') or ''}"
    )
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def alike_of_service(service: Service) -> str:
    """The same for the revision that is wanted; "" for a document that newer rules refuse."""
    spec = service.find_spec()
    return alike_of(spec) if spec is not None else ""


def step_rows(service: Service, name: str, revision: int, alike: str, steps: Sequence[Over]) -> list[StartStep]:
    return [
        StartStep(
            service=service,
            instance=name,
            revision_number=revision,
            run=step.run,
            stage=str(step.stage),
            outcome=step.outcome,
            alike=alike,
            began_at=step.began_at,
            ended_at=step.ended_at,
        )
        for step in steps
    ]


def end_asked_at(service: Service) -> datetime | None:
    """Since when a service is to have no instance; None while it is to have some."""
    wants_none = service.desired != Desired.RUNNING or service.wanted_instances == 0
    return service.progress_since if wants_none else None


def steps_left(row: Instance, asked_at: datetime | None, now: datetime) -> list[Over]:
    """An instance that is gone: what it was about to do is over too, and how long it took to end is known.

    ``asked_at`` is ``end_asked_at`` of its service. One that ends while others stay is timed from the look that saw it.
    """
    was = standing_of(row)
    if was is None:
        return []
    began_at = asked_at
    if began_at is None and was.stage is Stage.NONE and row.phase == InstancePhase.STOPPING:
        began_at = was.since
    steps = []
    if was.stage not in (Stage.READY, Stage.NONE):
        steps.append(Over(was.stage, LEFT, was.since, max(began_at or now, was.since), was.run))
    if began_at is not None and timedelta() <= now - began_at < LONGEST_WAIT:
        steps.append(Over(Stage.ENDING, DONE, began_at, now, was.run))
    return steps


def prune_steps(service_id: int, kept: int = KEPT_STEPS) -> int:
    """Keep the newest ``kept`` steps of a service; returns how many went.

    For whoever adds some: to look for services that have too many takes as long as there are steps.
    """
    rows = StartStep.objects.filter(service=service_id)
    oldest_kept = rows.order_by("-pk").values_list("pk", flat=True)[kept - 1 : kept].first()
    return rows.filter(pk__lt=oldest_kept).delete()[0] if oldest_kept is not None else 0


def prune_old_steps() -> int:
    """Forget what is older than ninety days, of all services; returns how many went."""
    return StartStep.objects.filter(ended_at__lt=timezone.now() - KEPT_FOR).delete()[0]
