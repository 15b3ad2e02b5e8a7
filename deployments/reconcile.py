"""Move what is there towards what is wanted, one short step at a time.

``reconcile`` asks "what is wanted, what is there", never "what just happened": it may run any number of times,
twice at once, or after any crash. It returns how soon it wants to run again; the sweep runs it anyway.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from deployments.assess import STARTUP_SECONDS, Seen, Wanted, assess, told_at
from deployments.clusters import get_cluster
from deployments.clusters.base import Cluster, ClusterError, InstancePhase, Pace, ServiceObservation, Trouble, Workload
from deployments.engines import read_command
from deployments.failures import Program
from deployments.group_members import drop_if_empty
from deployments.hints import hint_service, send_hint
from deployments.instances import look_at, ready_names, write_observed
from deployments.leases import claim, release
from deployments.llm_form import llm_request_of, recommend_for
from deployments.models import Desired, Instance, Service, Status
from deployments.notices import notify
from deployments.spec import ServiceSpec, SpecInvalid
from deployments.status import IN_MOTION, Verdict, prune_events, transition
from deployments.words import join, say

logger = logging.getLogger(__name__)

STOPPED_CHECK_SECONDS = 300.0
DELETE_PATIENCE_SECONDS = 120.0
#: How soon a cluster is asked again that could not do it, at the latest.
ERROR_CHECK_SECONDS = 10.0
TELL_AFTER_SILENCE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Step:
    """What one reconcile came to. ``again_in_seconds`` None: nothing to hurry for, the sweep suffices."""

    claimed: bool
    again_in_seconds: float | None = None
    #: When the sweep looks again; None: as was planned before.
    check_in_seconds: float | None = None
    #: Whether the cluster really answered.
    observed: bool = False


def reconcile(service_id: int, *, if_asked: bool = False) -> Step:
    """One step for one service. Never raises for what a cluster does: that becomes status and event.

    By ``if_asked`` none where no look is asked for (any more).
    """
    holder = claim(service_id, if_asked=if_asked)
    if holder is None:
        return Step(claimed=False)
    service = None
    step = Step(claimed=True)
    try:
        service = Service.objects.select_related("wanted_revision", "serving_revision").filter(pk=service_id).first()
        if service is not None:
            step = reconcile_claimed(service, get_cluster())
    except BaseException:
        release(service_id, holder)
        raise
    if service is None or finish(service, step, holder):
        return step
    return replace(step, again_in_seconds=0.0)  # what is wanted, or what is there, changed while we looked


def finish(service: Service, step: Step, holder: str) -> bool:
    """Plan the next look and give the lease back. False where a look is due already.

    A service that was made due while we looked stays due: what was changed meanwhile we may not have seen.
    ``observed_at`` is when the cluster last really answered.
    """
    now = timezone.now()
    rows = Service.objects.filter(pk=service.pk, generation=service.generation)
    seen = {"observed_at": now} if step.observed else {}
    planned = {} if step.check_in_seconds is None else {"next_check_at": now + timedelta(seconds=step.check_in_seconds)}
    unchanged = rows.filter(lease_holder=holder, next_check_at=service.next_check_at)
    if unchanged.update(lease_holder="", lease_until=None, asked_at=None, **seen, **planned):
        return True
    if seen:
        rows.update(**seen)
    # Who asked meanwhile may have come to a service that was held: this look asks again for them.
    mine = Service.objects.filter(pk=service.pk, lease_holder=holder)
    mine.update(lease_holder="", lease_until=None, asked_at=None)
    return not Service.objects.filter(pk=service.pk).exists()


def reconcile_claimed(service: Service, cluster: Cluster) -> Step:
    try:
        if service.desired == Desired.DELETED:
            return reconcile_deletion(service, cluster)
        return reconcile_instances(service, cluster)
    except ClusterError as error:
        return tell_cluster_error(service, error, cluster)
    except SpecInvalid as error:
        if service.desired == Desired.STOPPED or service.wanted_instances == 0:
            return reconcile_stop(service, cluster)
        return tell_refused(service, error, cluster)


def tell_cluster_error(service: Service, error: ClusterError, cluster: Cluster) -> Step:
    """What passes by itself is told to who waits for something, to others once it has lasted: what was seen last holds.

    ``observed_at`` stays, so that pages show the age of what they say.
    """
    logger.warning("service %s: %s: %s", service.name, error.code, error.message)
    silence = timezone.now() - (service.observed_at or service.created_at)
    if error.needs_person or service.status in IN_MOTION or silence > TELL_AFTER_SILENCE:
        transition(service, Verdict(Status(service.status), error.code, error.message, error.cure))
    return Step(claimed=True, check_in_seconds=min(cluster.pace.running_seconds, ERROR_CHECK_SECONDS))


def tell_refused(service: Service, error: SpecInvalid, cluster: Cluster) -> Step:
    """The document was stored under older rules and is refused now: nothing is touched, and the operator told."""
    if service.reason != "DocumentRefused":
        logger.warning("service %s: its document is refused: %s", service.name, error)
    status = Status.FAILED if service.status in IN_MOTION else Status(service.status)
    message = join(say("This version refuses the service's document, so what runs is left as it is."), str(error))
    cure = say("Update the service with a corrected document.")
    transition(service, Verdict(status, "DocumentRefused", message, cure))
    return Step(claimed=True, check_in_seconds=cluster.pace.failed_seconds, observed=True)


def reconcile_stop(service: Service, cluster: Cluster) -> Step:
    """End the instances of a service whose document is refused now: that takes no document."""
    cluster.stop(service.uid)
    seen = cluster.observe(service.uid).instances
    known, _ = write_observed(service, seen)
    transition(service, assess(wanted_of(service, STARTUP_SECONDS), known, timezone.now()))
    checking = check_interval_seconds(service, cluster.pace, moving=bool(seen))
    return Step(True, cluster.pace.moving_seconds if seen else None, checking, observed=True)


def reconcile_instances(service: Service, cluster: Cluster) -> Step:
    spec = service.spec()
    revision = service.wanted_revision
    assert revision is not None
    ready = frozenset() if cluster.judges_readiness else ready_names(service, cluster.observe(service.uid).instances)
    instances = service.wanted_instances if service.desired == Desired.RUNNING else 0
    after, refusal = try_to_apply(
        cluster,
        Workload(
            service_uid=service.uid,
            service_name=service.name,
            revision=revision.number,
            spec=spec,
            instances=instances,
            restart_token=str(service.restart_number),
            ready=ready,
        ),
    )
    known, rows_changed = look_at(service, spec, after.instances)
    program = program_of(spec, cluster, has_ends=any(one.instance.last_exit is not None for one in known))
    wanted = replace(wanted_of(service, startup_seconds(spec)), program=program, trouble=after.trouble)
    if after.scaled_to is not None and instances:
        wanted = replace(wanted, instances=after.scaled_to)
        rows_changed |= follow_autoscaler(service, after.scaled_to)
    verdict = assess(wanted, known, timezone.now())
    if refusal is not None and instances:
        verdict = refused_by_cluster(refusal, known)
    was, was_reason = service.status, service.reason
    changed = transition(service, verdict)
    if verdict.status == Status.RUNNING and verdict.reason == "RUNNING":
        settle(service, known, wanted.instances)
    if changed and was != service.status:
        logger.info("service %s: %s (%s) -> %s (%s)", service.name, was, was_reason, service.status, service.reason)
        prune_events(service.pk)
    if rows_changed and not changed:
        hint_service(service)  # the status keeps its word; pages and gateways look all the same
    moving = service.status in IN_MOTION or any(not one.ready for one in known)
    is_hurried = moving and service.status != Status.FAILED
    again = again_seconds(cluster.pace, known, after.trouble, service.progress_since) if is_hurried else None
    return Step(True, again, check_interval_seconds(service, cluster.pace, moving=moving), observed=True)


def follow_autoscaler(service: Service, instances: int) -> bool:
    """What the platform chose is what is wanted and shown, unless somebody has changed the service meanwhile."""
    if service.wanted_instances == instances:
        return False
    same = Service.objects.filter(pk=service.pk, generation=service.generation, desired=Desired.RUNNING)
    if not same.update(wanted_instances=instances):
        return False
    service.wanted_instances = instances
    return True


def try_to_apply(cluster: Cluster, workload: Workload) -> tuple[ServiceObservation, ClusterError | None]:
    """What is there then, and what the cluster will not take until a person changes something."""
    try:
        return cluster.apply(workload), None
    except ClusterError as error:
        if not error.needs_person:
            raise
        logger.warning("service %s: %s: %s", workload.service_name, error.code, error.message)
        return cluster.observe(workload.service_uid), error


def refused_by_cluster(error: ClusterError, known: Sequence[Seen]) -> Verdict:
    """The service is as its cluster left it: serving as before, or not at all."""
    serving = any(one.ready for one in known)
    return Verdict(Status.RUNNING if serving else Status.FAILED, error.code, error.message, error.cure)


def again_seconds(pace: Pace, known: Sequence[Seen], trouble: Trouble | None, wish_at: datetime) -> float | None:
    """When to look again at what moves: a program that runs and has not answered has to be asked, the rest may tell.

    A trouble that is too young to be told is told as soon as it is old enough.
    """
    is_asked = any(
        one.instance.phase is InstancePhase.RUNNING and not one.ready and one.instance.is_ready is not False
        for one in known
    )
    soon = pace.probing_seconds if is_asked else pace.moving_seconds
    now = timezone.now()
    troubles = [found for found in (trouble, *(one.instance.trouble for one in known)) if found is not None]
    young = [at for found in troubles if (at := told_at(found, wish_at)) is not None and at > now]
    if soon is None and young:
        return (min(young) - now).total_seconds() + 0.1
    return soon


def wanted_of(service: Service, allowed_seconds: float) -> Wanted:
    assert service.wanted_revision is not None
    return Wanted(
        desired=Desired(service.desired),
        instances=service.wanted_instances,
        revision=service.wanted_revision.number,
        restart_token=str(service.restart_number),
        status=Status(service.status),
        reason=service.reason,
        progress_since=service.progress_since,
        startup_seconds=allowed_seconds,
        serving_revision=service.serving_revision.number if service.serving_revision else None,
    )


def program_of(spec: ServiceSpec, cluster: Cluster, *, has_ends: bool) -> Program:
    """What explains a failure: what takes time is asked for only when there is one, or a program has ended."""
    command = read_command(spec.document["containers"][0])
    return Program(
        port=spec.container.port,
        flags=frozenset(command.recipe.flags) if command else (),
        model=(command.model or "") if command else "",
        limit_mib=spec.memory_mib,
        machine_mib=max((node.memory_mib for node in cluster.capacity()), default=None) if has_ends else None,
        plan_mib=lambda: planned_mib(spec, cluster),
    )


def planned_mib(spec: ServiceSpec, cluster: Cluster) -> int | None:
    """What the memory plan gives the model (``recommendation``); None where it is not known or runs on a GPU."""
    request, _ = llm_request_of(spec.document)
    if request is None or spec.gpu:
        return None
    return recommend_for(request, cluster.capacity()).memory_mb


def startup_seconds(spec: ServiceSpec) -> float:
    """How long a program may take to answer: its startup check's whole allowance, else ten minutes."""
    check = spec.container.startup_check
    if check is None:
        return STARTUP_SECONDS
    return float(check.initial_delay_seconds + check.period_seconds * check.failure_threshold)


