"""What is done with service groups: how a group shares out its requests, its token, and which members take part.

Nothing here makes a new version or restarts anything: only where the gateway sends requests changes, within a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from deployments.audit import record_audit
from deployments.encryption import encrypt, new_service_token
from deployments.group_models import NO_WEIGHT, ServiceGroup, TrafficMode, TrafficState
from deployments.hints import hint_group, hint_service
from deployments.lifecycle import Conflict
from deployments.models import Desired, Service, Status
from deployments.spec import FieldError, SpecInvalid
from deployments.status import Verdict, record_event
from deployments.words import number, say

MAX_WEIGHT = 1000


def groups_visible_to(user: AbstractBaseUser | AnonymousUser) -> QuerySet[ServiceGroup]:
    """The groups of a person's workspaces; an administrator sees all."""
    rows = ServiceGroup.objects.select_related("workspace")
    if not user.is_authenticated:
        return rows.none()
    return rows if getattr(user, "is_superuser", False) else rows.filter(workspace__memberships__user_id=user.pk)


def set_traffic_mode(group: ServiceGroup, mode: TrafficMode, actor: User) -> ServiceGroup:
    """Share out by instances, or by weights. Raises ``Conflict`` where the group is gone by now."""
    with changing_group(group) as row:
        if row.traffic_mode != mode:
            record_audit(
                actor,
                "group.update",
                row.name,
                row.workspace,
                {"traffic_mode": row.traffic_mode},
                {"traffic_mode": mode},
            )
            row.traffic_mode = mode
            row.save(update_fields=["traffic_mode", "updated_at"])
    return row


def rotate_group_token(group: ServiceGroup, actor: User) -> ServiceGroup:
    """Give the group a new random token; the old one is refused from now on. Raises ``Conflict``."""
    with changing_group(group) as row:
        row.token_encrypted, row.token_made_at = encrypt(new_service_token()), row.updated_at
        row.save(update_fields=["token_encrypted", "token_made_at", "updated_at"])
        record_audit(actor, "group.rotate_token", row.name, row.workspace, after={"token": "changed"})
    return row


@contextmanager
def changing_group(group: ServiceGroup) -> Iterator[ServiceGroup]:
    """The locked row, to be changed and saved by the body."""
    with transaction.atomic():
        rows = ServiceGroup.objects.select_for_update(of=("self",)).select_related("workspace")
        row = rows.filter(pk=group.pk).first()
        if row is None:
            told = _("The group %(name)s is gone: its last member left. Name it in a service's metadata.group.")
            raise Conflict("gone", told % {"name": group.name})
        row.updated_at = timezone.now()
        yield row
        hint_group(row.name)


def release(
    service: Service, actor: User, *, weight: int | None = None, traffic_state: TrafficState | None = None
) -> Service:
    """Let a member take requests of its group or none, and how many beside the others; None leaves as it is.

    ``weight`` is -1 to 1000, -1 for none of its own. Raises ``SpecInvalid``, and ``Conflict`` for a service that is
    in no group, or is being deleted.
    """
    if weight is not None and not NO_WEIGHT <= weight <= MAX_WEIGHT:
        message = _("%(field)s must be a whole number from %(least)s to %(most)s; got %(input)s.") % {
            "field": "Weight", "least": number(NO_WEIGHT), "most": number(MAX_WEIGHT), "input": weight,
        }  # fmt: skip
        raise SpecInvalid([FieldError("Weight", "out_of_range", message)])
    with transaction.atomic():
        rows = Service.objects.select_for_update(of=("self",)).select_related("group", "workspace", "wanted_revision")
        found = rows.filter(pk=service.pk).first()
        if found is None or found.desired == Desired.DELETED:
            told = _("%(name)s is being deleted. Wait until it is gone, then create it anew.")
            raise Conflict("deleting", told % {"name": service.name})
        if found.group is None:
            told = _("%(name)s is in no group. Name one in metadata.group of its document.")
            raise Conflict("no_group", told % {"name": found.name})
        before = traffic_of(found)
        found.weight = found.weight if weight is None else weight
        found.traffic_state = traffic_state or found.traffic_state
        after = traffic_of(found)
        if after != before:
            found.updated_at = timezone.now()
            found.save(update_fields=["weight", "traffic_state", "updated_at"])
            record_event(found, Verdict(Status(found.status), "Released", released_words(found, actor)))
            record_audit(actor, "service.release", found.name, found.workspace, before, after)
            hint_group(found.group.name)
            hint_service(found)
    return found


def traffic_of(row: Service) -> dict[str, Any]:
    return {"weight": row.weight, "traffic_state": str(row.traffic_state)}


def released_words(row: Service, actor: User) -> str:
    group = row.group.name if row.group else ""
    person = actor.get_username()
    if row.traffic_state == TrafficState.STANDALONE:
        return say("%(person)s let it take no requests of the group %(group)s.", person=person, group=group)
    if row.weight == NO_WEIGHT:
        return say("%(person)s let it take requests of the group %(group)s.", person=person, group=group)
    return say(
        "%(person)s let it take requests of the group %(group)s with weight %(weight)s.",
        person=person,
        group=group,
        weight=row.weight,
    )
