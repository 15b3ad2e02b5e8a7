"""What would happen, before the click: whether the cluster takes a spec, what it would write, what stands in the way.

Nothing is changed by asking. Where the cluster does not answer, that is one of the answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from deployments.clusters import get_cluster
from deployments.clusters.base import ClusterError, Workload
from deployments.clusters.preview import Check, ObjectPreview, Preview
from deployments.differences import Change, compare
from deployments.models import Service
from deployments.spec import ServiceSpec

#: Ends the names of a service's objects until it is created and has a uid of its own.
NO_UID = "eas-m-xxxxxxxxxxxx"
#: A backend masks them itself, and names those that change.
NO_SECRETS = re.compile(r"(?!)")
#: Say what an object was made of and nothing of what it does.
BOOKKEEPING = re.compile(r"metadata\.annotations\.slipway\.dev/spec-hash")


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """An object as it would be, and in what it differs from what is there. ``act``: create, change, keep, remove."""

    shown: ObjectPreview
    changes: tuple[Change, ...]

    @property
    def act(self) -> str:
        if self.shown.wanted is None:
            return "remove"
        if self.shown.live is None:
            return "create"
        return "change" if self.changes else "keep"


@dataclass(frozen=True, slots=True)
class Preflight:
    """``checks`` begins with what the cluster refuses outright. ``needs_access``: there is more to ask about."""

    objects: tuple[ObjectChange, ...]
    checks: tuple[Check, ...]
    needs_access: bool = False

    @property
    def would_run(self) -> bool:
        """Nothing that is known stands in the way."""
        return all(check.state in ("ok", "unknown") for check in self.checks)


def preflight(spec: ServiceSpec, service: Service | None, *, with_access: bool = False) -> Preflight:
    """Ask the cluster. ``with_access`` also looks whether what it needs from elsewhere is within reach, which takes
    seconds.
    """
    cluster = get_cluster()
    refusal = cluster.refuse(spec)
    checks: tuple[Check, ...] = ()
    preview = Preview()
    if refusal is not None:
        checks = (Check("cluster", "fails", refusal.message, refusal.cure, refusal.code),)
    try:
        preview = cluster.preview(workload_of(spec, service))
        checks += preview.checks if refusal is None else ()
        checks += cluster.check_access(spec) if with_access else ()
    except ClusterError as error:
        checks += (Check("cluster", "unknown", error.message, error.cure, error.code),)
    return Preflight(tuple(map(changes_of, preview.objects)), checks, preview.needs_access)


def workload_of(spec: ServiceSpec, service: Service | None) -> Workload:
    """What reconcile would want of the cluster after the click."""
    if service is None:
        return Workload(NO_UID, spec.name, 1, spec, spec.instances, "0")
    current = service.find_spec()
    number = service.wanted_revision.number if service.wanted_revision else 0
    is_new = current is None or not spec.differs_only_in_instances(current)
    token = str(service.restart_number)
    return Workload(service.uid, service.name, number + is_new, spec, spec.instances, token)


def changes_of(one: ObjectPreview) -> ObjectChange:
    if one.wanted is None or one.live is None:
        return ObjectChange(one, ())
    found = [change for change in compare(one.live, one.wanted, NO_SECRETS) if not BOOKKEEPING.fullmatch(change.path)]
    secret = [Change(path, "", "", is_secret=True) for path in one.changed_secrets]
    return ObjectChange(one, (*found, *(one for one in secret if one.path not in {change.path for change in found})))
