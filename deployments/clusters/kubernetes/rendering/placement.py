"""Where instances may run: node labels, taints, and spreading."""

from __future__ import annotations

from typing import Any

from deployments.clusters.kubernetes.rendering.facts import ClusterFacts, Manifest
from deployments.clusters.kubernetes.rendering.resources import GPU, Resources, machines_of
from deployments.clusters.kubernetes.settings import KubernetesSettings, Toleration
from deployments.machines import node_products
from deployments.spec import ServiceSpec

TOPOLOGY = {"host": "kubernetes.io/hostname", "zone": "topology.kubernetes.io/zone"}


def render_placement(
    spec: ServiceSpec,
    settings: KubernetesSettings,
    facts: ClusterFacts,
    resources: Resources,
    labels: dict[str, str],
) -> Manifest:
    """The parts of a pod that choose its node. ``labels`` are those that all pods of the service share."""
    rendered: Manifest = {}
    if settings.node_selector:
        rendered["nodeSelector"] = dict(settings.node_selector)
    if terms := node_terms(spec, settings, facts, resources):
        required = {"nodeSelectorTerms": terms}
        rendered["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
        if preferred := preferences(spec, settings):
            node = rendered["affinity"]["nodeAffinity"]
            node["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
    tolerated = [*settings.tolerations, *([Toleration(GPU)] if resources.has_gpu else [])]
    if tolerated:
        rendered["tolerations"] = [toleration(one) for one in dict.fromkeys(tolerated)]
    policy = spec.parsed.metadata.scheduling.spread.policy
    if policy in TOPOLOGY:
        rendered["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": TOPOLOGY[policy],
                # Spreading is a wish: an instance that cannot be spread runs all the same.
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels},
                "matchLabelKeys": ["pod-template-hash"],
            }
        ]
    return rendered


def node_terms(
    spec: ServiceSpec, settings: KubernetesSettings, facts: ClusterFacts, resources: Resources
) -> list[Manifest]:
    """What a node must be labelled with; any one of the terms is enough. Empty: nothing is asked for."""
    product = spec.parsed.metadata.gpu_product
    common = [one_of(settings.gpu_product_label, node_products(product))] if product and resources.has_gpu else []
    types = type_terms(spec, settings, facts, resources)
    if types:
        return [{"matchExpressions": [*common, *term]} for term in types]
    return [{"matchExpressions": common}] if common else []


def type_terms(
    spec: ServiceSpec, settings: KubernetesSettings, facts: ClusterFacts, resources: Resources
) -> list[list[Manifest]]:
    """The instance types as labels: their own, their name, or their GPU's product where nodes tell it."""
    machines = machines_of(spec)
    terms: list[list[Manifest]] = []
    named = [machine.name for machine in machines if not machine.node_labels]
    if settings.instance_type_label and named:
        terms.append([one_of(settings.instance_type_label, tuple(named))])
    terms += [
        [one_of(key, (value,)) for key, value in machine.node_labels] for machine in machines if machine.node_labels
    ]
    if terms or not facts.gpu_products or not resources.has_gpu or spec.parsed.metadata.gpu_product:
        return terms
    products = [name for machine in machines if machine.gpu_product for name in node_products(machine.gpu_product)]
    return [[one_of(settings.gpu_product_label, tuple(dict.fromkeys(products)))]] if products else []


def preferences(spec: ServiceSpec, settings: KubernetesSettings) -> list[Manifest]:
    """The first of several instance types rather than the second, and so on (eas.md §3.3)."""
    machines = machines_of(spec)
    if len(machines) < 2 or not settings.instance_type_label:
        return []
    return [
        {
            "weight": max(1, 100 - 10 * place),
            "preference": {"matchExpressions": [one_of(settings.instance_type_label, (machine.name,))]},
        }
        for place, machine in enumerate(machines)
    ]


def one_of(key: str, values: tuple[str, ...]) -> Manifest:
    return {"key": key, "operator": "In", "values": list(values)}


def toleration(one: Toleration) -> Manifest:
    rendered: dict[str, Any] = {"key": one.key, "operator": "Exists" if one.value is None else "Equal"}
    if one.value is not None:
        rendered["value"] = one.value
    if one.effect:
        rendered["effect"] = one.effect
    return rendered
