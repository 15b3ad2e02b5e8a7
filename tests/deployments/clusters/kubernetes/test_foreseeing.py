"""Before the click: whether instances find a node, what is missing otherwise, and what quotas leave."""

from __future__ import annotations

from typing import Any

from deployments.cluster_models import ClusterState
from deployments.clusters.base import Workload
from deployments.clusters.kubernetes.foreseeing import foresee, quota_checks, room_check
from deployments.clusters.overview import Amounts, NodeFields, QuotaFields
from deployments.spec import ServiceSpec


def node(name: str, *, gpus: int = 0, free: Amounts | None = None, **other: Any) -> NodeFields:
    made = NodeFields(
        name=name,
        is_ready=True,
        is_cordoned=False,
        since="",
        reason="",
        allocatable=Amounts(cpu=8.0, memory_mib=32768, gpu=gpus),
        free=free or Amounts(cpu=8.0, memory_mib=32768, gpu=gpus),
        gpu_product="NVIDIA-A10" if gpus else "",
        gpu_memory_mib=0,
        labels={"kubernetes.io/hostname": name},
        taints=[],
        version="",
    )
    made.update(other)  # type: ignore[typeddict-item]
    return made


def amounts(cpu: float = 8.0, memory_mib: int = 32768, gpu: int = 0) -> Amounts:
    return Amounts(cpu=cpu, memory_mib=memory_mib, gpu=gpu)


def pod(cpu: str = "2", memory: str = "4Gi", gpus: int = 0, **spec: Any) -> dict[str, Any]:
    limits = {"cpu": cpu, "memory": memory} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    return {"containers": [{"name": "main", "resources": {"limits": limits, "requests": limits}}], **spec}


def test_what_fits_is_said_with_how_many() -> None:
    check = room_check(pod(), 2, [node("a")])
    assert (check.state, check.message) == ("ok", "There is room now: 2 additional instances find a node.")
    assert (check.values["need_milli"], check.values["need_mib"]) == (2000, 4096)


def test_a_gpu_that_others_hold_is_waited_for_with_its_numbers() -> None:
    nodes = [node("a", gpus=2, free=amounts(gpu=1)), node("b", gpus=2, free=amounts(gpu=0))]
    check = room_check(pod(gpus=2), 1, nodes)
    assert (check.state, check.code) == ("waits", "GpuShort")
    assert check.message == "Needs 2 NVIDIA-A10; 1 of 4 is free."
    assert check.cure == "Starts by itself when 2 are free, or use 1."
    assert (check.values["need"], check.values["free"], check.values["total"]) == (2, 1, 4)


def test_more_memory_than_any_node_has_fails() -> None:
    check = room_check(pod(memory="64Gi"), 1, [node("a"), node("b")])
    assert (check.state, check.code) == ("fails", "MemoryShort")
    assert check.message == "Needs 64 GiB of memory on one node; the largest has 32 GiB."


def test_gpus_that_no_node_offers_fail() -> None:
    assert room_check(pod(gpus=1), 1, [node("a")]).code == "GpuNotOffered"


def test_some_of_several_find_room() -> None:
    check = room_check(pod(cpu="3"), 4, [node("a"), node("b", free=amounts(cpu=3.5))])
    assert (check.state, check.values["room"]) == ("waits", 3)
    assert check.message.startswith("3 of 4 additional instances find a node now")


def test_room_is_counted_node_by_node_and_not_in_sum() -> None:
    halves = [node("a", free=amounts(cpu=1.5)), node("b", free=amounts(cpu=1.5))]
    check = room_check(pod(cpu="2"), 1, halves)
    assert (check.state, check.code) == ("waits", "CpuShort")


def test_labels_and_taints_keep_nodes_out_of_the_sum() -> None:
    taint = {"key": "team", "value": "b", "effect": "NoSchedule"}
    assert room_check(pod(), 1, [node("a", taints=[taint])]).code == "NodesTainted"
    tolerated = pod(tolerations=[{"key": "team", "operator": "Exists"}])
    assert room_check(tolerated, 1, [node("a", taints=[taint])]).state == "ok"
    elsewhere = pod(nodeSelector={"node.kubernetes.io/instance-type": "ecs.gn7i"})
    assert room_check(elsewhere, 1, [node("a")]).state == "fails"


def test_nodes_that_are_away_are_waited_for() -> None:
    check = room_check(pod(), 1, [node("a", is_ready=False), node("b", is_cordoned=True)])
    assert (check.state, check.code) == ("waits", "NodesAway")


def test_what_nobody_knows_is_not_guessed() -> None:
    blind = node("a")
    blind["free"] = None
    assert room_check(pod(), 1, [blind]).state == "unknown"
    assert room_check(pod(), 1, []).state == "unknown"
    assert room_check(pod(memory="64Gi"), 1, [blind]).state == "fails"


def test_nothing_new_needs_no_room() -> None:
    assert room_check(pod(memory="64Gi"), 0, []).state == "ok"