def settle(service: Service, known: list[Seen], instances: int) -> None:
    """Every wanted instance answers: note which revision and restart they are of."""
    moved = (
        service.serving_revision_id != service.wanted_revision_id
        or service.settled_restart_number != service.restart_number
    )
    if moved and len([one for one in known if one.ready]) >= instances:
        Service.objects.filter(pk=service.pk, generation=service.generation).update(
            serving_revision=service.wanted_revision_id, settled_restart_number=service.restart_number
        )


def check_interval_seconds(service: Service, pace: Pace, *, moving: bool) -> float:
    if service.status == Status.FAILED:
        return pace.failed_seconds
    if moving:  # the task comes back sooner, or the backend calls; this is for when that is lost
        return 1.0 if pace.moving_seconds is not None else pace.running_seconds / 4
    return pace.running_seconds if service.status == Status.RUNNING else STOPPED_CHECK_SECONDS


def reconcile_deletion(service: Service, cluster: Cluster) -> Step:
    """End the instances, remove what the service owns, and at last the row."""
    cluster.delete(service.uid)
    there = cluster.observe(service.uid)
    now = timezone.now()
    if not there.instances and not there.leftovers:
        with transaction.atomic():
            if Service.objects.filter(pk=service.pk, desired=Desired.DELETED).delete()[0]:
                if service.group is not None:
                    drop_if_empty(service.group, None)
                notify(service, "Deleted", say("%(name)s has been deleted.", name=service.name), at=now)
        logger.info("service %s: deleted", service.name)
        send_hint(f"service:{service.name}")
        return Step(claimed=True)
    Instance.objects.filter(service=service).update(phase="Stopping", ready_at=None)
    spec = service.find_spec()
    grace_seconds = spec.termination_grace_seconds if spec else 0
    if now - service.progress_since > timedelta(seconds=DELETE_PATIENCE_SECONDS + grace_seconds):
        names = ", ".join(seen.name for seen in there.instances)
        message = say("Cannot be removed: %(names)s.", names=names) if names else say("Its folder cannot be removed.")
        cure = say("See the log of the worker, then delete it again.")
        transition(service, Verdict(Status.DELETE_FAILED, "DeleteFailed", message, cure))
        return Step(claimed=True, check_in_seconds=cluster.pace.failed_seconds, observed=True)
    return Step(True, cluster.pace.moving_seconds, check_in_seconds=1.0, observed=True)


def due_after_boot() -> int:
    """At a worker's start everything wanted is looked at once, so that no page shows yesterday's Running."""
    rows = Service.objects.exclude(desired=Desired.STOPPED, status=Status.STOPPED)
    boot = settings.SLIPWAY_BOOT_AT
    return rows.filter(next_check_at__gt=timezone.now()).update(next_check_at=boot or timezone.now())


def remove_orphans(cluster: Cluster) -> tuple[str, ...]:
    """Remove what the cluster holds of services that have no row (a database restored from before them).

    A row is written before anything of its service, so whatever has no row now is nobody's. Returns uids.
    """
    # What the cluster holds is listed first and looked up then, so the cost is that of what runs, not of all rows,
    # and a service created in between is in neither list.
    held = cluster.orphans(())
    saved = set(Service.objects.filter(uid__in=held).values_list("uid", flat=True))
    orphans = tuple(uid for uid in held if uid not in saved)
    for uid in orphans:
        logger.warning("service %s has no row: it is removed from the cluster", uid)
        try:
            cluster.delete(uid)
        except ClusterError as error:
            logger.warning("service %s cannot be removed yet: %s", uid, error.message)
    return orphans
