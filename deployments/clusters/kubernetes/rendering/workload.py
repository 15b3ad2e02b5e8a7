"""The Deployment: instances, how they are replaced, and the pod that each is."""

from __future__ import annotations

from deployments.clusters.base import Workload
from deployments.clusters.kubernetes.names import RESTART, REVISION, SERVICE, own_labels
from deployments.clusters.kubernetes.rendering.containers import DRAIN_SECONDS, render_main, render_side
from deployments.clusters.kubernetes.rendering.facts import ClusterFacts, Manifest
from deployments.clusters.kubernetes.rendering.images import is_own
from deployments.clusters.kubernetes.rendering.probes import startup_seconds
from deployments.clusters.kubernetes.rendering.resources import resources_of, shared_memory
from deployments.clusters.kubernetes.settings import KubernetesSettings
from deployments.spec import ServiceSpec

#: For pulling an image of many gigabytes, beside the program's own start.
PULL_SECONDS = 1800


def render_deployment(name: str, workload: Workload, settings: KubernetesSettings, facts: ClusterFacts) -> Manifest:
    selector = own_labels(settings.installation, workload.service_uid)
    labels = {
        **selector,
        SERVICE: label_value(workload.service_name),
        REVISION: str(workload.revision),
        RESTART: workload.restart_token or "0",
    }
    spec: Manifest = {
        "replicas": workload.instances,
        "revisionHistoryLimit": 2,
        "progressDeadlineSeconds": startup_seconds(workload.spec) + PULL_SECONDS,
        "selector": {"matchLabels": selector},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling_update(workload.spec, facts)},
        "template": {
            "metadata": {"labels": labels, "annotations": {SERVICE: workload.service_name}},
            "spec": render_pod(workload.spec, settings, facts),
        },
    }
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


def render_pod(spec: ServiceSpec, settings: KubernetesSettings, facts: ClusterFacts) -> Manifest:
    resources = resources_of(spec, facts)
    first, *others = spec.parsed.containers
    mounts: list[Manifest] = [{"name": "shm", "mountPath": "/dev/shm"}]  # noqa: S108 - in the container
    volumes: list[Manifest] = [shared_memory(spec)]
    if any(is_own(one.image, settings.images) for one in (first, *others)):
        volumes.append({"name": "tmp", "emptyDir": {}})
        mounts.append({"name": "tmp", "mountPath": "/tmp"})  # noqa: S108 - in the container
    containers = [render_main(spec, settings, resources, mounts)]
    containers += [render_side(number, one, settings, resources, mounts) for number, one in enumerate(others, start=1)]
    pod: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": spec.termination_grace_seconds + DRAIN_SECONDS,
        "containers": containers,
        "volumes": volumes,
    }
    if settings.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": secret} for secret in settings.image_pull_secrets]
    return pod
