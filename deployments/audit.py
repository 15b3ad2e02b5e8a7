"""The audit trail: every change, by whom, from what to what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Count, Q, QuerySet

from deployments.models import AuditEntry, Membership, Role, Workspace

MAX_ENTRIES = 100_000  # of one workspace, and of what belongs to none


def record_audit(
    actor: User | None,
    action: str,
    target: str,
    workspace: Workspace | None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Append an entry inside the caller's transaction, so that change and entry stand or fall together."""
    AuditEntry.objects.create(
        workspace=workspace,
        actor=actor,
        actor_name=actor.get_username() if actor else "slipway",
        action=action,
        target=target,
        before=before,
        after=after,
    )


def entries_for(reader: User) -> QuerySet[AuditEntry]:
    """What a person may read: administrators all, owners what concerns their workspaces, everybody their own acts."""
    if reader.is_superuser:
        return AuditEntry.objects.all()
    owned = Membership.objects.filter(user=reader, role=Role.OWNER).values("workspace")
    return AuditEntry.objects.filter(Q(workspace__in=owned) | Q(actor=reader))


def prune_audit(most: int = MAX_ENTRIES) -> int:
    """Keep the newest ``most`` entries of each workspace; returns how many went."""
    counts = AuditEntry.objects.order_by().values_list("workspace").annotate(entries=Count("pk"))
    gone = 0
    for workspace_id, _ in counts.filter(entries__gt=most):
        rows = AuditEntry.objects.filter(workspace=workspace_id)
        oldest_kept = rows.order_by("-pk").values_list("pk", flat=True)[most - 1]
        gone += rows.filter(pk__lt=oldest_kept).delete()[0]
    return gone
