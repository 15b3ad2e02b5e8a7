"""The one writer of ``Service.status``, and the machine it follows.

    intent, written by lifecycle with the operator's click     verdict, written by reconcile from what it sees
    ──────────────────────────────────────────────────────     ───────────────────────────────────────────────
    (new row) ────────────────────────────▶ Creating ─────────▶ Waiting ──▶ Running    an instance exists, then
    Stopped | Failed ──── start ──────────▶ Starting ─────────▶ Waiting ──▶ Running    one has answered
    Running | Waiting ─── update, switch ─▶ Updating ─────────────────────▶ Running    every wanted one is of the
                     ├─── restart ────────▶ Updating ─────────────────────▶ Running    wanted revision and restart
                     └─── scale ──────────▶ Scaling ──────────────────────▶ Running    as many answer as wanted
    any but Deleting ──── stop ───────────▶ Stopping ─────────▶ Stopped                no instance is left
    any ───────────────── delete ─────────▶ Deleting ─────────▶ (row gone) | DeleteFailed
                                            Running ──────────▶ Waiting                no instance answers any more
                                            any in motion ────▶ Failed                 nothing serves, and it stays so
                                            Failed ───────────▶ Waiting | Running      it recovered by itself

A transition is a conditional UPDATE on the generation and the status that the writer saw, in one transaction
with its event: where somebody got there first nothing is written, and the caller looks again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from deployments.failures import Cause
from deployments.hints import hint_service
from deployments.models import Service, ServiceEvent, Status
from deployments.notices import record_notice
from deployments.words import words_of

IN_MOTION = frozenset(
    {
        Status.CREATING,
        Status.WAITING,
        Status.UPDATING,
        Status.SCALING,
        Status.STOPPING,
        Status.STARTING,
        Status.DELETING,
    }
)
MAX_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Verdict:
    """A status with its reason: ``reason`` is a stable code, ``message`` a sentence, ``cure`` what to do."""

    status: Status
    reason: str
    message: str
    cure: str = ""
    instance: str = ""
    log_tail: tuple[str, ...] = ()
    cause: Cause | None = None
    times: int = 1  # how often it has happened by now

    @property
    def is_warning(self) -> bool:
        return self.status in {Status.FAILED, Status.DELETE_FAILED} or bool(self.cure)


def transition(service: Service, verdict: Verdict, *, at: datetime | None = None) -> bool:
    """Write ``verdict`` if the row still has the generation and status that ``service`` was loaded with.

    Changes ``service`` in memory too. Returns whether it was written; the same status, reason and cause again only
    refreshes the message, without an event: ``Service.message`` is what holds now ("exited 8 times"), an event
    what was said when it began ("exited 3 times"), so whoever tells of the present takes the service's. Another
    cause of the same reason has another cure: an event of its own, and no notice.
    """
    now = at or timezone.now()
    seen = (service.status, service.reason, service.message)
    if seen == (verdict.status, verdict.reason, verdict.message):
        return False
    is_news = seen[:2] != (verdict.status, verdict.reason)
    changes: dict[str, object] = {
        "status": verdict.status,
        "reason": verdict.reason,
        "message": verdict.message,
        "message_words": words_of(verdict.message),
    }
    if service.status != verdict.status:
        changes |= {"status_since": now, "updated_at": now}
    with transaction.atomic():
        row = Service.objects.filter(pk=service.pk, generation=service.generation, status=service.status)
        if not row.update(**changes):
            return False
        if is_news:
            record_event(service, verdict, at=now)
            record_notice(service, verdict, at=now)
        elif verdict.cause is not None:
            tell_again(service, verdict, verdict.cause, at=now)
        hint_service(service)
    for name, value in changes.items():
        setattr(service, name, value)
    return True


def record_event(service: Service, verdict: Verdict, *, at: datetime | None = None) -> None:
    """Append an event in the words of ``verdict``, whether or not the status changes."""
    ServiceEvent.objects.create(
        service_id=service.pk,
        type=ServiceEvent.Type.WARNING if verdict.is_warning else ServiceEvent.Type.NORMAL,
        code=verdict.reason,
        message=verdict.message,
        message_words=words_of(verdict.message),
        cure=verdict.cure,
        cure_words=words_of(verdict.cure),
        cause=verdict.cause.code if verdict.cause else "",
        fix=asdict(verdict.cause.fix) if verdict.cause and verdict.cause.fix else None,
        times=verdict.times,
        last_seen_at=at or timezone.now(),
        instance=verdict.instance,
        revision_number=service.wanted_revision.number if service.wanted_revision else None,
        log_tail="\n".join(verdict.log_tail),
        created_at=at or timezone.now(),
    )


def tell_again(service: Service, verdict: Verdict, cause: Cause, *, at: datetime) -> None:
    """What was told of has happened again: its event keeps its words, and counts. Another cause has its own event."""
    rows = ServiceEvent.objects.filter(service_id=service.pk, code=verdict.reason)
    newest = rows.order_by("-pk").only("cause").first()
    if newest is None or newest.cause != cause.code:
        record_event(service, verdict, at=at)
    else:
        rows.filter(pk=newest.pk).update(times=verdict.times, last_seen_at=at)


def prune_events(service_id: int) -> None:
    """Keep the newest ``MAX_EVENTS`` events of a service."""
    keep = ServiceEvent.objects.filter(service_id=service_id).order_by("-pk").values_list("pk", flat=True)
    oldest = keep[MAX_EVENTS - 1 : MAX_EVENTS].first()
    if oldest is not None:
        ServiceEvent.objects.filter(service_id=service_id, pk__lt=oldest).delete()
