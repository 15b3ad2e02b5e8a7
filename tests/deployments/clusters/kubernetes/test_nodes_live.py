"""What nodes do to instances, on a real control plane whose nodes are kwok's: no room, taints, silence, refusals."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments import lifecycle
from deployments.models import Service
from deployments.spec import ServiceSpec
from tests.deployments.clusters.kubernetes.failing import Bench, Case, told_of
from tests.deployments.clusters.kubernetes.watcher_process import watching
from tests.kube import IMAGE, KubeCluster, fresh_namespace
from tests.waiting import stretch, wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.django_db(transaction=True), pytest.mark.timeout(400)]

RUNNING = ("Running", "RUNNING", "")
PRODUCT = "NVIDIA-A10"


@pytest.fixture
def pool(objects_only: KubeCluster) -> Iterator[str]:
    """A namespace, and the label of this test's own nodes, which are not the only ones."""
    objects_only.steer("start", "kwok")
    objects_only.steer("fake-nodes", "2", "2")
    with fresh_namespace(objects_only) as name:
        yield name
        objects_only.steer("start", "kwok")
        objects_only.kubectl("delete", "nodes", "-l", f"pool={name}", "--wait=false")


@pytest.fixture
def bench(objects_only: KubeCluster, pool: str, tmp_path: Path) -> Iterator[Bench]:
    """On the pool's nodes alone."""
    usual = objects_only.settings(pool, images={"tools": IMAGE}, node_selector=(("pool", pool),))
    made = Bench(usual)
    with watching(objects_only.kubeconfig, pool, tmp_path):
        yield made
        made.remove()


def add_node(kube: KubeCluster, pool: str, *, gpus: int = 0) -> str:
    """One that kwok keeps alive, and whose pods it says to run."""
    name = f"{pool}-{gpus}"
    offered = {"cpu": "96", "memory": "768Gi", "pods": "250", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {"pool": pool, **({"nvidia.com/gpu.product": PRODUCT} if gpus else {})},
        },
        "status": {"allocatable": offered, "capacity": offered},
    }
    kube.kubectl("apply", "-f", "-", stdin=json.dumps(node))
    wait_until(lambda: condition(kube.get("node", name), "Ready") == "True", f"{name} is ready")
    return name


def condition(thing: Any, kind: str) -> str:
    return next((str(one["status"]) for one in thing["status"].get("conditions", ()) if one["type"] == kind), "")


def settle(bench: Bench, *, seconds: float = 120) -> None:
    assert bench.wait(seconds) == bench.expected()


def expect(bench: Bench, name: str, told: tuple[str, str, str], words: str = "", *, seconds: float = 120) -> Service:
    """Until this one service is told to be so, in these words."""

    deadline = time.monotonic() + seconds * stretch()
    row = bench.look(name)
    while told_of(row) != told and time.monotonic() < deadline:
        time.sleep(0.3)
        row = bench.look(name)
    assert told_of(row) == told, row.message
    assert words in row.message, row.message
    return row


def test_gpus_that_are_not_there_or_not_free_are_told_in_numbers(
    objects_only: KubeCluster, pool: str, bench: Bench
) -> None:
    add_node(objects_only, pool)
    bench.deploy(Case("early", ("Failed", "Unschedulable", "GpuNotOffered"), "", metadata={"gpu": 1}))
    settle(bench)
    bench.remove()

    add_node(objects_only, pool, gpus=2)
    bench.deploy(Case("first", RUNNING, "", metadata={"gpu": 2}))
    expect(bench, "first", RUNNING)
    bench.deploy(Case("second", ("Waiting", "Unschedulable", "GpuShort"), "", metadata={"gpu": 1}))
    expect(bench, "second", ("Waiting", "Unschedulable", "GpuShort"), f"Needs 1 {PRODUCT}; 0 of 2 are free.")


