"""The audit trail: every change, by whom, from what to what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User

from deployments.models import AuditEntry, Workspace

MAX_ENTRIES_A_WORKSPACE = 100_000


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
