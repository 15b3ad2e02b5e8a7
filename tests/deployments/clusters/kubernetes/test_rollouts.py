"""How instances are exchanged on a real control plane: beside the old ones where there is room, else one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from deployments.clusters.base import Workload
from deployments.clusters.kubernetes.backend import KubernetesCluster
from deployments.clusters.kubernetes.kinds import DEPLOYMENT, POD, Manifest
from deployments.clusters.kubernetes.reading import is_ending, labels_of
from deployments.clusters.kubernetes.rollout import lacks_room
from tests.deployments.clusters.kubernetes.final_objects import list_ours
from tests.deployments.clusters.workloads import spec_of, workload
from tests.kube import KubeCluster, fresh_namespace
from tests.waiting import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.django_db]

UID = "eas-m-abcdefghijkl"
#: More than half of a fake node.
LARGE = 60


@pytest.fixture
def crowded(objects_only: KubeCluster) -> Iterator[KubernetesCluster]:
    """A node that has room for one instance alone. Its pods' programs run at once, and are never asked anything."""
    objects_only.steer("fake-nodes", "1", "2")
    objects_only.kubectl("label", "node", "fake-1", "room=one", "--overwrite")
    with fresh_namespace(objects_only) as name:
        yield KubernetesCluster(objects_only.settings(name, node_selector=(("room", "one"),)))
    objects_only.kubectl("label", "node", "fake-1", "room-")


def large(revision: int, max_unavailable: int, **fields: Any) -> Workload:
    strategy = {"max_surge": 1, "max_unavailable": max_unavailable}
    metadata = {"cpu": LARGE, "memory": 512, "rolling_strategy": strategy, "eas.termination_grace_period": 0}
    script = f"exec sleep {revision}"
    return workload(spec_of(script, metadata=metadata), uid=UID, revision=revision, **fields)


def revisions(backend: KubernetesCluster) -> list[tuple[str, bool]]:
    """Of each pod that is not ending: its revision, and whether it has found a node."""
    pods = [pod for pod in list_ours(backend.connection, POD) if not is_ending(pod)]
    return sorted((labels_of(pod)["slipway.dev/revision"], bool(pod["spec"].get("nodeName"))) for pod in pods)


def is_so(backend: KubernetesCluster, wanted: Workload, expected: list[tuple[str, bool]]) -> bool:
    backend.apply(wanted)
    return revisions(backend) == expected


def deployment_of(backend: KubernetesCluster) -> Manifest:
    (found,) = list_ours(backend.connection, DEPLOYMENT)
    return found


def test_where_no_instance_may_be_missing_an_update_waits_for_room(crowded: KubernetesCluster) -> None:
    wait_until(lambda: is_so(crowded, large(1, 0), [("1", True)]), "the first revision runs", 60)

    wait_until(lambda: is_so(crowded, large(2, 0), [("1", True), ("2", False)]), "the second one waits", 60)

    wait_until(lambda: any(lacks_room(pod) for pod in list_ours(crowded.connection, POD)), "it is told why")
    crowded.apply(large(2, 0))
    assert revisions(crowded) == [("1", True), ("2", False)]
    assert deployment_of(crowded)["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_where_an_instance_may_be_missing_the_old_one_makes_room(crowded: KubernetesCluster) -> None:
    wait_until(lambda: is_so(crowded, large(1, 1), [("1", True)]), "the first revision runs", 60)
    assert deployment_of(crowded)["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0

    wait_until(lambda: is_so(crowded, large(2, 1), [("2", True)]), "the second revision runs", 90)

    def is_usual_again() -> bool:
        crowded.apply(large(2, 1))
        return bool(deployment_of(crowded)["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0)

    wait_until(is_usual_again, "the next update begins beside the old instances")


def test_switching_back_takes_what_runs_and_leaves_what_waits(crowded: KubernetesCluster) -> None:
    wait_until(lambda: is_so(crowded, large(1, 0), [("1", True)]), "the first revision runs", 60)
    (first,) = [pod["metadata"]["uid"] for pod in list_ours(crowded.connection, POD)]
    wait_until(lambda: is_so(crowded, large(2, 0), [("1", True), ("2", False)]), "the second one waits", 60)

    wait_until(lambda: is_so(crowded, large(1, 0), [("1", True)]), "the first one is all there is", 60)

    assert [pod["metadata"]["uid"] for pod in list_ours(crowded.connection, POD) if not is_ending(pod)] == [first]
