"""A container of the document as one of a pod."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from deployments.clusters.kubernetes.names import MAIN_CONTAINER
from deployments.clusters.kubernetes.rendering.facts import Manifest
from deployments.clusters.kubernetes.rendering.images import OWN_USER, is_own, pull_policy, real_image
from deployments.clusters.kubernetes.rendering.probes import render_probes, side_probes
from deployments.clusters.kubernetes.rendering.programs import BLOCK_PATH, packages_path, render_program
from deployments.clusters.kubernetes.rendering.resources import Resources, main_resources, side_resources
from deployments.clusters.kubernetes.rendering.secrets import is_secret_name, variable_key
from deployments.clusters.kubernetes.rendering.security import container_security
from deployments.clusters.kubernetes.rendering.storage import secret_variable
from deployments.clusters.kubernetes.rendering.texts import literal
from deployments.clusters.kubernetes.settings import KubernetesSettings
from deployments.spec import ServiceSpec
from deployments.spec.document import Container

#: Gateways have dropped a pod from routing by then, so its program ends without new requests.
DRAIN_SECONDS = 2
#: The port's name, by which Services find it.
PORT_NAME = "http"


@dataclass(frozen=True, slots=True)
class Place:
    """What the containers of one pod share. ``secret`` is the name of the service's own Secret."""

    spec: ServiceSpec
    settings: KubernetesSettings
    resources: Resources
    secret: str
    mounts: tuple[Manifest, ...]


def render_main(place: Place) -> Manifest:
    """The container that answers requests."""
    container = place.spec.container
    return {
        **common(MAIN_CONTAINER, 0, place),
        "ports": [{"name": PORT_NAME, "containerPort": container.port, "protocol": "TCP"}],
        "resources": main_resources(place.resources),
        **render_probes(place.spec),
        # Its sidecars' ports stay open for as long: what is still asked is still answered.
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}},
    }


def render_side(number: int, place: Place) -> Manifest:
    """The container beside it at place ``number`` of the document, from 1."""
    container = place.spec.parsed.containers[number]
    rendered: Manifest = {
        **common(f"side-{number}", number, place),
        "resources": side_resources(place.resources),
        **side_probes(container),
    }
    if "port" in container.model_fields_set:
        rendered["ports"] = [{"containerPort": container.port, "protocol": "TCP"}]
    return rendered


def common(name: str, number: int, place: Place) -> Manifest:
    """What every container of the document has."""
    container = place.spec.parsed.containers[number]
    is_blocked = number == 0 and place.spec.parsed.runtime.enable_crash_block
    rendered: Manifest = {
        **image_of(name, container, place.settings),
        **render_program(number, container, is_crash_blocked=is_blocked),
        "env": render_env(number, container, place),
        "volumeMounts": list(place.mounts),
    }
    if container.prepare.is_wanted:
        packages = {"name": f"packages-{number}", "mountPath": packages_path(number), "readOnly": True}
        rendered["volumeMounts"].append(packages)
    if is_blocked:
        rendered["volumeMounts"].append({"name": "crash-block", "mountPath": BLOCK_PATH})
    return rendered


def image_of(name: str, container: Container, settings: KubernetesSettings) -> Manifest:
    """The image, and what its containers may do."""
    image = real_image(container.image, settings.images)
    is_ours = is_own(container.image, settings.images)
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": pull_policy(image),
        # The last lines of what failed tell why, wherever they are asked for.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(
            user=OWN_USER if is_ours else None, is_root_read_only=is_ours, non_root=settings.non_root
        ),
    }


def render_env(number: int, container: Container, place: Place) -> list[Manifest]:
    """The document's variables after what scripts may count on: PORT, as on the local cluster, and threads."""
    usual: dict[str, Any] = {"PORT": str(container.port)}
    if place.resources.cpu_cores is not None:  # libraries count the node's processors otherwise
        usual["OMP_NUM_THREADS"] = str(max(math.ceil(place.resources.cpu_cores), 1))
    given = {variable.name: variable.value for variable in container.env}
    if container.prepare.is_wanted:
        path = given.pop("PYTHONPATH", "")
        usual["PYTHONPATH"] = ":".join(filter(None, (packages_path(number), path)))
    rendered = []
    for name, value in {**usual, **given}.items():
        if name in given and is_secret_name(name):
            rendered.append(secret_variable(name, place.secret, variable_key(number, name)))
        else:
            rendered.append({"name": name, "value": literal(value)})
    return rendered
