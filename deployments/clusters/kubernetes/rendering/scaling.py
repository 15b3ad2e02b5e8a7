"""How many instances there are besides what the document says, and how many may be missing: HPA and PDB."""

from __future__ import annotations

from deployments.clusters.base import Workload
from deployments.clusters.kubernetes.names import MAIN_CONTAINER, own_labels
from deployments.clusters.kubernetes.rendering.facts import ClusterFacts, Manifest
from deployments.clusters.kubernetes.settings import KubernetesSettings
from deployments.spec.autoscaling import SCALE_DOWN_SECONDS, Autoscaler, Window


def is_scaled(workload: Workload) -> bool:
    """Whether Kubernetes chooses the number of instances. A service that is stopped has none."""
    autoscaler = workload.spec.parsed.autoscaler
    return workload.instances > 0 and autoscaler is not None and bool(autoscaler.working)


def render_autoscaler(name: str, workload: Workload) -> Manifest | None:
    """A HorizontalPodAutoscaler by processors and memory; None where the document asks for no such thing.

    Kubernetes' rule is EAS's: the number times measure by threshold, rounded up, the most over all metrics, and a
    tolerance of a tenth (eas.md §3.7).
    """
    autoscaler = workload.spec.parsed.autoscaler
    if autoscaler is None or not is_scaled(workload):
        return None
    least, most = bounds(autoscaler, workload.instances)
    spec: Manifest = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": least,
        "maxReplicas": most,
        # Of the container that answers: those beside it reserve nothing that a share could be taken of.
        "metrics": [
            {
                "type": "ContainerResource",
                "containerResource": {
                    "name": metric,
                    "container": MAIN_CONTAINER,
                    "target": {"type": "Utilization", "averageUtilization": max(1, round(threshold))},
                },
            }
            for metric, threshold in sorted(autoscaler.working.items())
        ],
        "behavior": {
            "scaleUp": window(autoscaler.behavior.scale_up, 0),
            "scaleDown": window(autoscaler.behavior.scale_down, SCALE_DOWN_SECONDS),
        },
    }
    metadata = {"name": name}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec}


def bounds(autoscaler: Autoscaler, instances: int) -> tuple[int, int]:
    """At least one instance: from none, nothing could be measured."""
    least = max(1, autoscaler.min)
    return least, max(least, autoscaler.max or max(least, instances))


def scaled_replicas(workload: Workload, facts: ClusterFacts) -> int:
    """What the autoscaler has chosen, within its bounds. Leaving the number out would set it to one: who applies a
    manifest gives up what it no longer names.
    """
    autoscaler = workload.spec.parsed.autoscaler or Autoscaler()
    least, most = bounds(autoscaler, workload.instances)
    return min(most, max(least, workload.instances if facts.scaled_to is None else facts.scaled_to))


def window(asked: Window, usual: int) -> Manifest:
    seconds = asked.stabilization_window_seconds
    return {"stabilizationWindowSeconds": usual if seconds is None else seconds}


def render_disruption_budget(name: str, workload: Workload, settings: KubernetesSettings) -> Manifest | None:
    """Nodes that are emptied take one instance after another. A service of one instance has no budget: it would keep
    its node from ever being emptied.
    """
    most = workload.instances
    if is_scaled(workload) and workload.spec.parsed.autoscaler is not None:
        most = bounds(workload.spec.parsed.autoscaler, workload.instances)[1]
    if most < 2:
        return None
    spec: Manifest = {
        "maxUnavailable": max(1, workload.spec.unavailable),
        "selector": {"matchLabels": own_labels(settings.installation, workload.service_uid)},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec}
