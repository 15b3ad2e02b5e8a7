"""Whether an object in the cluster is as it was rendered."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from deployments.clusters.kubernetes.comparing import differences
from deployments.clusters.kubernetes.connection import Connection
from deployments.clusters.kubernetes.rendering import render
from deployments.clusters.kubernetes.store import trimmed
from tests.deployments.clusters.kubernetes.cases import CASES
from tests.kube import KubeCluster

WANTED: dict[str, Any] = {
    "kind": "Deployment",
    "metadata": {"name": "a", "labels": {"x": "1"}, "annotations": {}},
    "spec": {
        "replicas": 0,
        "minReadySeconds": 0,
        "template": {
            "spec": {
                "automountServiceAccountToken": False,
                "containers": [
                    {
                        "name": "main",
                        "args": ["-c", "1.0"],
                        "env": [{"name": "A", "value": "1.0"}, {"name": "B", "value": ""}],
                        "ports": [{"containerPort": 8000}],
                        "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}},
                        "volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/w"}],
                    }
                ],
                "volumes": [{"name": "v", "emptyDir": {}}],
                "tolerations": [{"key": "gpu", "operator": "Exists"}],
            }
        },
    },
}


def there(**changes: Any) -> dict[str, Any]:
    """As the API server would give it: with defaults, normal quantities, and without what says nothing."""
    found = copy.deepcopy(WANTED)
    del found["metadata"]["annotations"]
    found["metadata"] |= {"uid": "u", "resourceVersion": "7"}
    spec = found["spec"]["template"]["spec"]
    del found["spec"]["minReadySeconds"]
    found["spec"]["strategy"] = {"type": "RollingUpdate"}
    container = spec["containers"][0]
    container["resources"] = {"limits": {"cpu": "500m", "memory": "1Gi"}}
    container["ports"][0]["protocol"] = "TCP"
    del container["env"][1]["value"]
    container |= changes.pop("container", {})
    spec |= changes.pop("pod", {})
    found["spec"] |= changes
    return found


def container_of(found: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = found["spec"]["template"]["spec"]["containers"][0]
    return first


def test_defaults_normal_quantities_and_dropped_zeros_are_no_difference() -> None:
    assert differences(WANTED, there()) == ()


def test_what_others_add_to_merged_lists_is_no_difference() -> None:
    found = there()
    spec = found["spec"]["template"]["spec"]
    spec["containers"].insert(0, {"name": "sidecar", "image": "x"})
    spec["volumes"].insert(0, {"name": "own", "emptyDir": {}})
    container_of(found)["name"] = "sidecar"
    spec["containers"][1]["env"].insert(0, {"name": "Z", "value": "z"})

    assert differences(WANTED, found) == ()


@pytest.mark.parametrize(
    ("found", "path"),
    [
        (there(replicas=3), "spec.replicas"),
        (there(pod={"automountServiceAccountToken": True}), "spec.template.spec.automountServiceAccountToken"),
        (there(pod={"tolerations": []}), "spec.template.spec.tolerations"),
        (there(pod={"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), "spec.template.spec.volumes[0].emptyDir"),
        (there(container={"args": ["-c", "1"]}), "spec.template.spec.containers[0].args[1]"),
        (there(container={"args": ["-c", "1.0", "-x"]}), "spec.template.spec.containers[0].args"),
        (
            there(container={"env": [{"name": "A", "value": "1"}, {"name": "B"}]}),
            "spec.template.spec.containers[0].env[0].value",
        ),
        (
            there(container={"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}),
            "spec.template.spec.containers[0].resources.limits.cpu",
        ),
        (
            there(container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
            "spec.template.spec.containers[0].volumeMounts[1]",
        ),
    ],
)
def test_a_value_that_was_changed_is_named(found: dict[str, Any], path: str) -> None:
    assert differences(WANTED, found) == (path,)


def test_a_false_that_was_taken_away_is_a_difference() -> None:
    found = there()
    del found["spec"]["template"]["spec"]["automountServiceAccountToken"]

    assert differences(WANTED, found) == ("spec.template.spec.automountServiceAccountToken",)


def test_an_opening_in_a_network_policy_is_a_difference() -> None:
    rule: dict[str, Any] = {"ports": [{"port": 8000}], "from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}
    wanted = {"kind": "NetworkPolicy", "spec": {"ingress": [rule]}}
    defaulted = {**rule, "ports": [{"port": 8000, "protocol": "TCP"}]}

    assert differences(wanted, {"kind": "NetworkPolicy", "spec": {"ingress": [defaulted]}}) == ()
    opened = {**defaulted, "ports": [*defaulted["ports"], {"port": 22, "protocol": "TCP"}]}
    assert differences(wanted, {"kind": "NetworkPolicy", "spec": {"ingress": [opened]}}) == ("spec.ingress[0].ports",)
    assert differences(wanted, {"kind": "NetworkPolicy", "spec": {"ingress": [rule, {}]}}) == ("spec.ingress",)


@pytest.mark.kubernetes
@pytest.mark.parametrize("name", CASES)
def test_what_the_api_server_makes_of_a_manifest_is_no_difference(kube: KubeCluster, namespace: str, name: str) -> None:
    connection = Connection(kube.settings(namespace))
    workload, settings, facts = CASES[name].build(namespace)

    found = {}
    for manifest in render(workload, settings, facts):
        answer = connection.apply(manifest, is_dry_run=True)
        found[manifest["kind"]] = differences(trimmed(manifest), trimmed(answer))

    assert set(found.values()) == {()}, found
