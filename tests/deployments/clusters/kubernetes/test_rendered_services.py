"""The rules behind what stands around a service's pods: who reaches them, how many there are, what is refused."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from typing import Any

import pytest

from deployments.clusters.kubernetes.names import object_name
from deployments.clusters.kubernetes.rendering import ClusterFacts, refuse
from deployments.clusters.kubernetes.rendering.facts import SHARED_GPUS
from deployments.spec import NAME_RULE, ServiceSpec
from tests.deployments.clusters.kubernetes.cases import BUNDLED, CASES, SETTINGS, WITH_DRIVER, Case
from tests.deployments.clusters.kubernetes.rendered import document, objects, rendered

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
OSS = {"mount_path": "/m", "oss": {"path": "oss://b/m/", "endpoint": "oss-cn-x.aliyuncs.com"}}


def test_names_are_valid_and_never_collide_whatever_the_service_is_called() -> None:
    assert NAME_RULE
    choose = random.Random(5)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    services = [
        (
            "".join(choose.choices("abyz09__", k=choose.randint(3, 63))),
            "eas-m-" + "".join(choose.choices(letters, k=12)),
        )
        for _ in range(2000)
    ]
    services += [("___", "eas-m-a1b2c3d4e5f6"), ("a" * 63, "eas-m-a1b2c3d4e5f7"), ("0_0", "eas-m-000000000000")]
    names = [object_name(name, uid) for name, uid in services]
    assert len(set(names)) == len({uid for _, uid in services})
    for name in names:
        assert LABEL.fullmatch(name), name
        assert name[0].isalpha(), name  # a Service's name
        assert len(name) + len("-0123456789-abcde") <= 63, name  # of a pod


@pytest.mark.parametrize("name", ["___", "_a_", "0__", "a" * 63, "9" * 63])
def test_every_object_of_a_service_has_valid_names_and_labels(name: str) -> None:
    whole = document(metadata={"name": name}, storage=[OSS], dockerAuth="dXNlcjpwYXNz")
    for kind in ("Deployment", "Service", "Secret", "PersistentVolume", "PersistentVolumeClaim", "NetworkPolicy"):
        for one in objects(Case(whole, facts=replace(WITH_DRIVER, token="t")), kind):
            assert LABEL.fullmatch(one["metadata"]["name"]), one["metadata"]["name"]
            for labels in (
                one["metadata"]["labels"],
                one.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {}),
            ):
                for value in labels.values():
                    assert re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?", value), value


def test_every_object_carries_the_installation_and_the_service() -> None:
    for case in CASES.values():
        workload, settings, _ = case.build()
        for kind in ("Deployment", "Service", "Secret", "PersistentVolume", "NetworkPolicy", "HorizontalPodAutoscaler"):
            for one in objects(case, kind):
                labels = one["metadata"]["labels"]
                assert labels["slipway.dev/installation"] == settings.installation
                assert labels["slipway.dev/service-uid"] == workload.service_uid


def test_a_selector_never_changes_with_what_is_deployed() -> None:
    first, second = Case(BUNDLED), Case(BUNDLED, workload={"revision": 9, "restart_token": "4"})
    assert rendered(first)["spec"]["selector"] == rendered(second)["spec"]["selector"]


def test_only_the_gateway_is_let_in_to_the_one_port() -> None:
    (rule,) = rendered(BUNDLED, "NetworkPolicy")["spec"]["ingress"]
    assert rule["ports"] == [{"port": 8000, "protocol": "TCP"}]
    (source,) = rule["from"]
    assert source["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "slipway"}
    assert source["podSelector"]["matchLabels"] == {"slipway.dev/image": "slipway"}


@pytest.mark.parametrize("access", ["proxy", "node"])
def test_the_api_server_and_nodes_are_not_locked_out(access: Any) -> None:
    case = Case(BUNDLED, replace(SETTINGS, pod_access=access))
    assert rendered(case, "NetworkPolicy")["spec"]["ingress"] == [{"ports": [{"port": 8000, "protocol": "TCP"}]}]


def test_through_a_node_only_its_own_pods_answer() -> None:
    node = rendered(Case(BUNDLED, replace(SETTINGS, pod_access="node")), "Service")["spec"]
    assert (node["type"], node["externalTrafficPolicy"]) == ("NodePort", "Local")
    assert rendered(BUNDLED, "Service")["spec"]["type"] == "ClusterIP"


def scaled(autoscaler: dict[str, Any], instances: int = 2, facts: ClusterFacts | None = None) -> Case:
    metadata = {"instance": instances, "cpu": 1, "memory": 1024}
    return Case(document(metadata=metadata, autoscaler=autoscaler), facts=facts or ClusterFacts())


@pytest.mark.parametrize(
    "autoscaler",
    [
        {"min": 2, "max": 5, "strategies": {"cpu": 60, "qps": 10}},
        {
            "min": 2,
            "max": 5,
            "scaleStrategies": [{"metricName": "cpu", "threshold": 60}, {"metricName": "gpu", "threshold": 1}],
        },
    ],
)
def test_both_spellings_of_an_autoscaler_scale_by_what_is_measured(autoscaler: dict[str, Any]) -> None:
    spec = rendered(scaled(autoscaler), "HorizontalPodAutoscaler")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 5)
    (metric,) = spec["metrics"]
    assert metric["containerResource"] == {
        "name": "cpu", "container": "main", "target": {"type": "Utilization", "averageUtilization": 60},
    }  # fmt: skip
    assert spec["behavior"]["scaleDown"] == {"stabilizationWindowSeconds": 300}


@pytest.mark.parametrize(
    ("case", "replicas", "is_scaled"),
    [
        (scaled({"min": 2, "max": 5, "strategies": {"qps": 10}}), 2, False),  # nothing measures it
        (scaled({"min": 0, "max": 5, "strategies": {"cpu": 10}}, instances=0), 0, False),  # stopped
        (scaled({"min": 3, "max": 5, "strategies": {"cpu": 10}}), 3, True),
        (scaled({"min": 1, "max": 5, "strategies": {"cpu": 10}}, facts=ClusterFacts(scaled_to=4)), 4, True),
        (scaled({"min": 1, "max": 5, "strategies": {"cpu": 10}}, facts=ClusterFacts(scaled_to=9)), 5, True),
        (scaled({"min": 0, "strategies": {"cpu": 10}}), 2, True),
    ],
)
def test_the_autoscalers_number_is_kept_within_its_bounds(case: Case, replicas: int, is_scaled: bool) -> None:
    assert rendered(case)["spec"]["replicas"] == replicas
    assert bool(objects(case, "HorizontalPodAutoscaler")) is is_scaled


def test_what_the_autoscaler_does_is_no_change_of_ours() -> None:
    autoscaler = {"min": 1, "max": 5, "strategies": {"cpu": 10}}
    hashes = {
        rendered(scaled(autoscaler, facts=ClusterFacts(scaled_to=number)))["metadata"]["annotations"][
            "slipway.dev/spec-hash"
        ]
        for number in (1, 4)
    }
    assert len(hashes) == 1


def test_a_single_instance_never_keeps_its_node_from_being_emptied() -> None:
    assert objects(document(), "PodDisruptionBudget") == []
    assert rendered(document(metadata={"instance": 3}), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert len(objects(scaled({"max": 3, "strategies": {"cpu": 10}}, instances=1), "PodDisruptionBudget")) == 1


def refused(facts: ClusterFacts | None = None, **parts: Any) -> tuple[str, str] | None:
    found = refuse(ServiceSpec.parse(document(**parts)), SETTINGS, facts or ClusterFacts())
    if found is None:
        return None
    assert found.message
    assert found.cure
    return found.code, found.field


@pytest.mark.parametrize(
    ("parts", "code", "field"),
    [
        ({"storage": [{"mount_path": "/m", "dataset": {"id": "d-1"}}]}, "dataset_unsupported", "storage[0].dataset"),
        (
            {"storage": [{"mount_path": "/m", "oss": {"path": "oss://b/"}}]},
            "oss_endpoint_missing", "storage[0].oss.endpoint",
        ),
        ({"cloud": {"computing": {"instance_type": "ecs.x.large"}}}, "instance_type_unknown", "cloud.computing"),
        ({"metadata": {"gpu_memory": 4}}, "gpu_sharing_unsupported", "metadata.gpu_memory"),
        ({"metadata": {"gpu_core_percentage": 4}}, "gpu_sharing_unsupported", "metadata.gpu_core_percentage"),
        ({"container": {"script": None, "command": "open 'quote"}}, "command_invalid", "containers[0].command"),
        (
            {"container": {"script": None, "command": "run"}, "runtime": {"enable_crash_block": True}},
            "crash_block_unsupported", "runtime.enable_crash_block",
        ),
        ({"autoscaler": {"max": 2, "strategies": {"cpu": 5}}}, "autoscaler_unmeasured", "metadata.cpu"),
        ({"autoscaler": {"max": 2, "strategies": {"memory": 5}}}, "autoscaler_unmeasured", "metadata.memory"),
        (
            {"autoscaler": {"max": 2, "strategies": {"cpu": 5}}, "metadata": {"cpu": 1, "qos": "BestEffort"}},
            "autoscaler_unmeasured", "metadata.qos",
        ),
    ],
)  # fmt: skip
def test_what_can_never_run_is_refused_by_its_field(parts: dict[str, Any], code: str, field: str) -> None:
    assert refused(**parts) == (code, field)


def test_a_part_of_a_gpu_is_of_one_gpu() -> None:
    sharing = ClusterFacts(shared_gpu=SHARED_GPUS[0])
    assert refused(sharing, metadata={"gpu_memory": 4}) is None
    assert refused(sharing, metadata={"gpu_memory": 4, "gpu": 2}) == ("gpu_sharing_unsupported", "metadata.gpu")


@pytest.mark.parametrize("name", CASES)
def test_what_is_rendered_in_these_tests_is_not_refused(name: str) -> None:
    workload, settings, facts = CASES[name].build()
    assert refuse(workload.spec, settings, facts) is None


def test_what_only_waits_for_room_is_not_refused() -> None:
    assert refused(metadata={"gpu": 64, "cpu": 500, "gpu_product": "H100"}) is None
