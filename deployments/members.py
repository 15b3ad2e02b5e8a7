"""Workspaces and who belongs to them.

Every change is made under a lock of the workspace's row, in which the actor's role is looked at again and its owners
are counted: a workspace never loses its last owner, also when two act at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Count, Max, ProtectedError
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from deployments.accounts import NotAllowed, administrators_words, owners_words, role_in
from deployments.audit import record_audit
from deployments.hints import hint_members, hint_person
from deployments.lifecycle import Conflict
from deployments.models import Membership, Role, Service, Workspace
from deployments.spec import FieldError, SpecInvalid
from deployments.words import number

SLUG = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
#: They are pages of ``/workspaces/``.
RESERVED_SLUGS = {"new"}


class PersonUnknown(Conflict):
    """Nobody of that name can be invited; the message says who creates people."""


def may_create_workspaces(user: User) -> bool:
    """Administrators may, and whoever owns one already."""
    return user.is_superuser or user.memberships.filter(role=Role.OWNER).exists()


def not_a_creator() -> NotAllowed:
    words = _("Only administrators and owners of a workspace create workspaces. Administrators: %(names)s.")
    return NotAllowed(words % {"names": administrators_words()})


@contextmanager
def owning(actor: User, workspace: Workspace) -> Iterator[Workspace]:
    """A transaction in which ``actor`` owns the workspace and nobody else changes it or its members.

    Raises ``NotAllowed``, or ``Conflict`` (``gone``) for a workspace that was deleted.
    """
    with transaction.atomic():
        row = locked(workspace)
        require_owner(actor, row)
        yield row


def locked(workspace: Workspace) -> Workspace:
    row = Workspace.objects.select_for_update().filter(pk=workspace.pk).first()
    if row is None:
        raise Conflict("gone", _("This workspace was deleted meanwhile."))
    return row


def require_owner(user: User, workspace: Workspace) -> None:
    """Raise ``NotAllowed`` unless the person owns the workspace."""
    if role_in(user, workspace) != Role.OWNER:
        words = _("You can view %(workspace)s, not change it or its members. Owners: %(names)s.")
        raise NotAllowed(words % {"workspace": workspace.name, "names": owners_words(workspace)})


def create_workspace(actor: User, name: str, slug: str = "") -> Workspace:
    """Create a workspace that ``actor`` owns; without a slug it gets one made of its name.

    Raises ``NotAllowed``, ``SpecInvalid``, or ``Conflict`` (``slug_taken``).
    """
    if not may_create_workspaces(actor):
        raise not_a_creator()
    name = check_name(name)
    chosen = check_slug(slug) if slug else free_slug(name)
    try:
        with transaction.atomic():
            workspace = Workspace.objects.create(slug=chosen, name=name)
            Membership.objects.create(workspace=workspace, user=actor, role=Role.OWNER)
            record_audit(actor, "workspace.create", chosen, workspace, after={"name": name})
    except IntegrityError:
        words = _("There is a workspace %(slug)s already. Choose another short name.")
        raise Conflict("slug_taken", words % {"slug": chosen}) from None
    hint_person(actor.pk)
    return workspace


def check_name(name: str) -> str:
    """The name as it is kept. Raises ``SpecInvalid``."""
    name = " ".join(name.split())
    if not 1 <= len(name) <= 120 or not name.isprintable():
        raise SpecInvalid([FieldError("WorkspaceName", "invalid", _("Give a name of 1 to 120 characters."))])
    return name


def check_slug(slug: str) -> str:
    if not SLUG.fullmatch(slug) or slug in RESERVED_SLUGS:
        words = _("A short name has 1 to 63 of a-z, 0-9 and -, begins with a letter and is not “new”.")
        raise SpecInvalid([FieldError("WorkspaceId", "invalid", words)])
    return slug


def free_slug(name: str) -> str:
    """A short name made of a name, with a number where it is taken."""
    stem = slugify(name)[:40].strip("-_").replace("_", "-")
    stem = stem if SLUG.fullmatch(stem) and stem not in RESERVED_SLUGS else f"workspace-{stem}".rstrip("-")
    taken = set(Workspace.objects.filter(slug__startswith=stem).values_list("slug", flat=True))
    return (
        stem
        if stem not in taken
        else next(f"{stem}-{number}" for number in range(2, len(taken) + 3) if f"{stem}-{number}" not in taken)
    )


def rename_workspace(actor: User, workspace: Workspace, name: str) -> Workspace:
    """Change the name people read; its short name stays, for addresses and documents hold it."""
    name = check_name(name)
    with owning(actor, workspace) as row:
        if row.name != name:
            before = {"name": row.name}
            row.name = name
            row.save(update_fields=["name"])
            record_audit(actor, "workspace.rename", row.slug, row, before=before, after={"name": name})
    return row


def delete_workspace(actor: User, workspace: Workspace) -> None:
    """Delete a workspace without services, with its members' roles and the conversations it kept.

    Raises ``Conflict`` (``workspace_not_empty``).
    """
    try:
        with owning(actor, workspace) as row:
            refuse_services(row)
            people = list(row.memberships.values_list("user_id", flat=True))
            record_audit(actor, "workspace.delete", row.slug, None, before={"name": row.name, "members": len(people)})
            row.delete()
            for person in people:
                hint_person(person)
    except (ProtectedError, IntegrityError):  # a service was deployed into it at this very moment
        refuse_services(workspace)
        raise


def refuse_services(workspace: Workspace) -> None:
    count = workspace.services.count()
    if count:
        words = ngettext(
            "%(workspace)s has %(count)s service. Delete it first; a workspace is deleted once it is empty.",
            "%(workspace)s has %(count)s services. Delete them first; a workspace is deleted once it is empty.",
            count,
        )
        raise Conflict("workspace_not_empty", words % {"workspace": workspace.name, "count": number(count)})


def invite(actor: User, workspace: Workspace, name: str, role: Role) -> Membership:
    """Add a person who exists, by their user name.

    Raises ``NotAllowed``, ``PersonUnknown``, or ``Conflict`` (``already_member``).
    """
    with owning(actor, workspace) as row:
        person = User.objects.filter(username__iexact=name.strip(), is_active=True).order_by("pk").first()
        if person is None:
            words = _("There is nobody named %(name)s. Administrators create people: ask %(names)s.")
            raise PersonUnknown("person_unknown", words % {"name": name, "names": administrators_words()})
        membership, created = Membership.objects.get_or_create(workspace=row, user=person, defaults={"role": role})
        if not created:
            words = _("%(name)s belongs to %(workspace)s already. Change the role in the list.")
            raise Conflict("already_member", words % {"name": person.get_username(), "workspace": row.name})
        record_audit(actor, "member.add", person.get_username(), row, after={"role": str(role)})
        hint_person(person.pk)
        hint_members()
    return membership


def change_role(actor: User, workspace: Workspace, person: User, role: Role) -> Membership:
    """Give a member another role; the same one again is fine. Raises ``Conflict`` (``last_owner``, ``not_member``)."""
    with owning(actor, workspace) as row:
        membership = get_membership(row, person)
        if membership.role != role:
            refuse_last_owner(membership)
            before = {"role": membership.role}
            membership.role = role
            membership.save(update_fields=["role"])
            after = {"role": str(role)}
            record_audit(actor, "member.change_role", person.get_username(), row, before=before, after=after)
            hint_person(person.pk)
            hint_members()
    return membership


def remove_member(actor: User, workspace: Workspace, person: User) -> None:
    """Take a person out of a workspace; everybody may take out themselves. Raises as ``change_role``."""
    with transaction.atomic():
        row = locked(workspace)
        if actor.pk != person.pk:
            require_owner(actor, row)
        membership = get_membership(row, person)
        refuse_last_owner(membership)
        action = "member.leave" if actor.pk == person.pk else "member.remove"
        record_audit(actor, action, person.get_username(), row, before={"role": membership.role})
        membership.delete()
        hint_person(person.pk)
        hint_members()


def get_membership(workspace: Workspace, person: User) -> Membership:
    membership = Membership.objects.filter(workspace=workspace, user=person).first()
    if membership is None:
        words = _("%(name)s does not belong to %(workspace)s any more.")
        raise Conflict("not_member", words % {"name": person.get_username(), "workspace": workspace.name})
    return membership


def refuse_last_owner(membership: Membership) -> None:
    """Raise ``Conflict`` where nobody else owns the workspace. Who cannot sign in does not count."""
    if membership.role != Role.OWNER:
        return
    others = Membership.objects.filter(workspace=membership.workspace_id, role=Role.OWNER, user__is_active=True)
    if not others.exclude(user=membership.user_id).exists():
        words = _("%(name)s is the last owner of %(workspace)s. Make somebody else an owner first.")
        values = {"name": membership.user.get_username(), "workspace": membership.workspace.name}
        raise Conflict("last_owner", words % values)


@dataclass(frozen=True, slots=True)
class WorkspaceSummary:
    """A workspace as lists show it. ``role`` is "" for an administrator who does not belong to it."""

    workspace: Workspace
    role: str
    members: int
    services: int


def summaries(user: User) -> list[WorkspaceSummary]:
    """The workspaces a person may see, by name, with numbers. Four queries, however many there are."""
    roles = dict(Membership.objects.filter(user=user).values_list("workspace_id", "role"))
    rows = Workspace.objects.order_by("name", "pk")
    if not user.is_superuser:
        rows = rows.filter(pk__in=roles)
    found = list(rows)
    counted = [row.pk for row in found]
    members = Membership.objects.filter(workspace__in=counted).order_by().values_list("workspace_id")
    services = Service.objects.filter(workspace__in=counted).order_by().values_list("workspace_id")
    member_counts, service_counts = dict(members.annotate(Count("pk"))), dict(services.annotate(Count("pk")))
    return [
        WorkspaceSummary(row, roles.get(row.pk, ""), member_counts.get(row.pk, 0), service_counts.get(row.pk, 0))
        for row in found
    ]


def members_of(workspace: Workspace) -> list[Membership]:
    """Everybody who belongs to it, by name, each with ``user`` and ``seen_at`` (None: never)."""
    rows = workspace.memberships.select_related("user").annotate(seen_at=Max("user__sign_ins__last_seen_at"))
    return sorted(rows, key=lambda row: row.user.get_username().casefold())


def find_workspace(user: User, slug: str) -> Workspace | None:
    """A workspace by its short name, None for strangers as for names that do not exist."""
    if "\0" in slug:
        return None
    rows = Workspace.objects.filter(slug=slug)
    return (rows if user.is_superuser else rows.filter(memberships__user=user)).first()