QUOTA = QuotaFields(
    name="team-a",
    hard={"requests.nvidia.com/gpu": "8", "limits.memory": "64Gi", "pods": "20", "count/services": "5"},
    used={"requests.nvidia.com/gpu": "7", "limits.memory": "8Gi", "pods": "3"},
)


def test_a_quota_says_what_it_leaves() -> None:
    [check] = quota_checks(pod(gpus=1), 1, [QUOTA])
    assert check.state == "ok"
    assert check.message == (
        "Within quota team-a, which leaves: requests.nvidia.com/gpu 1, limits.memory 56Gi, pods 17."
    )


def test_a_quota_that_is_used_up_says_what_is_short() -> None:
    [check] = quota_checks(pod(gpus=1), 2, [QUOTA])
    assert (check.key, check.state, check.code) == ("quota", "waits", "QuotaExceeded")
    assert check.message == "The quota team-a has 1 of 8 GPUs left; this needs 2."


def test_a_quota_that_was_lowered_has_nothing_left_and_not_less() -> None:
    [check] = quota_checks(pod(), 1, [QuotaFields(name="few", hard={"pods": "5"}, used={"pods": "6"})])
    assert check.message == "The quota few has 0 of 5 instances left; this needs 1."


def test_more_than_the_whole_quota_needs_a_person() -> None:
    [check] = quota_checks(pod(gpus=9), 1, [QUOTA])
    assert check.state == "fails"


def test_a_quota_of_other_things_is_not_spoken_of() -> None:
    assert quota_checks(pod(), 1, [QuotaFields(name="x", hard={"count/services": "5"}, used={})]) == ()


# What an update needs at once


def workload(instances: int, unavailable: int = 1) -> Workload:
    metadata = {
        "name": "chat", "instance": instances,
        "rolling_strategy": {"max_surge": 1, "max_unavailable": unavailable},
    }  # fmt: skip
    spec = ServiceSpec.parse({"metadata": metadata, "containers": [{"image": "a:1", "script": "serve", "port": 8000}]})
    return Workload("u1", "chat", 2, spec, instances)


def deployment(image: str, surge: int | str = 1, gpus: int = 2) -> dict[str, Any]:
    template = {"spec": pod(gpus=gpus)}
    template["spec"]["containers"][0]["image"] = image
    return {"kind": "Deployment", "spec": {"template": template, "strategy": {"rollingUpdate": {"maxSurge": surge}}}}


def pods(count: int) -> list[dict[str, Any]]:
    return [{"metadata": {"name": f"p{number}"}, "status": {"phase": "Running"}} for number in range(count)]


def state(free_gpus: int) -> ClusterState:
    return ClusterState(nodes=[node("a", gpus=4, free=amounts(gpu=free_gpus))], quotas=[QUOTA])


def test_the_first_start_needs_room_for_every_instance() -> None:
    [room, quota] = foresee(workload(2), deployment("a:1", gpus=1), None, [], state(2))
    assert (room.state, room.values["instances"]) == ("ok", 2)
    assert (quota.state, quota.values["instances"]) == ("waits", 2)


def test_an_update_needs_room_for_the_surge_alone() -> None:
    [room, _] = foresee(workload(3), deployment("a:2"), deployment("a:1"), pods(3), state(2))
    assert (room.state, room.values["instances"]) == ("ok", 1)
    [room, _] = foresee(workload(3), deployment("a:2", "50%"), deployment("a:1"), pods(3), state(4))
    assert room.values["instances"] == 2


def test_without_room_for_the_surge_old_ones_go_first_where_they_may() -> None:
    new, old = deployment("a:2"), deployment("a:1")
    assert foresee(workload(2), new, old, pods(2), state(0))[0].code == "Replaces"
    [room, _] = foresee(workload(2, unavailable=0), new, old, pods(2), state(0))
    assert (room.state, room.code) == ("waits", "GpuShort")


def test_another_number_needs_room_for_those_that_are_more() -> None:
    same = deployment("a:1")
    assert foresee(workload(5), same, same, pods(3), state(4))[0].values["instances"] == 2
    [room] = foresee(workload(2), same, same, pods(3), state(0))
    assert (room.state, room.values["instances"]) == ("ok", 0)


def test_a_stopped_service_starts_all_of_them() -> None:
    same = deployment("a:1", gpus=1)
    [room, _] = foresee(workload(2), same, same, [], state(2))
    assert room.values["instances"] == 2


def test_pods_that_end_or_have_ended_are_not_counted_on() -> None:
    same = deployment("a:1", gpus=1)
    ending, done = pods(2)
    ending["metadata"]["deletionTimestamp"] = "2026-11-21T10:00:00Z"
    done["status"]["phase"] = "Failed"
    assert foresee(workload(2), same, same, [ending, done], state(2))[0].values["instances"] == 2


def test_before_anybody_has_watched_nothing_is_foreseen() -> None:
    [room] = foresee(workload(1), deployment("a:1"), None, [], None)
    assert room.state == "unknown"
