"""The Kubernetes cluster: a service is a Deployment of pods and what belongs to it.

``apply`` renders, compares with what is known, and writes what differs; ``observe`` reads what the watcher has kept.
With a fresh watcher neither asks the API server anything where nothing differs. Nothing here waits for a rollout, and
nothing is kept in memory that matters: any process may be killed after any write, and the next one goes on.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.utils import timezone

from deployments.clusters.base import (
    Capacity,
    ClusterError,
    LogMatches,
    LogPage,
    LogQuery,
    Pace,
    Refusal,
    ServiceObservation,
    Workload,
)
from deployments.clusters.kubernetes import removing
from deployments.clusters.kubernetes.access import Folder, check_folders, check_pull_secrets, find_access_keys
from deployments.clusters.kubernetes.capacity import capacity_of
from deployments.clusters.kubernetes.circumstances import lasting_facts
from deployments.clusters.kubernetes.comparing import differences
from deployments.clusters.kubernetes.connection import Connection, get_connection
from deployments.clusters.kubernetes.credentials import context_of, is_in_cluster
from deployments.clusters.kubernetes.foreseeing import foresee
from deployments.clusters.kubernetes.kinds import DEPLOYMENT, KINDS, NAMESPACE, POD, SERVICE, Manifest, key_of, kind_of
from deployments.clusters.kubernetes.logs import reading as logs
from deployments.clusters.kubernetes.logs.counting import Counted
from deployments.clusters.kubernetes.looking import Known, Looker
from deployments.clusters.kubernetes.names import OWNER, SPEC_HASH, selector
from deployments.clusters.kubernetes.overview import overview_of
from deployments.clusters.kubernetes.pods import View, observe_service, scaled_to, working_container
from deployments.clusters.kubernetes.previewing import preview_objects
from deployments.clusters.kubernetes.reaching import Way, way_to
from deployments.clusters.kubernetes.reading import is_ending, main_status, name_of
from deployments.clusters.kubernetes.rendering import refuse, render
from deployments.clusters.kubernetes.rendering.storage import endpoint_of
from deployments.clusters.kubernetes.rollout import is_through, must_replace
from deployments.clusters.kubernetes.settings import KubernetesSettings
from deployments.clusters.kubernetes.store import find_view, remember, trimmed
from deployments.clusters.kubernetes.watching.nodes import node_fields
from deployments.clusters.overview import ClusterOverview
from deployments.clusters.overview import Connection as Reached
from deployments.clusters.preview import Check, Preview
from deployments.encryption import decrypt
from deployments.models import ClusterMark, Service
from deployments.spec import ServiceSpec
from deployments.words import say

logger = logging.getLogger(__name__)

SPEC_HASH_PATH = f"metadata.annotations.{SPEC_HASH}"
#: What Slipway changes itself under the same hash.
SCALED = frozenset({"spec.replicas"})
#: The watcher calls when something changed; what nobody told is looked at this often.
PACE = Pace(moving_seconds=None, probing_seconds=1.0, running_seconds=60.0, failed_seconds=30.0)


class KubernetesCluster:
    """``deployments.clusters.base.Cluster`` on Kubernetes, in one namespace."""

    def __init__(self, settings: KubernetesSettings) -> None:
        self.settings = settings
        self.connection: Connection = get_connection(settings)
        self._looker = Looker(self.connection)

    @property
    def pace(self) -> Pace:
        return PACE

    # ------------------------------------------------------------------ the verbs

    @property
    def judges_readiness(self) -> bool:
        return True

    @property
    def autoscales(self) -> bool:
        return True

    def apply(self, workload: Workload) -> ServiceObservation:
        """See ``Cluster.apply``. Writes what differs, and removes what is rendered no more."""
        uid = workload.service_uid
        known = self._looker.look(uid)
        with self._noting(known, uid):
            if workload.instances == 0:  # first, so that nothing that is refused keeps a service from being stopped
                self._scale_to_none(known)
            wanted = self._render(workload, known)
            for manifest in wanted:
                self._write(manifest, known, uid)
        for found in surplus_of(workload, wanted, known):
            self._remove(found, uid)
        return self._observe(known, uid)

    def observe(self, service_uid: str) -> ServiceObservation:
        """See ``Cluster.observe``."""
        return self._observe(self._looker.look(service_uid), service_uid)

    def _observe(self, known: Known, service_uid: str) -> ServiceObservation:
        view = View(
            service_uid,
            pods=known.pods,
            manifests=known.manifests,
            events=known.events,
            nodes=known.nodes,
            log_tails={name: log_tail_of(pod) for name, pod in known.pods.items()},
            counts=counts_of(known),
        )
        return observe_service(view, timezone.now(), self._reach(known))

    def stop(self, service_uid: str) -> None:
        """See ``Cluster.stop``. Only the number of instances is changed: that takes no spec."""
        known = self._looker.look(service_uid)
        with self._noting(known, service_uid):
            self._scale_to_none(known)

    def _scale_to_none(self, known: Known) -> None:
        for found in list(known.manifests.values()):
            if found["kind"] == DEPLOYMENT.name and found["spec"].get("replicas") != 0 and not is_ending(found):
                answer = self.connection.patch(DEPLOYMENT, name_of(found), {"spec": {"replicas": 0}})
                if answer is not None:
                    known.note(answer)

    @contextmanager
    def _noting(self, known: Known, service_uid: str) -> Iterator[None]:
        """Keep what the API server answers to the writes inside, in one row at their end, also where one fails.

        Only so that the next look knows of them before the watcher does: killed before, it applies them once more.
        """
        try:
            yield
        finally:
            if known.written:
                remember(service_uid, known.written)
                known.written = []

    def delete(self, service_uid: str) -> None:
        """See ``Cluster.delete``. What is known goes by its UID; that nothing is left, only whole lists say."""
        known = self._looker.look(service_uid)
        if not known.is_fresh or not removing.makers_of(known.all()):
            known = self._looker.list(service_uid)
        for found in removing.deletions(known.all()):
            logger.info("service %s: removing %s", service_uid, key_of(found))
            self.connection.delete(found)
        if not known.all():
            logs.forget_logs(service_uid)

    def restart_instance(self, service_uid: str, instance: str) -> None:
        """See ``Cluster.restart_instance``. Its ReplicaSet makes another pod at once."""
        pod = self.connection.find(POD, instance)
        if pod is not None and self._looker.is_ours(pod, service_uid) and not is_ending(pod):
            self.connection.delete(pod)
            self._looker.forget(service_uid)

    def orphans(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """See ``Cluster.orphans``. Only what carries this database's mark is its own."""
        labels = f"{selector(self.settings.installation)},{OWNER}={ClusterMark.get()}"
        return tuple(sorted(self._looker.list_marked(labels) - set(wanted)))

    # ------------------------------------------------------------------ questions

    def read_log(self, service_uid: str, query: LogQuery) -> LogPage:
        """See ``Cluster.read_log``."""
        return logs.read_log(service_uid, query)

    def search_log(self, service_uid: str, query: LogQuery) -> LogMatches:
        """See ``Cluster.search_log``."""
        return logs.search_log(service_uid, query)

    def list_logs(self, service_uid: str) -> tuple[str, ...]:
        """See ``Cluster.list_logs``."""
        return logs.list_logs(service_uid)

    def refuse(self, spec: ServiceSpec) -> Refusal | None:
        """See ``Cluster.refuse``. What of the cluster cannot be found out now is no reason against a spec."""
        try:
            facts = lasting_facts(spec, self.settings, self._looker)
        except ClusterError as error:
            logger.warning("what the cluster offers is not known: %s", error.message)
            return None
        return refuse(spec, self.settings, facts)

    def capacity(self) -> tuple[Capacity, ...]:
        """See ``Cluster.capacity``: the nodes that take pods. None where they may not be listed or nobody answers."""
        state = self._looker.state()
        if state is not None and state.nodes:
            return tuple(capacity_of(node) for node in state.nodes)
        try:
            return tuple(capacity_of(node_fields(node, None)) for node in self._looker.nodes())
        except ClusterError as error:
            logger.warning("the nodes cannot be listed: %s", error.message)
            return ()

    def preview(self, workload: Workload) -> Preview:
        """See ``Cluster.preview``."""
        row = find_view(workload.service_uid)
        known = Known() if row is None else Known(dict(row.manifests), dict(row.pods))
        try:
            wanted = self._render(workload, known)
        except ClusterError as problem:
            return Preview(checks=(Check("cluster", "fails", problem.message, problem.cure, problem.code),))
        surplus = surplus_of(workload, wanted, known)
        objects = preview_objects([trimmed(one) for one in wanted], known.manifests, surplus)
        has_folders = any(mount.oss is not None for mount in workload.spec.mounts)
        deployment = next(one for one in wanted if one["kind"] == DEPLOYMENT.name)
        checks = foresee(workload, deployment, known.find(DEPLOYMENT), known.pods.values(), self._looker.state())
        overview = self.overview()
        if overview.health != "ok":  # what is foreseen is as old as its last answer
            checks = (Check("cluster", "unknown", overview.message, code=overview.code), *checks)
        return Preview(objects, checks, needs_access=has_folders or bool(self.settings.image_pull_secrets))

    def check_access(self, spec: ServiceSpec) -> tuple[Check, ...]:
        """See ``Cluster.check_access``."""
        secrets = check_pull_secrets(self.settings.image_pull_secrets, self.connection)
        folders = [
            Folder(oss.path, oss.bucket, oss.prefix, endpoint_of(oss, self.settings))
            for mount in spec.mounts
            if (oss := mount.oss) is not None
        ]
        if not folders:
            return secrets
        try:
            keys = find_access_keys(self.settings.oss_secret, self.connection)
        except ClusterError as error:
            return (*secrets, Check("storage", "unknown", error.message, error.cure, error.code))
        return (*secrets, *check_folders(folders, keys))

    def overview(self) -> ClusterOverview:
        """See ``Cluster.overview``."""
        return overview_of(self._looker.state(), self._reached(), timezone.now())

    def heard_at(self) -> datetime | None:
        """See ``Cluster.heard_at``."""
        state = self._looker.state()
        return state.answered_at if state is not None and state.listed_at is not None else None

    def _reached(self) -> Reached:
        try:
            server = self.connection.client.server
        except ClusterError:
            server = ""
        in_cluster = is_in_cluster(self.settings)
        return Reached(
            way="in-cluster" if in_cluster else "kubeconfig",
            server=server,
            context="" if in_cluster else context_of(self.settings),
            file="" if in_cluster else self.settings.kubeconfig,
            namespace=self.settings.namespace,
            installation=self.settings.installation,
            pod_access=self.settings.pod_access,
        )

    # ------------------------------------------------------------------ steps

    def _reach(self, known: Known) -> Callable[[Mapping[str, Any], int], Way]:
        """The way to a pod (``SLIPWAY_POD_ACCESS``)."""
        access = self.settings.pod_access
        server = "" if access == "pod" else self.connection.client.server
        service = known.find(SERVICE)
        return lambda pod, port: way_to(access, server, pod, service, port)

    def _render(self, workload: Workload, known: Known) -> list[Manifest]:
        """Everything the service wants of the cluster, as this Slipway writes it."""
        service = Service.objects.filter(uid=workload.service_uid).only("token_encrypted").first()
        facts = dataclasses.replace(
            lasting_facts(workload.spec, self.settings, self._looker),
            replace=must_replace(workload, known.pods.values(), known.find(DEPLOYMENT)),
            scaled_to=scaled_to(known.manifests),
            token=decrypt(service.token_encrypted) if service is not None else "",
        )
        mark = ClusterMark.get()
        return [with_owner(manifest, mark) for manifest in render(workload, self.settings, facts)]

    def _write(self, manifest: Manifest, known: Known, service_uid: str) -> None:
        """Apply one object if it is not there as it is wanted."""
        there = known.manifests.get(key_of(manifest))
        if there is not None:
            if is_ending(there):  # what is written to it now ends with it; once it is gone it is made anew
                return
            changed = differences(trimmed(manifest), there)
            if not changed:
                return
            if SPEC_HASH_PATH not in changed and set(changed) - SCALED:
                logger.warning("service %s: %s was changed by hand: %s", service_uid, key_of(manifest), changed)
        known.note(self._apply(manifest, service_uid, is_known=there is not None))

    def _apply(self, manifest: Manifest, service_uid: str, *, is_known: bool) -> Manifest:
        """What is not known to be ours is not taken by force: somebody else may have made it.

        Labels can be changed by hand; who has applied an object, only the API server writes down.
        """
        try:
            return self.connection.apply(manifest, force=is_known)
        except ClusterError as error:
            if error.code == "namespace_missing":
                self._make_namespace(error)
                return self.connection.apply(manifest)
            if error.code != "field_conflict":
                raise
        found = self.connection.find(kind_of(manifest), name_of(manifest))
        if (
            found is not None
            and not self.connection.has_applied(found)
            and not self._looker.is_ours(found, service_uid)
        ):
            raise taken(manifest, self.settings)
        return self.connection.apply(manifest)

    def _make_namespace(self, missing: ClusterError) -> None:
        """For a cluster of one's own: where Slipway may not, an administrator has made the namespace."""
        name = self.settings.namespace
        try:
            self.connection.apply({"apiVersion": "v1", "kind": NAMESPACE.name, "metadata": {"name": name}})
        except ClusterError as error:
            logger.warning("namespace %s cannot be created: %s", name, error.message)
            raise missing from error
        logger.info("namespace %s is created", name)

    def _remove(self, found: Manifest, service_uid: str) -> None:
        """Delete what is rendered no more, after a look at what it is now."""
        now = self.connection.find(KINDS[found["kind"]], name_of(found))
        if now is not None and self._looker.is_ours(now, service_uid):
            logger.info("service %s: %s is not wanted any more", service_uid, key_of(found))
            self.connection.delete(now)