def test_an_update_without_room_says_so_and_replaces_where_it_may(
    objects_only: KubeCluster, pool: str, bench: Bench
) -> None:
    add_node(objects_only, pool, gpus=2)
    stays = {"rolling_strategy": {"max_unavailable": 0, "max_surge": 1}}
    case = Case("chat", RUNNING, "", metadata={"gpu": 2, **stays})
    bench.deploy(case)
    expect(bench, "chat", RUNNING)

    update(bench, case, {"gpu": 2, **stays}, "second")
    words = "The old instances hold the rest, and the rolling strategy lets none of them end first."
    expect(bench, "chat", ("Updating", "Unschedulable", "SurgeBlocked"), words)

    goes = {"rolling_strategy": {"max_unavailable": 1, "max_surge": 1}}
    update(bench, case, {"gpu": 2, **goes}, "third")
    row = expect(bench, "chat", RUNNING)
    assert row.serving_revision is not None
    assert row.serving_revision.number == 3


def update(bench: Bench, case: Case, metadata: dict[str, Any], told: str) -> None:
    document = case.document
    document["metadata"] |= metadata
    document["containers"][0]["env"] = [{"name": "VERSION", "value": told}]
    service = Service.objects.get(pk=bench.services[case.name].pk)
    with bench.under(case):
        lifecycle.update(service, ServiceSpec.parse(document), bench.operator())


def test_an_instance_that_made_room_for_a_more_important_one_says_so(
    objects_only: KubeCluster, pool: str, bench: Bench
) -> None:
    add_node(objects_only, pool, gpus=2)
    bench.deploy(Case("chat", RUNNING, "", metadata={"gpu": 2}))
    expect(bench, "chat", RUNNING)
    important = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": pool}, "value": 9}
    container = {"name": "main", "image": IMAGE, "resources": {"limits": {"nvidia.com/gpu": "2"}}}
    spec = {"priorityClassName": pool, "nodeSelector": {"pool": pool}, "containers": [container]}
    taker = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "taker", "namespace": pool}, "spec": spec}
    objects_only.kubectl("apply", "-f", "-", stdin=json.dumps(important))
    try:
        objects_only.kubectl("apply", "-f", "-", stdin=json.dumps(taker))
        expect(bench, "chat", ("Waiting", "Unschedulable", "Preempted"), "to make room for one of higher priority.")
        objects_only.kubectl("-n", pool, "delete", "pod", "taker", "--grace-period=0", "--force")
        expect(bench, "chat", RUNNING)
    finally:
        objects_only.kubectl("delete", "priorityclass", pool)


def test_taints_cordons_refusals_and_silence_of_a_node(objects_only: KubeCluster, pool: str, bench: Bench) -> None:
    node = add_node(objects_only, pool)
    objects_only.kubectl("taint", "node", node, "team=vision:NoSchedule")
    bench.deploy(Case("chat", RUNNING, ""))
    expect(bench, "chat", ("Failed", "Unschedulable", "NodesTainted"), "Every node that would do is kept for others")
    objects_only.kubectl("taint", "node", node, "team-")
    expect(bench, "chat", RUNNING)

    # The node refuses the pod as the kubelet does where a GPU has failed; its successor finds the node closed.
    objects_only.kubectl("cordon", node)
    (pod,) = objects_only.get("pods", "-n", pool)["items"]
    message = "Pod was rejected: Allocate failed due to no healthy devices present, which is unexpected"
    failed = {"status": {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": message}}
    objects_only.kubectl(
        "-n", pool, "patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge",
        "-p", json.dumps(failed),
    )  # fmt: skip
    expect(bench, "chat", ("Failed", "Evicted", "DeviceRefused"), f"{node} could not give the instance its GPU:")
    objects_only.kubectl("uncordon", node)
    expect(bench, "chat", RUNNING)

    objects_only.steer("stop", "kwok")
    expect(bench, "chat", ("Waiting", "NodeNotReady", "NodeNotReady"), f"The node {node} does not answer.", seconds=180)
    objects_only.steer("start", "kwok")
    wait_until(lambda: condition(objects_only.get("node", node), "Ready") == "True", f"{node} is ready again")
    # A kubelet that is back says so of its pods; kwok does not.
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    for pod in objects_only.get("pods", "-n", pool)["items"]:
        if pod["status"]["phase"] == "Running":
            name = pod["metadata"]["name"]
            objects_only.kubectl("-n", pool, "patch", "pod", name, "--subresource=status", "-p", json.dumps(ready))
    expect(bench, "chat", RUNNING)
