"""The audit trail keeps the newest entries of each workspace."""

from __future__ import annotations

import pytest

from deployments.audit import prune_audit, record_audit
from deployments.models import AuditEntry, Workspace


@pytest.mark.django_db
def test_the_oldest_entries_go_workspace_by_workspace() -> None:
    red = Workspace.objects.create(slug="red", name="Red")
    blue = Workspace.objects.create(slug="blue", name="Blue")
    for number in range(4):
        record_audit(None, f"red.{number}", "chat", red)
        record_audit(None, f"none.{number}", "chat", None)
    record_audit(None, "blue.0", "chat", blue)
    assert prune_audit(2) == 4
    left = set(AuditEntry.objects.values_list("action", flat=True))
    assert left == {"red.2", "red.3", "none.2", "none.3", "blue.0"}
    assert prune_audit(2) == 0
