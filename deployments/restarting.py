"""Replace one instance by a new one. The rest of the service is left as it is.

Which instances there are is the cluster's to say and no wish that could be stored, so this one act goes to the cluster
at once: where that fails nothing has happened, and the caller is told. Afterwards reconcile starts what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from deployments.audit import record_audit
from deployments.clusters import get_cluster
from deployments.clusters.base import InstancePhase
from deployments.hints import hint_service
from deployments.lifecycle import Conflict
from deployments.models import Desired, Instance, Service, Status
from deployments.status import Verdict, record_event
from deployments.tasks import enqueue_reconcile
from deployments.words import say


class InstanceMissing(Exception):
    """The service has no instance of that name, or has none any more."""


def restart_instances(service: Service, names: Sequence[str], actor: User) -> list[str]:
    """Retire these instances and have others started. One that is stopping already is left to it.

    Raises ``InstanceMissing``, ``Conflict`` and ``ClusterError``, the first two before anything is done. Returns the
    names of those that are replaced.
    """
    if service.desired != Desired.RUNNING:
        raise Conflict("stopped", _("%(name)s is stopped. Start it instead.") % {"name": service.name})
    rows = {row.name: row for row in Instance.objects.filter(service=service, name__in=names)}
    for name in names:
        if name not in rows:
            told = _("%(name)s has no instance %(instance)s. It may have ended meanwhile; list them again.")
            raise InstanceMissing(told % {"name": service.name, "instance": name})
    going = [name for name in dict.fromkeys(names) if rows[name].phase != InstancePhase.STOPPING]
    cluster = get_cluster()
    for name in going:
        cluster.restart_instance(service.uid, name)
        write_down(service, name, actor)
    return going


def write_down(service: Service, name: str, actor: User) -> None:
    """Take it out of routing, and keep who asked for it."""
    with transaction.atomic():
        Instance.objects.filter(service=service, name=name).update(phase=InstancePhase.STOPPING, ready_at=None)
        said = say("%(person)s restarted instance %(instance)s.", person=actor.get_username(), instance=name)
        told = Verdict(Status(service.status), "InstanceRestarted", said, instance=name)
        record_event(service, told)
        record_audit(actor, "service.restart_instance", service.name, service.workspace, after={"instance": name})
        Service.objects.filter(pk=service.pk).update(next_check_at=timezone.now())
        hint_service(service)
        enqueue_reconcile(service)
