"""Who belongs to which service group: what a service's wanted document names, and nothing else (eas.md §4.5).

A group is made with its first member and goes with its last. All that is written here is written in the caller's
transaction, which has locked the service's row or is about to insert it.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import User
from django.db import connection
from django.utils.translation import gettext as _

from deployments.audit import record_audit
from deployments.encryption import encrypt, new_service_token
from deployments.group_models import NO_WEIGHT, ServiceGroup, TrafficState
from deployments.hints import hint_group
from deployments.models import Service, Workspace
from deployments.spec import FieldError, ServiceSpec, SpecInvalid

FIELD = "metadata.group"


def hold_names(names: Iterable[str]) -> None:
    """Let no other transaction give or take one of these names until this one ends.

    Services and groups have names in common, for both are paths of the gateway, and two tables have no constraint in
    common. SQLite has one writer at a time anyway.
    """
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        for name in sorted(set(names) - {""}):  # in one order, so that no two wait for each other
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"slipway.name:{name}"])


def is_group_s(name: str) -> bool:
    """Whether a service cannot have this name. ``hold_names`` first."""
    return ServiceGroup.objects.filter(name=name).exists()


def find_group_for(workspace: Workspace, name: str, actor: User) -> ServiceGroup | None:
    """The group of a new member, made where it is the first; None for no name.

    ``hold_names`` first. Raises ``SpecInvalid`` for a name that is a service's or belongs to another workspace.
    """
    if not name:
        return None
    if Service.objects.filter(name=name).exists():
        message = _("A service is named %(name)s, and a group shares its addresses. Give the group another name.")
        raise SpecInvalid([FieldError(FIELD, "name_taken", message % {"name": name})])
    group = ServiceGroup.objects.filter(name=name).first()
    if group is None:
        group = ServiceGroup.objects.create(
            name=name, workspace=workspace, token_encrypted=encrypt(new_service_token())
        )
        record_audit(actor, "group.create", name, workspace)
    elif group.workspace_id != workspace.pk:
        message = _("The group %(name)s belongs to another workspace. Give the group another name.")
        raise SpecInvalid([FieldError(FIELD, "group_elsewhere", message % {"name": name})])
    hint_group(name)
    return group


def refuse_own_name(spec: ServiceSpec) -> None:
    """Raise ``SpecInvalid`` where a service names its group as itself."""
    if spec.group == spec.name:
        message = _("A group and its member cannot both be %(name)s. Give the group another name.")
        raise SpecInvalid([FieldError(FIELD, "name_taken", message % {"name": spec.name})])


def move_to_group(row: Service, name: str, actor: User) -> None:
    """Let a locked service belong to the group that its document names now, "" for none.

    Whoever comes to a group takes none of its requests until it is released. Raises as ``find_group_for``.
    """
    before = row.group
    if name == (before.name if before else ""):
        return
    hold_names([name, before.name if before else ""])
    row.group = find_group_for(row.workspace, name, actor)
    row.weight, row.traffic_state = NO_WEIGHT, TrafficState.STANDALONE
    row.save(update_fields=["group", "weight", "traffic_state"])
    if before is not None:
        drop_if_empty(before, actor)


def drop_if_empty(group: ServiceGroup, actor: User | None) -> None:
    """A member left: without another the group goes."""
    hold_names([group.name])
    if not Service.objects.filter(group=group).exists() and ServiceGroup.objects.filter(pk=group.pk).delete()[0]:
        record_audit(actor, "group.delete", group.name, group.workspace)
    hint_group(group.name)
