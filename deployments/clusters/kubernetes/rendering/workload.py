"""The Deployment: instances, how they are replaced, and the pod that each is."""

from __future__ import annotations

from deployments.clusters.base import Workload
from deployments.clusters.kubernetes.names import CRASH_BLOCK, RESTART, REVISION, SERVICE, own_labels
from deployments.clusters.kubernetes.rendering.containers import (
    DRAIN_SECONDS,
    Place,
    image_of,
    render_env,
    render_main,
    render_side,
)
from deployments.clusters.kubernetes.rendering.facts import ClusterFacts, Manifest
from deployments.clusters.kubernetes.rendering.images import OWN_USER, is_own
from deployments.clusters.kubernetes.rendering.placement import render_placement
from deployments.clusters.kubernetes.rendering.probes import startup_seconds
from deployments.clusters.kubernetes.rendering.programs import install_command, packages_path
from deployments.clusters.kubernetes.rendering.resources import init_resources, resources_of, shared_memory
from deployments.clusters.kubernetes.rendering.scaling import is_scaled, scaled_replicas
from deployments.clusters.kubernetes.rendering.secrets import registry_secret_name
from deployments.clusters.kubernetes.rendering.security import pod_security
from deployments.clusters.kubernetes.rendering.storage import render_storage, uses_driver
from deployments.clusters.kubernetes.settings import KubernetesSettings
from deployments.spec import ServiceSpec

#: For pulling an image of many gigabytes, and copying weights, beside the program's own start.
PREPARING_SECONDS = 1800
SHM, TMP = "/dev/shm", "/tmp"  # noqa: S108 - in containers


def render_deployment(name: str, workload: Workload, settings: KubernetesSettings, facts: ClusterFacts) -> Manifest:
    selector = own_labels(settings.installation, workload.service_uid)
    labels = {
        **selector,
        SERVICE: label_value(workload.service_name),
        REVISION: str(workload.revision),
        RESTART: workload.restart_token or "0",
    }
    annotations = {SERVICE: workload.service_name}
    if workload.spec.parsed.runtime.enable_crash_block:
        annotations[CRASH_BLOCK] = "on"
    spec: Manifest = {
        "replicas": workload.instances,
        "revisionHistoryLimit": 2,
        "progressDeadlineSeconds": startup_seconds(workload.spec) + PREPARING_SECONDS,
        "selector": {"matchLabels": selector},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling_update(workload.spec, facts)},
        "template": {
            "metadata": {"labels": labels, "annotations": annotations},
            "spec": render_pod(name, workload, settings, facts),
        },
    }
    if is_scaled(workload):
        spec["replicas"] = scaled_replicas(workload, facts)
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def label_value(service_name: str) -> str:
    """A label's value begins and ends with a letter or digit."""
    return service_name.strip("_")


def rolling_update(spec: ServiceSpec, facts: ClusterFacts) -> Manifest:
    """New instances first, and old ones go as they answer; where there is no room and the document allows some to be
    missing, the other way round.
    """
    if spec.unavailable and (facts.replace or not spec.surge):
        return {"maxSurge": 0, "maxUnavailable": spec.unavailable}
    return {"maxSurge": spec.surge or 1, "maxUnavailable": 0}


def render_pod(name: str, workload: Workload, settings: KubernetesSettings, facts: ClusterFacts) -> Manifest:
    spec = workload.spec
    resources = resources_of(spec, facts)
    storage = render_storage(name, workload, settings, facts, resources)
    volumes: list[Manifest] = [shared_memory(spec), *storage.volumes]
    mounts: list[Manifest] = [{"name": "shm", "mountPath": SHM}, *storage.mounts]
    is_ours = any(is_own(one.image, settings.images) for one in spec.parsed.containers)
    is_tmp_free = not any(mount["mountPath"] == TMP for mount in storage.mounts)
    if is_tmp_free and (is_ours or storage.preparing):
        volumes.append({"name": "tmp", "emptyDir": {}})
    if is_tmp_free and is_ours:  # all that its read-only root leaves to be written
        mounts.append({"name": "tmp", "mountPath": TMP})
    place = Place(spec, settings, resources, name, tuple(mounts))
    installing = [number for number, one in enumerate(spec.parsed.containers) if one.prepare.is_wanted]
    volumes += [{"name": f"packages-{number}", "emptyDir": {}} for number in installing]
    if spec.parsed.runtime.enable_crash_block:
        volumes.append({"name": "crash-block", "emptyDir": {}})
    preparing = [*storage.preparing, *(installer(number, place) for number in installing)]
    copies_to_claim = bool(settings.oss_claim) and not uses_driver(settings, facts) and bool(storage.preparing)
    pod: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(group=OWN_USER if copies_to_claim else None),
        "terminationGracePeriodSeconds": spec.termination_grace_seconds + DRAIN_SECONDS,
        **({"initContainers": preparing} if preparing else {}),
        "containers": [render_main(place), *(render_side(n, place) for n in range(1, len(spec.parsed.containers)))],
        "volumes": volumes,
        **render_placement(spec, settings, facts, resources, own_labels(settings.installation, workload.service_uid)),
    }
    if secrets := pull_secrets(name, spec, settings):
        pod["imagePullSecrets"] = secrets
    return pod


def installer(number: int, place: Place) -> Manifest:
    """The init container of ``prepare``: the container's own image installs packages for it."""
    container = place.spec.parsed.containers[number]
    name = "requirements" if number == 0 else f"requirements-{number}"
    packages = {"name": f"packages-{number}", "mountPath": packages_path(number)}
    return {
        **image_of(name, container, place.settings),
        "command": install_command(number, container),
        "env": render_env(number, container, place),
        "resources": init_resources(place.resources),
        "volumeMounts": [*place.mounts, packages],
    }


def pull_secrets(name: str, spec: ServiceSpec, settings: KubernetesSettings) -> list[Manifest]:
    own = [registry_secret_name(name)] if spec.parsed.docker_auth else []
    return [{"name": secret} for secret in (*own, *settings.image_pull_secrets)]
