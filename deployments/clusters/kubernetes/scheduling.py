"""Why no node takes a pod, in numbers: what it asks for against what the nodes offer and have free. Pure.

The scheduler's own message counts nodes ("3 Insufficient memory") and says neither how much is needed nor how much is
there, so the sum is done here; its message decides only where the nodes are not known, and about volumes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from deployments.clusters.base import Trouble
from deployments.clusters.kubernetes.quantities import mib, quantity
from deployments.clusters.kubernetes.reading import Json, condition, moment
from deployments.clusters.overview import Amounts, NodeFields, TaintFields

#: What an update may make room for by ending an old instance first.
SHORTAGES = frozenset({"CpuShort", "MemoryShort", "GpuShort"})
#: Labels that name a GPU.
PRODUCT_LABELS = ("nvidia.com/gpu.product", "aliyun.accelerator/nvidia_name")
#: Taints that Kubernetes itself sets while a node is in trouble.
OF_NODE_TROUBLE = "node.kubernetes.io/"
KEEPS_OFF = ("NoSchedule", "NoExecute")

Values = Mapping[str, str | int]
#: A shortage's cause and its values.
Short = tuple[str, Values]


@dataclass(frozen=True, slots=True)
class Need:
    """What one pod asks of its node."""

    cpu_milli: int = 0
    memory_mib: int = 0
    gpus: int = 0

    @property
    def by_name(self) -> Mapping[str, int]:
        return {"gpu": self.gpus, "memory": self.memory_mib, "cpu": self.cpu_milli}


def need_of(spec: Json) -> Need:
    """A pod's requests as the scheduler adds them up: init containers run one after another, before the others."""
    whole = [container_requests(one) for one in spec["containers"]]
    first: list[dict[str, Decimal]] = []
    for one in spec.get("initContainers") or ():
        (whole if one.get("restartPolicy") == "Always" else first).append(container_requests(one))
    overhead = {name: quantity(value) for name, value in (spec.get("overhead") or {}).items()}
    names = {name for requests in (*whole, *first, overhead) for name in requests}
    zero = Decimal()
    total = {
        name: max(
            sum((requests.get(name, zero) for requests in whole), zero),
            max((requests.get(name, zero) for requests in first), default=zero),
        )
        + overhead.get(name, zero)
        for name in names
    }
    return Need(
        cpu_milli=int(total.get("cpu", zero) * 1000),
        memory_mib=mib(str(total.get("memory", zero))),
        gpus=sum(int(value) for name, value in total.items() if name.endswith("/gpu")),
    )


def container_requests(container: Json) -> dict[str, Decimal]:
    """Where a limit stands alone, the request is the same."""
    resources = container.get("resources") or {}
    return {
        name: quantity(value)
        for name, value in {**(resources.get("limits") or {}), **(resources.get("requests") or {})}.items()
    }


def scheduling_trouble(pod: Json, nodes: Sequence[NodeFields], *, grows: bool = False) -> Trouble | None:
    """Why the pod has no node, None before the scheduler has looked. ``grows``: nodes are being added for it."""
    said = condition(pod, "PodScheduled")
    if said.get("status") != "False":
        return None
    message = str(said.get("message") or "").partition("preemption:")[0].strip()
    since = moment(said.get("lastTransitionTime"))
    trouble = volume_trouble(message, since) or trouble_with(pod["spec"], nodes, message, since)
    if grows and not trouble.is_waiting:
        return Trouble(trouble.cause, trouble.values, since, is_waiting=True)
    return trouble


def volume_trouble(message: str, since: datetime | None) -> Trouble | None:
    """About volumes the message is all there is; ``claims`` knows more of those that are not bound."""
    missing = re.search(r'persistentvolumeclaim "([^"]+)" not found', message)
    if missing:
        return Trouble("ClaimMissing", {"name": missing[1]}, since)
    if "volume node affinity conflict" in message:
        return Trouble("VolumeElsewhere", {}, since, is_waiting=True)
    if "unbound immediate PersistentVolumeClaims" in message or "available persistent volumes to bind" in message:
        return Trouble("VolumePending", {}, since, is_waiting=True)
    return None


