"""What the gateway reads of API keys and limits in the database, and the one thing that it writes: their last use."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from django.db.models import Q

from deployments.api_keys import LIMIT_FIELDS, services_to_name
from deployments.group_models import TrafficState
from deployments.models import ApiKey, Limited, Membership, Workspace
from inference_gateway.principals import Limits, Principal, Proof, Subject

#: Names in one query; SQLite takes 32,766 at most, and older ones 999.
MOST_AT_ONCE = 500


class KeyService(Protocol):
    """What of a service says whether a key may call it."""

    @property
    def uid(self) -> str: ...

    @property
    def workspace_id(self) -> int: ...


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One look at one key. ``ended`` is the code and the sentence of why it counts no more."""

    id: int
    principal: Principal
    scopes: frozenset[str]
    service_uids: frozenset[str]  # empty: every service of the workspace
    expires_at: datetime | None
    ended: tuple[str, str] | None


def read_keys(digests: Collection[str]) -> dict[str, KeyEntry]:
    """The keys of these digests, in two queries for each 500; those that are none are left out."""
    found: dict[str, KeyEntry] = {}
    wanted = list(digests)
    for start in range(0, len(wanted), MOST_AT_ONCE):
        some = wanted[start : start + MOST_AT_ONCE]
        rows = list(ApiKey.objects.filter(digest__in=some).select_related("user", "workspace"))
        people, workspaces = {row.user_id for row in rows}, {row.workspace_id for row in rows}
        memberships = {
            (one.user_id, one.workspace_id): one
            for one in Membership.objects.filter(user__in=people, workspace__in=workspaces)
        }
        for row in rows:
            found[row.digest] = make_entry(row, memberships.get((row.user_id, row.workspace_id)))
    return found


def make_entry(row: ApiKey, membership: Membership | None) -> KeyEntry:
    subjects = [Subject(f"key:{row.pk}", read_limits(row))]
    subjects += person_and_workspace(row.user_id, row.workspace, membership)
    principal = Principal(
        Proof.API_KEY,
        row.workspace_id,
        person_id=row.user_id,
        key_id=row.pk,
        limited=tuple(subject for subject in subjects if subject.limits.are_any),
    )
    return KeyEntry(
        id=row.pk,
        principal=principal,
        scopes=frozenset(row.scopes),
        service_uids=frozenset(row.service_uids),
        expires_at=row.expires_at,
        ended=find_end(row, membership),
    )


def find_end(row: ApiKey, membership: Membership | None) -> tuple[str, str] | None:
    """Why the key counts no more, apart from its time being over."""
    if row.revoked_at is not None:
        return "api_key_revoked", f"This API key was revoked on {row.revoked_at:%Y-%m-%d}. Use another."
    if not row.user.is_active:
        return "api_key_inactive", "This API key belongs to an account that is switched off. Use another."
    if membership is None and not row.user.is_superuser:
        message = "This API key belongs to somebody who is no longer a member of its workspace. Use another."
        return "api_key_inactive", message
    return None


def person_and_workspace(user_id: int, workspace: Workspace, membership: Membership | None) -> list[Subject]:
    """Whose limits count for all that a person asks in a workspace. Administrators need not belong to it."""
    subjects = [Subject(f"workspace:{workspace.pk}", read_limits(workspace))]
    if membership is not None:
        subjects.insert(0, Subject(f"person:{user_id}@{workspace.pk}", read_limits(membership)))
    return subjects


def read_limits(row: Limited) -> Limits:
    return Limits(**{name: getattr(row, name) for name in LIMIT_FIELDS})


def make_token_principal(workspace: Workspace) -> Principal:
    """Who calls with a service's own token: nobody in particular, on the workspace's account."""
    limits = read_limits(workspace)
    limited = (Subject(f"workspace:{workspace.pk}", limits),) if limits.are_any else ()
    return Principal(Proof.SERVICE_TOKEN, workspace.pk, limited=limited)


def read_session_principal(user_id: int, workspace_id: int) -> Principal:
    """Who asks in the web chat, with the limits of now."""
    membership = Membership.objects.select_related("workspace").filter(user=user_id, workspace=workspace_id).first()
    workspace = membership.workspace if membership else Workspace.objects.filter(pk=workspace_id).first()
    subjects = [] if workspace is None else person_and_workspace(user_id, workspace, membership)
    limited = tuple(subject for subject in subjects if subject.limits.are_any)
    return Principal(Proof.SESSION, workspace_id, person_id=user_id, limited=limited)


def read_callable(entry: KeyEntry) -> list[str]:
    """Names of the services that a key may call, and of the groups whose requests one of them takes, sorted."""
    rows = services_to_name(Workspace(pk=entry.principal.workspace_id))
    if entry.service_uids:
        rows = rows.filter(uid__in=entry.service_uids)
    found = list(rows.values_list("name", "group__name", "traffic_state"))
    groups = {group for _, group, state in found if group is not None and state == TrafficState.GROUPING}
    return sorted({name for name, _, _ in found} | groups)


def write_uses(used: dict[int, float]) -> None:
    """Note the last use of keys, in one statement; all get the newest of the times, which lie seconds apart."""
    if used:
        last_at = datetime.fromtimestamp(max(used.values()), UTC)
        rows = ApiKey.objects.filter(pk__in=list(used)).filter(Q(last_used_at=None) | Q(last_used_at__lt=last_at))
        rows.update(last_used_at=last_at)
