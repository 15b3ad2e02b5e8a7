"""From what a service wants to Kubernetes objects. Pure: the same in gives the same out, and nobody is asked.

``render`` gives whole manifests in the order in which they are to be applied. Each carries the hash of itself, so that
who applies them knows without comparing that nothing has changed.
"""

from __future__ import annotations

import hashlib
import json

from deployments.clusters.base import Workload
from deployments.clusters.kubernetes.names import SERVICE, SPEC_HASH, object_name, own_labels
from deployments.clusters.kubernetes.rendering.access import render_network_policy, render_service
from deployments.clusters.kubernetes.rendering.facts import ClusterFacts, Manifest
from deployments.clusters.kubernetes.rendering.refusals import refuse
from deployments.clusters.kubernetes.rendering.scaling import render_autoscaler, render_disruption_budget
from deployments.clusters.kubernetes.rendering.secrets import render_secrets
from deployments.clusters.kubernetes.rendering.storage import render_volumes
from deployments.clusters.kubernetes.rendering.workload import render_deployment
from deployments.clusters.kubernetes.settings import KubernetesSettings

__all__ = ["ClusterFacts", "Manifest", "refuse", "render"]

#: Kinds that lie in no namespace.
CLUSTER_KINDS = ("PersistentVolume",)


def render(workload: Workload, settings: KubernetesSettings, facts: ClusterFacts) -> tuple[Manifest, ...]:
    """Every object of a service that the cluster can run (``refuse`` says of which it cannot)."""
    name = object_name(workload.service_name, workload.service_uid)
    manifests = (
        *render_secrets(name, workload.spec, settings, facts),
        *render_volumes(name, workload, settings, facts),
        render_network_policy(name, workload, settings),
        render_service(name, workload, settings),
        render_deployment(name, workload, settings, facts),
        render_disruption_budget(name, workload, settings),
        render_autoscaler(name, workload),
    )
    return tuple(marked(manifest, workload, settings) for manifest in manifests if manifest is not None)


def marked(manifest: Manifest, workload: Workload, settings: KubernetesSettings) -> Manifest:
    """With namespace, the service's labels and the hash of all that."""
    metadata = {
        **manifest["metadata"],
        "labels": {
            **own_labels(settings.installation, workload.service_uid),
            **manifest["metadata"].get("labels", {}),
        },
        "annotations": {SERVICE: workload.service_name, **manifest["metadata"].get("annotations", {})},
    }
    if manifest["kind"] not in CLUSTER_KINDS:
        metadata["namespace"] = settings.namespace
    whole = {**manifest, "metadata": metadata}
    metadata["annotations"][SPEC_HASH] = spec_hash(whole)
    return whole


def spec_hash(manifest: Manifest) -> str:
    """SHA-256 of the manifest in one fixed spelling. The number of instances is no part of it: what an autoscaler does
    changes nothing that is ours.
    """
    spec = manifest.get("spec")
    if isinstance(spec, dict) and "replicas" in spec:
        manifest = {**manifest, "spec": {key: value for key, value in spec.items() if key != "replicas"}}
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