def trouble_with(spec: Json, nodes: Sequence[NodeFields], message: str, since: datetime | None) -> Trouble:
    if not nodes:
        return trouble_by_message(spec, message, since)
    fitting = [node for node in nodes if matches(spec, node["labels"])]
    if not fitting:
        return selector_trouble(spec, nodes, since)
    tolerated = [node for node in fitting if not keeping_off(spec, node)]
    if not tolerated:
        taint = keeping_off(spec, fitting[0])
        assert taint is not None
        return Trouble("NodesTainted", {"taint": taint_words(taint)}, since)
    taking = [node for node in tolerated if takes_pods(node)]
    short = shortage(need_of(spec), tolerated, taking, since)
    if short is not None and (taking or not short.is_waiting):
        return short
    if not taking:
        return Trouble("NodesAway", {}, since, is_waiting=True)
    return trouble_by_message(spec, message, since)


def takes_pods(node: NodeFields) -> bool:
    in_trouble = any(
        taint["key"].startswith(OF_NODE_TROUBLE) and taint["effect"] in KEEPS_OFF for taint in node["taints"]
    )
    return node["is_ready"] and not node["is_cordoned"] and not in_trouble


def shortage(
    need: Need, nodes: Sequence[NodeFields], taking: Sequence[NodeFields], since: datetime | None
) -> Trouble | None:
    """What there is too little of on every node. What no node has at all needs a person; the rest is waited for."""
    free = [node for node in taking if node["free"] is not None]
    is_known = bool(free) and len(free) == len(taking)
    is_offered = not need.gpus or any(node["allocatable"]["gpu"] for node in nodes)
    never = [name for name, amount in need.by_name.items() if amount > largest(nodes, name)]
    taken = [
        name
        for name, amount in need.by_name.items()
        if is_known and name not in never and amount > max(free_units(node, name) for node in free)
    ]
    if never or taken:
        told = [short_of(name, need, nodes, ()) for name in never]
        told += [short_of(name, need, nodes, free) for name in taken]
        if not is_offered:
            told[0] = ("GpuNotOffered", {"need": need.gpus})
        return together(told, since, is_waiting=not never)
    if not is_known:
        return None
    # Each is free somewhere and not all on one node: the node that lacks least tells.
    best = min(free, key=lambda node: len(lacking(need, node)))
    told = [short_of(name, need, nodes, (best,)) for name in lacking(need, best)]
    return together([(cause, {**values, "node": best["name"]}) for cause, values in told], since, is_waiting=True)


def largest(nodes: Sequence[NodeFields], name: str) -> int:
    return max(in_units(node["allocatable"], name) for node in nodes)


def lacking(need: Need, node: NodeFields) -> list[str]:
    return [name for name, amount in need.by_name.items() if free_units(node, name) < amount]


def together(told: Sequence[Short], since: datetime | None, *, is_waiting: bool) -> Trouble | None:
    """Several shortages as the first of them; ``also`` has the causes of the others. No two share a value's name."""
    if not told:
        return None
    first, *others = (cause for cause, _ in told)
    values = {name: value for _, its in told for name, value in its.items()}
    return Trouble(first, {**values, "also": " ".join(others)} if others else values, since, is_waiting)


def in_units(amounts: Amounts, name: str) -> int:
    if name == "cpu":
        return int(Decimal(str(amounts["cpu"])) * 1000)
    return amounts["gpu"] if name == "gpu" else amounts["memory_mib"]


def free_units(node: NodeFields, name: str) -> int:
    return in_units(node["free"], name) if node["free"] is not None else -1


def short_of(name: str, need: Need, nodes: Sequence[NodeFields], free: Sequence[NodeFields]) -> Short:
    """The cause and its values: ``free`` are the nodes whose free amounts are to be told of."""
    most = max((free_units(node, name) for node in free), default=-1)
    if name == "gpu":
        products = {node["gpu_product"] for node in nodes if node["allocatable"]["gpu"]}
        return "GpuShort", {
            "need": need.gpus,
            "product": products.pop() if len(products) == 1 else "",
            "free": sum(free_units(node, name) for node in free),
            "total": sum(node["allocatable"]["gpu"] for node in nodes),
            "most": most,
            "largest": largest(nodes, name),
        }
    cause, unit = ("MemoryShort", "mib") if name == "memory" else ("CpuShort", "milli")
    return cause, {f"need_{unit}": need.by_name[name], f"free_{unit}": most, f"largest_{unit}": largest(nodes, name)}


