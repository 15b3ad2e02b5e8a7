"""The Kubernetes backend on a real cluster, with real pods."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployments.clusters.base import ClusterError, InstancePhase, ServiceObservation, Workload
from deployments.clusters.kubernetes.backend import KubernetesCluster
from deployments.clusters.kubernetes.connection import Connection
from deployments.clusters.kubernetes.names import INSTALLATION, SERVICE_UID
from deployments.models import ClusterMark
from tests.deployments.clusters.workloads import spec_of, workload
from tests.kube import KubeCluster
from tests.waiting import wait_until

pytestmark = pytest.mark.kubernetes

UID = "eas-m-abcdefghijkl"
SERVER = "exec python3 -m http.server $PORT"


def wanted(instances: int = 1, **fields: Any) -> Workload:
    small = {"memory": 64}
    return workload(spec_of(SERVER, instances, metadata=small), uid=UID, **fields)


def settled(backend: KubernetesCluster, aim: Workload) -> ServiceObservation:
    """Apply until as many instances as wanted are ready and no others are there."""

    def look() -> ServiceObservation | None:
        backend.apply(aim)
        seen = backend.observe(aim.service_uid)
        is_so = len(seen.instances) == aim.instances and all(
            one.is_ready and (one.revision, one.restart_token) == (aim.revision, aim.restart_token)
            for one in seen.instances
        )
        return seen if is_so else None

    found = wait_until(look, f"{aim.instances} ready instances", 90)
    assert found is not None
    return found


def gone(backend: KubernetesCluster, uid: str = UID) -> bool:
    backend.delete(uid)
    seen = backend.observe(uid)
    return not seen.instances and not seen.leftovers


def writes(connection: Connection) -> int:
    return sum(count for verb, count in connection.counts.items() if verb in {"apply", "patch", "delete"})


def names_in(kube: KubeCluster, namespace: str) -> set[str]:
    kinds = "deploy,rs,pods,svc,endpointslices,secrets,pvc,hpa,pdb,netpol"
    return set(kube.kubectl("get", kinds, "-n", namespace, "-o", "name", "--ignore-not-found").split())


def test_an_instance_runs_and_a_second_reconcile_writes_nothing(backend: KubernetesCluster) -> None:
    (instance,) = settled(backend, wanted()).instances
    assert instance.phase is InstancePhase.RUNNING
    assert instance.host
    before = writes(backend.connection)

    backend.apply(wanted())

    assert writes(backend.connection) == before


def test_scaling_restarts_nobody_and_is_no_change_by_hand(
    backend: KubernetesCluster, kube: KubeCluster, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    (first,) = settled(backend, wanted()).instances

    after = settled(backend, wanted(2)).instances

    assert first in after
    assert "changed by hand" not in caplog.text
    kube.kubectl("set", "env", "deploy", "--all", "PORT=1", "-n", namespace)
    KubernetesCluster(backend.settings).apply(wanted(2))
    assert "changed by hand" in caplog.text


def test_stopping_ends_the_instances_and_keeps_the_rest(
    backend: KubernetesCluster, kube: KubeCluster, namespace: str
) -> None:
    settled(backend, wanted())
    kept = {name for name in names_in(kube, namespace) if name.startswith(("deploy", "service/", "replicaset"))}

    backend.stop(UID)

    wait_until(lambda: not backend.observe(UID).instances, "no instance", 60)
    assert kept <= names_in(kube, namespace)
    settled(backend, wanted())


def test_a_restart_replaces_every_instance(backend: KubernetesCluster) -> None:
    (old,) = settled(backend, wanted()).instances

    (new,) = settled(backend, wanted(restart_token="1")).instances

    assert new.name != old.name


def test_one_instance_is_restarted_by_name(backend: KubernetesCluster) -> None:
    before = {one.name for one in settled(backend, wanted(2)).instances}
    chosen = min(before)

    backend.restart_instance(UID, chosen)
    backend.restart_instance(UID, "no-such-instance")
    backend.restart_instance("eas-m-somebodyelse", max(before))

    wait_until(lambda: chosen not in {one.name for one in backend.observe(UID).instances}, "the end of one", 60)
    after = {one.name for one in settled(backend, wanted(2)).instances}
    assert before & after == before - {chosen}


def test_a_deleted_service_leaves_nothing(backend: KubernetesCluster, kube: KubeCluster, namespace: str) -> None:
    before = names_in(kube, namespace)
    settled(backend, wanted())

    wait_until(lambda: gone(backend), "nothing left", 60)

    assert names_in(kube, namespace) == before
    backend.delete(UID)


def test_deleting_takes_instances_that_lost_their_owner(
    backend: KubernetesCluster, kube: KubeCluster, namespace: str
) -> None:
    before = names_in(kube, namespace)
    settled(backend, wanted())
    kube.kubectl("delete", "deploy", "--all", "--cascade=orphan", "-n", namespace)
    kube.kubectl("delete", "rs", "--all", "--cascade=orphan", "-n", namespace)

    wait_until(lambda: gone(backend), "nothing left", 60)

    assert names_in(kube, namespace) == before


@pytest.fixture
def neighbour(kube: KubeCluster, backend: KubernetesCluster) -> KubernetesCluster:
    """Another Slipway in the same namespace, of another name, with a copy of the database."""
    settings = kube.settings(backend.settings.namespace, installation="other", images=backend.settings.images)
    return KubernetesCluster(settings)


def test_a_copy_of_this_slipway_cannot_take_its_objects(
    backend: KubernetesCluster, neighbour: KubernetesCluster
) -> None:
    (before,) = settled(backend, wanted()).instances

    with pytest.raises(ClusterError) as caught:
        neighbour.apply(wanted())
    neighbour.delete(UID)
    neighbour.stop(UID)
    neighbour.restart_instance(UID, before.name)

    assert caught.value.code == "object_taken"
    assert neighbour.observe(UID).instances == ()
    assert neighbour.orphans(()) == ()
    assert settled(backend, wanted()).instances == (before,)


def test_only_what_this_database_wrote_is_its_orphan(backend: KubernetesCluster) -> None:
    backend.apply(wanted())
    assert backend.orphans(()) == (UID,)
    assert backend.orphans((UID,)) == ()

    ClusterMark.objects.update(mark="another")

    assert backend.orphans(()) == ()


def test_a_missing_namespace_is_made(kube: KubeCluster, backend: KubernetesCluster) -> None:
    name = f"{backend.settings.namespace}-more"
    lonely = KubernetesCluster(kube.settings(name, images=backend.settings.images))
    try:
        lonely.apply(wanted(instances=0))
        assert lonely.observe(UID).leftovers
    finally:
        kube.try_kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def applied(backend: KubernetesCluster) -> KubernetesCluster:
    settled(backend, wanted())
    return backend


@pytest.mark.parametrize(
    "words",
    [
        ("scale", "deploy", "--all", "--replicas=3"),
        ("delete", "deploy", "--all", "--wait=false"),
        ("delete", "svc", "--all"),
        ("set", "env", "deploy", "--all", "PORT=1"),
        ("set", "image", "deploy", "--all", "main=kube.local/pause:1"),
        ("delete", "pods", "--all", "--wait=false"),
        ("delete", "rs", "--all", "--wait=false"),
        ("label", "deploy", "--all", f"{SERVICE_UID}-"),
        ("label", "svc", "--all", f"{INSTALLATION}=stranger", "--overwrite"),
    ],
    ids=lambda words: "-".join(words[:2]),
)
def test_what_was_changed_by_hand_is_put_right(
    applied: KubernetesCluster, kube: KubeCluster, namespace: str, words: tuple[str, ...]
) -> None:
    kept = {name for name in names_in(kube, namespace) if name.startswith(("deploy", "service/"))}
    kube.kubectl(*words, "-n", namespace)

    def is_right() -> bool:
        stranger = KubernetesCluster(applied.settings)  # remembers nothing of what it saw a moment ago
        settled(stranger, wanted())
        before = writes(stranger.connection)
        stranger.apply(wanted())
        return kept <= names_in(kube, namespace) and writes(stranger.connection) == before

    wait_until(is_right, "everything as it was rendered", 90)


def test_a_preview_shows_what_would_change_and_no_secret(backend: KubernetesCluster) -> None:
    named = {"env": [{"name": "API_KEY", "value": "old"}, {"name": "COLOUR", "value": "red"}]}
    changed = {"env": [{"name": "API_KEY", "value": "new"}, {"name": "COLOUR", "value": "blue"}]}
    before = workload(spec_of(SERVER, container=named), uid=UID, instances=0)
    after = workload(spec_of(SERVER, container=changed), uid=UID, instances=1, revision=2)

    new = {one.name: one for one in backend.preview(before).objects}
    assert {one.live for one in new.values()} == {None}
    backend.apply(before)
    same = {one.name: one for one in backend.preview(before).objects}
    assert {name: one.live for name, one in same.items()} == {name: one.wanted for name, one in same.items()}
    assert all(one.changed_secrets == () for one in same.values())
    updated = backend.preview(after).objects
    deployment = next(one for one in updated if one.name.startswith("Deployment/"))

    assert deployment.wanted is not None
    assert deployment.live is not None
    assert (deployment.live["spec"]["replicas"], deployment.wanted["spec"]["replicas"]) == (0, 1)
    assert '"red"' in json.dumps(deployment.live)
    assert '"blue"' in json.dumps(deployment.wanted)
    shown = json.dumps([(one.live, one.wanted) for one in updated])
    assert not any(secret in shown for secret in ('"old"', '"new"', "b2xk", "bmV3"))  # plain, and in base64
    assert [path for one in updated for path in one.changed_secrets]


def test_an_update_keeps_the_old_instance_until_the_new_one_is_ready(backend: KubernetesCluster) -> None:
    (old,) = settled(backend, wanted()).instances
    serving: set[bool] = set()

    def is_updated() -> bool:
        backend.apply(wanted(revision=2))
        seen = backend.observe(UID).instances
        serving.add(any(one.is_ready for one in seen))
        return [(one.revision, one.is_ready) for one in seen] == [(2, True)]

    wait_until(is_updated, "the new revision alone", 90)

    assert serving == {True}
    assert old.name not in {one.name for one in backend.observe(UID).instances}


def test_an_update_that_fails_leaves_the_old_instance_and_can_be_taken_back(backend: KubernetesCluster) -> None:
    (old,) = settled(backend, wanted()).instances
    broken = workload(spec_of("exit 3", metadata={"memory": 64}), uid=UID, revision=2)

    def has_failed_twice() -> bool:
        backend.apply(broken)
        return any(one.revision == 2 and one.restart_count for one in backend.observe(UID).instances)

    wait_until(has_failed_twice, "the new revision has failed again", 90)
    assert old in backend.observe(UID).instances

    assert settled(backend, wanted()).instances == (old,)
