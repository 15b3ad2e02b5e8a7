"""A container of the document as one of a pod."""

from __future__ import annotations

import math
from typing import Any

from deployments.clusters.kubernetes.names import MAIN_CONTAINER
from deployments.clusters.kubernetes.rendering.facts import Manifest
from deployments.clusters.kubernetes.rendering.images import OWN_USER, is_own, pull_policy, real_image
from deployments.clusters.kubernetes.rendering.probes import render_probes, side_probes
from deployments.clusters.kubernetes.rendering.resources import Resources, main_resources, side_resources
from deployments.clusters.kubernetes.rendering.texts import literal, with_exec
from deployments.clusters.kubernetes.settings import KubernetesSettings
from deployments.clusters.programs import command_words
from deployments.spec import ServiceSpec
from deployments.spec.document import Container

#: Gateways have dropped a pod from routing by then, so its program ends without new requests.
DRAIN_SECONDS = 2
#: The port's name, by which Services find it.
PORT_NAME = "http"


def render_main(
    spec: ServiceSpec, settings: KubernetesSettings, resources: Resources, mounts: list[Manifest]
) -> Manifest:
    """The container that answers requests."""
    container = spec.container
    return {
        **common(MAIN_CONTAINER, container, settings, mounts),
        **render_command(container),
        "ports": [{"name": PORT_NAME, "containerPort": container.port, "protocol": "TCP"}],
        "env": render_env(container, resources),
        "resources": main_resources(resources),
        **render_probes(spec),
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}},
    }


def render_side(
    number: int, container: Container, settings: KubernetesSettings, resources: Resources, mounts: list[Manifest]
) -> Manifest:
    """One of the containers beside it; ``number`` counts from 1."""
    rendered: Manifest = {
        **common(f"side-{number}", container, settings, mounts),
        **render_command(container),
        "env": render_env(container, resources),
        "resources": side_resources(resources),
        **side_probes(container),
    }
    if "port" in container.model_fields_set:
        rendered["ports"] = [{"containerPort": container.port, "protocol": "TCP"}]
    return rendered


def common(name: str, container: Container, settings: KubernetesSettings, mounts: list[Manifest]) -> Manifest:
    """What every container of the document has."""
    image = real_image(container.image, settings.images)
    own = is_own(container.image, settings.images)
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": pull_policy(image),
        # The last lines of what failed tell why, wherever they are asked for.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(is_own_image=own),
        "volumeMounts": mounts,
    }


def container_security(*, is_own_image: bool) -> Manifest:
    """No privilege; of images that are known not to need them, no root user and no writable root either."""
    security: Manifest = {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "capabilities": {"drop": ["ALL"]},
    }
    if is_own_image:
        security |= {
            "runAsNonRoot": True, "runAsUser": OWN_USER, "runAsGroup": OWN_USER, "readOnlyRootFilesystem": True
        }  # fmt: skip
    return security


def render_command(container: Container) -> Manifest:
    """``script`` by a shell, ``command`` without one; with neither the image's own, and ``args`` in each case."""
    if container.script is not None:
        script = container.script if container.args else with_exec(container.script)
        words = ["/bin/sh", "-c", literal(script)]
        return (
            {"command": words, "args": ["sh", *map(literal, container.args)]} if container.args else {"command": words}
        )
    rendered: Manifest = {}
    if container.command is not None:
        rendered["command"] = [literal(word) for word in command_words(container)]
    if container.args:
        rendered["args"] = [literal(word) for word in container.args]
    return rendered


def render_env(container: Container, resources: Resources) -> list[Manifest]:
    """The document's variables after what scripts may count on: PORT, as on the local cluster, and threads."""
    usual = {"PORT": str(container.port)}
    if resources.cpu_cores is not None:  # libraries count the node's processors otherwise
        usual["OMP_NUM_THREADS"] = str(max(math.ceil(resources.cpu_cores), 1))
    given: dict[str, Any] = {variable.name: variable.value for variable in container.env}
    return [{"name": name, "value": literal(value)} for name, value in {**usual, **given}.items()]