def trouble_by_message(spec: Json, message: str, since: datetime | None) -> Trouble:
    """What the scheduler counts, without numbers of ours."""
    need = need_of(spec)
    counted: Sequence[tuple[str, Short]] = (
        (r"Insufficient \S*/gpu", ("GpuShort", {"need": need.gpus})),
        ("Insufficient memory", ("MemoryShort", {"need_mib": need.memory_mib})),
        ("Insufficient cpu", ("CpuShort", {"need_milli": need.cpu_milli})),
    )
    short = together([told for pattern, told in counted if re.search(pattern, message)], since, is_waiting=True)
    if short is not None:
        return short
    if "Insufficient ephemeral-storage" in message:
        return Trouble("DiskShort", {}, since, is_waiting=True)
    if "Too many pods" in message:
        return Trouble("NodesFull", {}, since, is_waiting=True)
    if "topology spread constraints" in message or "anti-affinity" in message:
        return Trouble("SpreadBlocked", {}, since)
    if "affinity/selector" in message:
        return selector_trouble(spec, (), since)
    tainted = re.search(r"untolerated taint(?:\(s\))?(?: \{([^}]*)\})?", message)
    if tainted:  # newer schedulers count them only
        return Trouble("NodesTainted", {"taint": (tainted[1] or "").replace(": ", "=").rstrip("=")}, since)
    if "were unschedulable" in message or message.startswith("no nodes available"):
        return Trouble("NodesAway", {}, since, is_waiting=True)
    reason = re.sub(r"^0/\d+ nodes are available: ", "", message).rstrip(". ")
    return Trouble("Unschedulable", {"reason": reason[:200]}, since, is_waiting=True)


# Labels


def matches(spec: Json, labels: Mapping[str, str]) -> bool:
    """Node selector and required node affinity, as the scheduler reads them."""
    if any(labels.get(name) != value for name, value in (spec.get("nodeSelector") or {}).items()):
        return False
    terms = node_terms(spec)
    return not terms or any(all(holds(one, labels) for one in term.get("matchExpressions") or ()) for term in terms)


def node_terms(spec: Json) -> Sequence[Json]:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms: Sequence[Json] = required.get("nodeSelectorTerms") or ()
    return terms


OPERATORS: Mapping[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda label, values: label in values,
    "NotIn": lambda label, values: label not in values,
    "Exists": lambda label, _: label is not None,
    "DoesNotExist": lambda label, _: label is None,
    "Gt": lambda label, values: label is not None and label.isdigit() and int(label) > int(values[0]),
    "Lt": lambda label, values: label is not None and label.isdigit() and int(label) < int(values[0]),
}


def holds(expression: Json, labels: Mapping[str, str]) -> bool:
    rule = OPERATORS.get(str(expression.get("operator")))
    return rule is None or rule(labels.get(str(expression["key"])), expression.get("values") or ())


def wanted_labels(spec: Json) -> dict[str, str]:
    """What of labels the pod asks for, in words: a list of values where several do."""
    wanted = {str(name): str(value) for name, value in (spec.get("nodeSelector") or {}).items()}
    for term in node_terms(spec):
        for one in term.get("matchExpressions") or ():
            wanted.setdefault(str(one["key"]), ", ".join(one.get("values") or ()))
    return wanted


def selector_trouble(spec: Json, nodes: Sequence[NodeFields], since: datetime | None) -> Trouble:
    """No node has all labels: said of the GPU where it is that, else of the first label that no node has."""
    wanted = wanted_labels(spec)
    for name in PRODUCT_LABELS:
        there = {node["labels"].get(name) or node["gpu_product"] for node in nodes}
        if name in wanted and not any(node["labels"].get(name) in wanted[name].split(", ") for node in nodes):
            values = {"wanted": wanted[name], "there": ", ".join(sorted(filter(None, there)))}
            return Trouble("GpuProductMissing", values, since)
    nobody = [name for name, value in wanted.items() if all(node["labels"].get(name) != value for node in nodes)]
    name = next(iter(nobody or wanted), "")
    value = wanted.get(name, "")
    return Trouble("NoMatchingNode", {"label": f"{name}={value}" if value else name}, since)


# Taints


def keeping_off(spec: Json, node: NodeFields) -> TaintFields | None:
    """The first taint that somebody has set and the pod does not tolerate."""
    for taint in node["taints"]:
        of_node_trouble = taint["key"].startswith(OF_NODE_TROUBLE)
        if taint["effect"] in KEEPS_OFF and not of_node_trouble and not tolerates(spec, taint):
            return taint
    return None


def tolerates(spec: Json, taint: TaintFields) -> bool:
    for one in spec.get("tolerations") or ():
        same_effect = not one.get("effect") or one["effect"] == taint["effect"]
        same_key = not one.get("key") or one["key"] == taint["key"]
        is_any = one.get("operator") == "Exists" or str(one.get("value") or "") == taint["value"]
        if same_effect and same_key and is_any:
            return True
    return False


def taint_words(taint: TaintFields) -> str:
    return f"{taint['key']}={taint['value']}" if taint["value"] else taint["key"]
