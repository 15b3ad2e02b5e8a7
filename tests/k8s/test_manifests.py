"""What ``k8s/`` describes: accepted by a real API server, safe by default, and the same commands as everywhere."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from console.environment import REPOSITORY, Environment
from k8s.images.build import Image
from tests.k8s.installation import Manifest, rename
from tests.kube import KubeCluster, fresh_namespace, require_cluster_program
from tests.parts import documented_commands

pytestmark = pytest.mark.kubernetes
OVERLAYS = ("base", "overlays/local", "overlays/production")


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[Manifest]]:
    """By folder, what kustomize makes of it."""
    program = require_cluster_program()
    return {
        folder: list(
            yaml.safe_load_all(subprocess.check_output((program, "kubectl", "kustomize", REPOSITORY / "k8s" / folder)))
        )
        for folder in OVERLAYS
    }


def pod_specs(manifests: list[Manifest]) -> Iterator[tuple[str, dict[str, Any]]]:
    for manifest in manifests:
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]


def find(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    return next(one for one in manifests if (one["kind"], one["metadata"]["name"]) == (kind, name))


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_api_server_accepts_every_object_as_it_is_written(
    kube: KubeCluster, rendered: dict[str, list[Manifest]], folder: str
) -> None:
    with fresh_namespace(kube) as namespace:
        manifests = rename(rendered[folder], namespace)
        kube.kubectl("create", "namespace", f"{namespace}-services")
        for one in manifests:
            if one["kind"] == "Namespace":  # with its labels, which decide what pods it takes
                kube.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(one))
        said = kube.try_kubectl(
            *("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-"),
            stdin=yaml.safe_dump_all(manifests),
        )
        kube.try_kubectl("delete", "namespace", f"{namespace}-services", "--wait=false")
    assert said.returncode == 0, said.stderr
    # A warning is a field that is none, a deprecation, or a pod that the namespace would not take.
    assert said.stderr == ""
    assert len(said.stdout.splitlines()) == len(manifests)


@pytest.mark.parametrize("folder", OVERLAYS)
def test_every_container_is_without_rights_and_limits_its_memory(
    rendered: dict[str, list[Manifest]], folder: str
) -> None:
    specs = dict(pod_specs(rendered[folder]))
    assert {"slipway-console", "slipway-gateway", "slipway-worker", "slipway-beat", "slipway-watcher"} <= specs.keys()
    for name, spec in specs.items():
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        # Slipway refuses variables of its prefix that are no settings, which Kubernetes would add for each Service.
        assert spec["enableServiceLinks"] is False, name
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert container["resources"]["limits"]["memory"], name
            assert container["resources"]["requests"], name


def test_what_runs_is_alive_by_a_probe(rendered: dict[str, list[Manifest]]) -> None:
    for name, spec in pod_specs(rendered["base"]):
        assert all("livenessProbe" in container for container in spec["containers"]), name


@pytest.mark.parametrize(
    ("part", "name"), [("server", "slipway-console"), ("worker", "slipway-worker"), ("beat", "slipway-beat")]
)
def test_the_commands_are_the_documented_ones(rendered: dict[str, list[Manifest]], part: str, name: str) -> None:
    container = find(rendered["base"], "Deployment", name)["spec"]["template"]["spec"]["containers"][0]
    written = [word for text in (*container["command"], *container.get("args", ())) for word in text.split("=", 1)]
    documented = shlex.split(documented_commands(part))
    # Where they listen and what a worker is called is the place's own.
    theirs = {"${SLIPWAY_HOST:-127.0.0.1}", "${SLIPWAY_PORT:-8000}", "slipway-$$@%h"}
    ours = {"0.0.0.0", "8000", "slipway@%h"}
    assert [word for word in written if word not in ours] == [word for word in documented if word not in theirs]


def test_gateway_and_console_differ_in_how_long_they_let_answers_end_alone(rendered: dict[str, list[Manifest]]) -> None:
    console, gateway = (
        find(rendered["base"], "Deployment", name)["spec"]["template"]["spec"]
        for name in ("slipway-console", "slipway-gateway")
    )
    words = [{*spec["containers"][0]["args"]} for spec in (console, gateway)]
    assert {word.partition("=")[0] for word in words[0] ^ words[1]} == {"--timeout-graceful-shutdown"}
    graceful = next(int(word.partition("=")[2]) for word in words[1] if "graceful" in word)
    assert graceful + 5 < gateway["terminationGracePeriodSeconds"]  # 5 s pass before the server is told


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_settings_are_settings(rendered: dict[str, list[Manifest]], folder: str) -> None:
    made = subprocess.run(
        (sys.executable, "-m", "k8s.make_secrets"), cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    variables = {"SLIPWAY_GATEWAY_NAMESPACE": "slipway"}  # of the pod's own, by the downward API
    for one in (*rendered[folder], *json.loads(made.stdout)["items"]):
        if one["kind"] == "ConfigMap":
            variables |= one["data"]
        elif one["metadata"]["name"] in ("slipway-keys", "slipway-admin"):
            variables |= one["stringData"]
    environment = Environment.parse({**variables, "KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    assert environment.cluster == "kubernetes"
    assert environment.kubernetes.namespace == "slipway-services"
    assert environment.kubernetes.pod_access == "pod"
    assert not environment.has_embedded_valkey
    assert environment.database_file is None


def test_secrets_are_new_each_time_and_in_no_argument() -> None:
    def make() -> str:
        return subprocess.check_output((sys.executable, REPOSITORY / "k8s" / "make_secrets.py"), text=True)

    values = [
        value
        for item in (*json.loads(make())["items"], *json.loads(make())["items"])
        for value in item["stringData"].values()
    ]
    assert len({*values}) == len(values) == 12
    assert all(len(value) >= 20 for value in values)


def test_pods_ask_for_the_secrets_that_are_made(rendered: dict[str, list[Manifest]]) -> None:
    made = json.loads(subprocess.check_output((sys.executable, REPOSITORY / "k8s" / "make_secrets.py"), text=True))
    names = {item["metadata"]["name"]: set(item["stringData"]) for item in made["items"]}
    for _, spec in pod_specs(rendered["base"]):
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            sources = [source["secretRef"]["name"] for source in container.get("envFrom", ()) if "secretRef" in source]
            assert {*sources} <= names.keys()
            keys = [
                one["valueFrom"]["secretKeyRef"]
                for one in container.get("env", ())
                if "secretKeyRef" in one.get("valueFrom", ())
            ]
            assert all(key["key"] in names[key["name"]] for key in keys)


def test_the_local_overlay_runs_the_images_that_make_images_builds(rendered: dict[str, list[Manifest]]) -> None:
    images = {
        container["image"]
        for _, spec in pod_specs(rendered["overlays/local"])
        for container in (*spec["containers"], *spec.get("initContainers", ()))
    }
    assert images == {Image.read(name).reference for name in ("slipway", "postgres")}


def test_the_local_overlay_leaves_a_small_node_s_cores_to_models(rendered: dict[str, list[Manifest]]) -> None:
    asked = [
        container["resources"]["requests"]["cpu"]
        for _, spec in pod_specs(rendered["overlays/local"])
        for container in (*spec["containers"], *spec.get("initContainers", ()))
    ]
    assert len(asked) > 7
    assert {*asked} == {"20m"}


def test_the_production_example_clones_and_copies_with_the_image_that_it_runs(
    rendered: dict[str, list[Manifest]],
) -> None:
    manifests = rendered["overlays/production"]
    settings = next(one for one in manifests if one["kind"] == "ConfigMap")["data"]
    assert {container["image"] for _, spec in pod_specs(manifests) for container in spec["containers"]} == {
        settings["SLIPWAY_TOOLS_IMAGE"]
    }


def test_with_stores_of_ones_own_none_is_left_over(rendered: dict[str, list[Manifest]]) -> None:
    text = json.dumps(rendered["overlays/production"])
    assert "slipway-postgres" not in text
    assert "slipway-valkey" not in text
