"""What a workspace, and a person in it, may use at the gateway. Its owners set that."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib.auth.models import User

from deployments.api_keys import check_limits, limits_of
from deployments.audit import record_audit
from deployments.hints import hint_keys
from deployments.members import get_membership, owning
from deployments.models import Membership, Workspace


def set_workspace_limits(actor: User, workspace: Workspace, limits: Mapping[str, int | None]) -> None:
    """Limit what all callers of a workspace use together. Raises ``NotAllowed``, ``SpecInvalid``, ``Conflict``."""
    wanted = check_limits(limits)
    with owning(actor, workspace) as row:
        before, after = limits_of(row), {**limits_of(row), **wanted}
        if before != after:
            Workspace.objects.filter(pk=row.pk).update(**wanted)
            record_audit(actor, "workspace.limits", row.slug, row, before=before, after=after)
            hint_keys()


def set_member_limits(actor: User, workspace: Workspace, person: User, limits: Mapping[str, int | None]) -> None:
    """Limit what one member uses in a workspace, with keys and in the chat. Raises as ``set_workspace_limits``."""
    wanted = check_limits(limits)
    with owning(actor, workspace) as row:
        membership = get_membership(row, person)
        before, after = limits_of(membership), {**limits_of(membership), **wanted}
        if before != after:
            Membership.objects.filter(pk=membership.pk).update(**wanted)
            record_audit(actor, "member.limits", person.get_username(), row, before=before, after=after)
            hint_keys()