def surplus_of(workload: Workload, wanted: Sequence[Manifest], known: Known) -> tuple[Manifest, ...]:
    through = is_through(workload, known.pods.values())
    return removing.surplus(known.manifests, {key_of(one) for one in wanted}, is_through=through)


def with_owner(manifest: Manifest, mark: str) -> Manifest:
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "labels": {**metadata["labels"], OWNER: mark}}}


def log_tail_of(pod: Manifest) -> tuple[str, ...]:
    """The last lines of the program that ended last; none where none has."""
    status = main_status(pod)
    for which in ("state", "lastState"):
        ended = (status.get(which) or {}).get("terminated")
        if ended:
            return logs.read_tail(name_of(pod), str(ended.get("containerID") or ""))
    return ()


def counts_of(known: Known) -> Mapping[str, Counted]:
    """How far the pods are that copy or load; asked only where there is such a pod, and somebody keeps their logs."""
    at_work = [name for name, pod in known.pods.items() if working_container(pod)] if known.is_fresh else []
    return logs.read_counts(at_work) if at_work else {}


def taken(manifest: Mapping[str, Any], settings: KubernetesSettings) -> ClusterError:
    return ClusterError(
        "object_taken",
        say(
            "%(object)s in namespace %(namespace)s belongs to somebody else.",
            object=key_of(manifest), namespace=settings.namespace,
        ),
        say("Give one of the two Slipways another SLIPWAY_INSTALLATION or SLIPWAY_NAMESPACE."),
        needs_person=True,
    )  # fmt: skip
