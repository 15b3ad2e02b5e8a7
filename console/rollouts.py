"""When rollouts of a service began, as the Monitoring page marks them in its charts and lists them beside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from console.charts import Mark
from deployments.models import Service, ServiceEvent
from deployments.words import translated

#: Events that say that somebody wanted other instances, or another number of them.
CODES = ("Created", "Updating", "Switching", "Scaling", "Restarting", "InstanceRestarted", "Starting")
#: The newest of them; the Events page has all.
MOST = 20


@dataclass(frozen=True, slots=True)
class Rollout:
    """One that somebody asked for."""

    began_at: datetime
    words: str


def rollouts_of(service: Service, since: datetime, until: datetime) -> list[Rollout]:
    """Those that began from ``since`` to before ``until``, the newest first, in one query.

    An update that goes on after trouble is told as ``Updating`` again: only the first of a version began one.
    """
    of_the_version = ServiceEvent.objects.filter(
        service=OuterRef("service"),
        revision_number=OuterRef("revision_number"),
        pk__lt=OuterRef("pk"),
        code__in=("Created", "Updating", "Switching"),
    )
    rows = service.events.filter(code__in=CODES, created_at__gte=since, created_at__lt=until)
    rows = rows.exclude(Q(code="Updating") & Exists(of_the_version))
    return [Rollout(row.created_at, words_of(row)) for row in rows[:MOST]]


def words_of(event: ServiceEvent) -> str:
    # What a start says is of its first second.
    return _("Start") if event.code == "Starting" else translated(event.sentence)


def marks_of(rollouts: Sequence[Rollout], begins_at: datetime, step_seconds: int, steps: int) -> tuple[Mark, ...]:
    """One for each step of a chart in which any began, at the first of them."""
    by_step: defaultdict[int, list[Rollout]] = defaultdict(list)
    for one in sorted(rollouts, key=lambda one: one.began_at):
        by_step[(one.began_at - begins_at) // timedelta(seconds=step_seconds)].append(one)
    whole = timedelta(seconds=step_seconds * steps)
    return tuple(
        Mark(place, (begun[0].began_at - begins_at) / whole, " ".join(one.words for one in begun))
        for place, begun in by_step.items()
        if 0 <= place < steps
    )
