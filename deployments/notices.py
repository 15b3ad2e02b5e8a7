"""Notices for the bell (console.md §4): what happened to the services of a person's workspaces.

Each member gets a row of their own, to be read or not; rows outlive the service, and go after thirty days.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Max, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from deployments.chronicle import Notice
from deployments.hints import send_hint
from deployments.models import Service, Status
from deployments.words import Sentence, join, say, words_of

if TYPE_CHECKING:
    from deployments.status import Verdict

KEPT_FOR = timedelta(days=30)
KEPT_A_PERSON = 500
TOPIC = "notices:"  # and the workspace's id


def record_notice(service: Service, verdict: Verdict, *, at: datetime) -> None:
    """Tell the members, inside the caller's transaction, where ``verdict`` is worth telling.

    ``service`` is as it was before the verdict.
    """
    said = notice_words(service, verdict)
    if said is not None:
        notify(service, verdict.reason, said, at=at)


def notify(service: Service, code: str, said: Sentence, *, at: datetime) -> None:
    """One row for each member of the service's workspace."""
    workspace_id = service.workspace_id
    people = User.objects.filter(memberships__workspace_id=workspace_id, is_active=True)
    rows = [
        Notice(
            person_id=person_id,
            workspace_id=workspace_id,
            service_name=service.name,
            code=code,
            message=said,
            message_words=words_of(said),
            created_at=at,
        )
        for person_id in people.values_list("pk", flat=True)
    ]
    Notice.objects.bulk_create(rows)
    topic = f"{TOPIC}{workspace_id}"
    transaction.on_commit(lambda: send_hint(topic), robust=True)


def notice_words(service: Service, verdict: Verdict) -> Sentence | None:
    """What to tell, None for steps on the way: an end is told, and that something stopped answering."""
    name, number = service.name, service.wanted_revision.number if service.wanted_revision else 0
    if verdict.status == Status.FAILED:
        return join(say("%(name)s failed.", name=name), verdict.message)
    if verdict.status == Status.DELETE_FAILED:
        return join(say("%(name)s could not be deleted.", name=name), verdict.message)
    if verdict.reason == "UpdateHalted":
        said = say("The update of %(name)s to r%(number)s was rolled back.", name=name, number=str(number))
        return join(said, verdict.message)
    if verdict.status == Status.STOPPED and service.status != Status.STOPPED:
        return say("%(name)s has stopped.", name=name)
    if verdict.status == Status.WAITING and service.status == Status.RUNNING:
        return say("No instance of %(name)s answers any more. It is started again.", name=name)
    if verdict.status == Status.RUNNING and verdict.reason == "RUNNING":
        if service.status == Status.SCALING:
            return join(say("%(name)s has been scaled.", name=name), verdict.message)
        if service.status == Status.UPDATING:
            return say("%(name)s runs as r%(number)s.", name=name, number=str(number))
        if service.serving_revision_id is None:
            return say("%(name)s runs.", name=name)
        return say("%(name)s runs again.", name=name)
    return None


def unread_count(person: User) -> int:
    """How many a person has not read."""
    return Notice.objects.filter(person=person, read_at__isnull=True).count()


@dataclass(frozen=True, slots=True)
class Unread:
    """What of the bell a person has not read: one that is told about changes tells both apart."""

    count: int
    newest: int | None  # its id


def look_for_unread(person: User) -> Unread:
    """How many, and which is the newest."""
    rows = Notice.objects.filter(person=person, read_at__isnull=True)
    return Unread(**rows.aggregate(count=Count("pk"), newest=Max("pk")))


def unread_notices() -> Coalesce:
    """The same as a part of a query for people."""
    unread = Notice.objects.filter(person=OuterRef("pk"), read_at__isnull=True).order_by().values("person")
    return Coalesce(Subquery(unread.annotate(number=Count("pk")).values("number")), 0)


def prune_notices(most: int = KEPT_A_PERSON) -> int:
    """Forget what is older than thirty days, and all but the newest ``most`` of each person."""
    gone = Notice.objects.filter(created_at__lt=timezone.now() - KEPT_FOR).delete()[0]
    counts = Notice.objects.order_by().values_list("person").annotate(notices=Count("pk"))
    for person_id, _ in counts.filter(notices__gt=most):
        rows = Notice.objects.filter(person=person_id)
        oldest_kept = rows.order_by("-pk").values_list("pk", flat=True)[most - 1]
        gone += rows.filter(pk__lt=oldest_kept).delete()[0]
    return gone
