"""Nodes, what pods claim of them, quotas and storage drivers."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.clusters.kubernetes.watching.nodes import claim_of, node_fields
from deployments.clusters.kubernetes.watching.surroundings import Surroundings
from deployments.clusters.kubernetes.watching.watched import ALL_PODS, CSI_DRIVERS, NODES, QUOTAS, STORAGE_CLASSES


def node(name: str = "n1", **more: Any) -> dict[str, Any]:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T12:00:00Z"}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": more.pop("labels", {})},
        "spec": more.pop("spec", {}),
        "status": {
            "allocatable": {"cpu": "3920m", "memory": "16Gi", "nvidia.com/gpu": "2"},
            "conditions": [more.pop("ready", ready)],
            "nodeInfo": {"kubeletVersion": "v1.34.4"},
        },
    }


def requests(**amounts: str) -> dict[str, Any]:
    return {"resources": {"requests": {name.replace("gpu", "nvidia.com/gpu"): text for name, text in amounts.items()}}}


def pod(name: str = "p", *containers: dict[str, Any], phase: str = "Running", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": {"nodeName": "n1", "containers": list(containers), **spec},
        "status": {"phase": phase},
    }


@pytest.mark.parametrize(
    ("found", "cpu", "memory_mib", "gpu"),
    [
        (pod("p", requests(cpu="500m", memory="1Gi", gpu="1"), requests(cpu="1")), 1.5, 1024, 1),
        (pod("p", requests(cpu="1"), initContainers=[requests(cpu="4")]), 4, 0, 0),
        (pod("p", requests(cpu="1"), initContainers=[requests(cpu="2") | {"restartPolicy": "Always"}]), 3, 0, 0),
        (
            pod(
                "p",
                requests(cpu="1"),
                initContainers=[requests(cpu="1") | {"restartPolicy": "Always"}, requests(cpu="3")],
            ),
            4,
            0,
            0,
        ),
        (pod("p", requests(cpu="1"), overhead={"cpu": "250m"}), 1.25, 0, 0),
        (pod("p", requests(cpu="1"), resources={"requests": {"cpu": "2"}}), 2, 0, 0),
        (pod("p", {}), 0, 0, 0),
    ],
)
def test_a_pod_claims_what_the_scheduler_counts(found: dict[str, Any], cpu: float, memory_mib: int, gpu: int) -> None:
    claim = claim_of(found)
    assert claim is not None
    assert (float(claim.cpu), int(claim.memory / 2**20), int(claim.gpu)) == (cpu, memory_mib, gpu)


def test_pods_without_a_node_or_at_their_end_claim_nothing() -> None:
    assert claim_of(pod("p", requests(cpu="1"), phase="Succeeded")) is None
    assert claim_of(pod("p", requests(cpu="1"), nodeName="")) is None


def test_what_is_free_is_what_no_pod_claims() -> None:
    found = Surroundings()
    found.replace(NODES, [node("n1"), node("n2")], "1")
    assert [one["free"] for one in found.columns()["nodes"]] == [None, None], "nobody may list others' pods yet"

    found.replace(ALL_PODS, [pod("p", requests(cpu="1920m", memory="4Gi", gpu="1"))], "1")
    found.put(ALL_PODS, pod("q", requests(cpu="1")))
    found.remove(ALL_PODS, pod("q", requests(cpu="1")))

    first, second = found.columns()["nodes"]
    assert first["free"] == {"cpu": 2.0, "memory_mib": 12 * 1024, "gpu": 1}
    assert second["free"] == second["allocatable"] == {"cpu": 3.92, "memory_mib": 16 * 1024, "gpu": 2}


def test_a_node_says_why_it_takes_nothing() -> None:
    ready = {"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting.", "lastTransitionTime": "t"}
    taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
    fields = node_fields(node(ready=ready, spec={"unschedulable": True, "taints": [taint]}), None)
    assert (fields["is_ready"], fields["is_cordoned"], fields["reason"]) == (False, True, "Kubelet stopped posting.")
    assert fields["taints"] == [{"key": "node.kubernetes.io/unreachable", "value": "", "effect": "NoExecute"}]


@pytest.mark.parametrize(
    ("labels", "product", "memory_mib"),
    [
        ({"nvidia.com/gpu.product": "NVIDIA-A10", "nvidia.com/gpu.memory": "23028"}, "NVIDIA-A10", 23028),
        ({"aliyun.accelerator/nvidia_name": "T4", "aliyun.accelerator/nvidia_mem": "15360MiB"}, "T4", 15360),
        ({}, "", 0),
    ],
)
def test_labels_tell_a_node_s_gpus(labels: dict[str, str], product: str, memory_mib: int) -> None:
    fields = node_fields(node(labels=labels), None)
    assert (fields["gpu_product"], fields["gpu_memory_mib"]) == (product, memory_mib)


def test_quotas_and_storage_are_told() -> None:
    found = Surroundings()
    hard, used = {"requests.cpu": "8"}, {"requests.cpu": "3"}
    quota = {"metadata": {"name": "q", "uid": "1"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}}
    standard = {
        "metadata": {
            "name": "standard",
            "uid": "2",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "disk.csi.example.com",
    }
    found.replace(QUOTAS, [quota], "1")
    found.replace(STORAGE_CLASSES, [standard], "1")
    found.replace(CSI_DRIVERS, [{"metadata": {"name": "oss.csi.example.com", "uid": "3"}}], "1")

    columns = found.columns()

    assert columns["quotas"] == [{"name": "q", "hard": hard, "used": used}]
    assert columns["storage_drivers"] == [
        {"kind": "csi", "name": "oss.csi.example.com", "driver": "oss.csi.example.com", "is_default": False},
        {"kind": "class", "name": "standard", "driver": "disk.csi.example.com", "is_default": True},
    ]


def test_only_changes_that_matter_count() -> None:
    found = Surroundings()
    found.replace(NODES, [node()], "1")
    before = found.changes
    heartbeat = node()
    heartbeat["status"]["images"] = [{"names": ["new:1"]}]
    found.put(NODES, heartbeat)
    assert found.changes == before
    found.put(NODES, node(spec={"unschedulable": True}))
    assert found.changes > before
