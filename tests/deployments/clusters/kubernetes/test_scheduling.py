"""Which resource is short, by how much, and whether waiting helps."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.clusters.base import Trouble
from deployments.clusters.kubernetes.scheduling import need_of, scheduling_trouble
from deployments.clusters.overview import NodeFields
from deployments.failures import explain_trouble
from tests.deployments.clusters.kubernetes.pod_json import node, pod

A10 = {"nvidia.com/gpu.product": "NVIDIA-A10"}
TAINT: Any = {"key": "team", "value": "vision", "effect": "NoSchedule"}
PRESSURE: Any = {"key": "node.kubernetes.io/disk-pressure", "value": "", "effect": "NoSchedule"}


def asks(message: str = "", *, cpu: str = "1", memory: str = "2Gi", gpu: int = 0, **spec: Any) -> dict[str, Any]:
    waiting = pod(phase="Pending", node="", **spec)
    limits = {"cpu": cpu, "memory": memory, **({"nvidia.com/gpu": str(gpu)} if gpu else {})}
    waiting["spec"]["containers"][0]["resources"] = {"limits": limits}
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    waiting["status"]["conditions"].append({**said, "lastTransitionTime": "2026-01-01T12:00:00Z"})
    return waiting


def find(thing: dict[str, Any], *nodes: NodeFields, grows: bool = False) -> Trouble:
    trouble = scheduling_trouble(thing, nodes, grows=grows)
    assert trouble is not None
    return trouble


def words(trouble: Trouble) -> str:
    explained = explain_trouble(trouble)
    return f"{explained.what} {explained.cure}"


def test_gpus_that_others_have_are_waited_for_in_the_words_of_their_maker() -> None:
    nodes = [node(name, gpu=2, free=(8, 32_768, free), product="A10") for name, free in (("a", 1), ("b", 0))]
    trouble = find(asks(gpu=2), *nodes)
    assert trouble.is_waiting
    assert words(trouble) == "Needs 2 A10; 1 of 4 is free. Starts by itself when 2 are free, or use 1."


def test_gpus_that_are_free_on_different_nodes_do_not_add_up() -> None:
    nodes = [node(name, gpu=2, free=(8, 32_768, 1), product="A10") for name in "ab"]
    assert words(find(asks(gpu=2), *nodes)) == (
        "Needs 2 A10 on one node; at most 1 of 4 is free on one. Starts by itself when 2 are free, or use 1."
    )


def test_more_gpus_than_any_node_has_need_a_person() -> None:
    trouble = find(asks(gpu=4), node(gpu=2, free=(8, 32_768, 2), product="A10"))
    assert not trouble.is_waiting
    assert words(trouble) == "Needs 4 A10 on one node; the largest has 2. Use 2, or add a node with more."


def test_a_cluster_whose_nodes_offer_no_gpu_says_so() -> None:
    trouble = find(asks(gpu=1), node(free=(8, 32_768, 0)))
    assert (trouble.cause, trouble.is_waiting) == ("GpuNotOffered", False)


def test_memory_is_told_with_what_is_needed_and_what_is_free() -> None:
    trouble = find(asks(memory="24Gi"), node("a", free=(8, 20_480, 0)), node("b", free=(8, 8_192, 0)))
    assert words(trouble) == (
        "Needs 24 GiB of memory on one node; at most 20 GiB is free. "
        "Starts by itself when that much is free on one node, or use less."
    )


def test_a_node_whose_free_amounts_are_not_known_makes_no_numbers() -> None:
    message = "0/1 nodes are available: 1 Insufficient memory. preemption: none"
    assert words(find(asks(message, memory="24Gi"), node())).startswith(
        "Needs 24 GiB of memory on one node; none has that much free."
    )


def test_where_each_is_free_somewhere_the_node_that_lacks_least_tells() -> None:
    trouble = find(
        asks(cpu="6", memory="24Gi"),
        node("a", free=(7, 8_192, 0)),
        node("b", free=(2, 30_000, 0)),
    )
    assert words(trouble) == (
        "Needs 24 GiB of memory on one node; a, which lacks least, has 8 GiB free. "
        "Starts by itself when that much is free on one node, or use less."
    )


def test_everything_that_is_short_is_told_with_its_numbers() -> None:
    nodes = [node(name, gpu=2, free=(cpu, 8_192, 0), product="A10") for name, cpu in (("a", 2), ("b", 3.5))]
    trouble = find(asks(cpu="6", memory="24Gi", gpu=1), *nodes)
    assert trouble.is_waiting
    assert words(trouble) == (
        "Needs 1 A10; 0 of 4 are free. Needs 24 GiB of memory on one node; at most 8 GiB is free. "
        "Needs 6 CPU on one node; at most 3.5 is free. "
        "Starts by itself when that much is free on one node, or use less."
    )
    assert words(find(asks(cpu="6", memory="24Gi"), node("a", free=(7, 8_192, 0)), node("b", free=(7, 4_096, 0)))) == (
        "Needs 24 GiB of memory on one node; at most 8 GiB is free. "
        "Starts by itself when that much is free on one node, or use less."
    )


def test_what_no_node_has_at_all_is_told_first_and_its_cure_alone_counts() -> None:
    trouble = find(asks(cpu="500", memory="1000Gi", gpu=2), node(gpu=2, free=(8, 32_768, 1), product="A10"))
    assert not trouble.is_waiting
    assert words(trouble) == (
        "Needs 1,000 GiB of memory on one node; the largest has 32 GiB. Needs 500 CPU on one node; the largest has 8. "
        "Needs 2 A10; 1 of 2 is free. "
        "Use less memory, a smaller model, or a larger node. Use 8 or less, or add a larger node."
    )
    no_gpu = find(asks(cpu="500", gpu=1), node(free=(8, 32_768, 0)))
    assert words(no_gpu).startswith(
        "Needs 1 GPU; no node offers one. Needs 500 CPU on one node; the largest has 8. Start the program for"
    )


def test_what_one_node_alone_lacks_is_told_of_that_node() -> None:
    wide, deep = node("a", gpu=2, free=(1, 8_192, 2)), node("b", gpu=2, free=(1, 8_192, 0))
    large = node("c", free=(8, 32_768, 0))
    assert words(find(asks(cpu="2", memory="24Gi", gpu=1), wide, deep, large)).startswith(
        "Needs 1 GPU on one node; c, which lacks least, has 0 free."
    )
    assert words(
        find(asks(cpu="2", memory="24Gi", gpu=1), wide, node("d", free=(1, 32_768, 0)), node("e", free=(2, 0, 0)))
    ).startswith(
        "Needs 24 GiB of memory on one node; a, which lacks least, has 8 GiB free. Needs 2 CPU on one node; a,"
    )


def test_what_the_scheduler_counts_is_told_whole() -> None:
    message = "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. preemption: none"
    assert words(find(asks(message, memory="24Gi"), node())).startswith(
        "Needs 24 GiB of memory on one node; none has that much free. Needs 1 CPU on one node; none has that much free."
    )


def test_nodes_that_would_do_and_are_away_are_waited_for() -> None:
    away = node("a", ready=False, free=(8, 32_768, 0))
    closed = node("b", cordoned=True, free=(8, 32_768, 0))
    full_disk = node("c", taints=[PRESSURE], free=(8, 32_768, 0))
    trouble = find(asks(), away, closed, full_disk)
    assert (trouble.cause, trouble.is_waiting) == ("NodesAway", True)


def test_a_taint_that_nobody_tolerates_is_named() -> None:
    trouble = find(asks(), node(taints=[TAINT], free=(8, 32_768, 0)))
    assert words(trouble).startswith("Every node that would do is kept for others: team=vision.")


@pytest.mark.parametrize(
    "toleration",
    [
        {"operator": "Exists"},
        {"key": "team", "operator": "Exists"},
        {"key": "team", "value": "vision", "effect": "NoSchedule"},
    ],
)
def test_a_tolerated_taint_is_no_reason(toleration: dict[str, str]) -> None:
    trouble = find(asks(cpu="9", tolerations=[toleration]), node(taints=[TAINT], free=(8, 32_768, 0)))
    assert trouble.cause == "CpuShort"


def test_a_gpu_that_no_node_has_is_told_with_those_there_are() -> None:
    wanted = {"nvidia.com/gpu.product": "NVIDIA-H100"}
    trouble = find(asks(gpu=1, nodeSelector=wanted), node(gpu=4, labels=A10, product="NVIDIA-A10"))
    assert words(trouble).startswith("No node has NVIDIA-H100; there are NVIDIA-A10.")


def test_required_affinity_counts_like_a_selector() -> None:
    rule = {"key": "zone", "operator": "In", "values": ["a", "b"]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    assert find(asks(affinity=affinity), node(labels={"zone": "c"})).values == {"label": "zone=a, b"}
    assert find(asks(cpu="9", affinity=affinity), node(labels={"zone": "b"})).cause == "CpuShort"


def test_a_cluster_that_grows_is_waited_for() -> None:
    assert find(asks(gpu=4), node(gpu=2, free=(8, 32_768, 2)), grows=True).is_waiting


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("0/3 nodes are available: 3 Insufficient ephemeral-storage.", "DiskShort"),
        ("0/3 nodes are available: 3 Too many pods.", "NodesFull"),
        ("0/3 nodes are available: 3 node(s) didn't match pod topology spread constraints.", "SpreadBlocked"),
        ("0/3 nodes are available: 1 node(s) had volume node affinity conflict.", "VolumeElsewhere"),
        ("0/3 nodes are available: 3 node(s) had untolerated taint {team: vision}.", "NodesTainted"),
        ("0/1 nodes are available: 1 node(s) had untolerated taint(s). no new claims to deallocate", "NodesTainted"),
        ("0/3 nodes are available: 3 node(s) were unschedulable.", "NodesAway"),
        ("running PreBind plugin: something of its own", "Unschedulable"),
    ],
)
def test_what_the_nodes_do_not_show_is_taken_from_the_scheduler(message: str, cause: str) -> None:
    assert find(asks(message)).cause == cause


def test_init_containers_run_before_the_others_and_not_beside_them() -> None:
    spec = {
        "containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}}] * 2,
        "initContainers": [
            {"name": "copy", "resources": {"requests": {"cpu": "5", "memory": "1Gi"}}},
            {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"memory": "512Mi"}}},
        ],
    }
    need = need_of(spec)
    assert (need.cpu_milli, need.memory_mib, need.gpus) == (5000, 2560, 0)
