"""What of the cluster matters to rendering one spec, found out: only what the spec asks about, and seldom anew."""

from __future__ import annotations

from collections.abc import Mapping

from deployments.clusters.kubernetes.looking import Looker
from deployments.clusters.kubernetes.reading import labels_of, status_of
from deployments.clusters.kubernetes.rendering.facts import OSS_DRIVER, ClusterFacts, SharedGpu, find_shared_gpu
from deployments.clusters.kubernetes.rendering.resources import asks_for_part
from deployments.clusters.kubernetes.settings import KubernetesSettings
from deployments.models import ClusterState
from deployments.spec import ServiceSpec


def lasting_facts(spec: ServiceSpec, settings: KubernetesSettings, looker: Looker) -> ClusterFacts:
    """Of the cluster as it stands. Raises ``ClusterError`` where that has to be asked for and nobody answers."""
    state = looker.state() if spec.mounts or wants_gpu(spec) else None
    return ClusterFacts(
        has_oss_driver=any(mount.oss is not None for mount in spec.mounts) and has_driver(OSS_DRIVER, state, looker),
        shared_gpu=shared_gpu(looker) if asks_for_part(spec) else None,
        gpu_products=gpu_products(settings, state, looker) if wants_gpu(spec) else frozenset(),
    )


def wants_gpu(spec: ServiceSpec) -> bool:
    metadata = spec.parsed.metadata
    return bool(spec.gpu or asks_for_part(spec) or metadata.gpu_product or spec.parsed.cloud.instance_types)


def has_driver(driver: str, state: ClusterState | None, looker: Looker) -> bool:
    """What a watcher has listed counts until somebody lists anew: drivers come and go with years."""
    if state is not None and state.listed_at is not None:
        return any((found["kind"], found["driver"]) == ("csi", driver) for found in state.storage_drivers)
    return driver in looker.drivers()


def shared_gpu(looker: Looker) -> SharedGpu | None:
    resources = {name for node in looker.nodes() for name in status_of(node).get("allocatable") or {}}
    return find_shared_gpu(resources)


def gpu_products(settings: KubernetesSettings, state: ClusterState | None, looker: Looker) -> frozenset[str]:
    all_labels: list[Mapping[str, str]]
    if state is not None and state.nodes:
        all_labels = [node["labels"] for node in state.nodes]
    else:
        all_labels = [labels_of(node) for node in looker.nodes()]
    name = settings.gpu_product_label
    return frozenset(labels[name] for labels in all_labels if labels.get(name))
