"""Whether instances would find a node and stay within quotas, before any is made: what nodes have free now. Pure.

A pod that cannot be placed is explained afterwards by ``scheduling`` in the same words, so both say the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Literal

from deployments.cluster_models import ClusterState
from deployments.clusters.base import Trouble, Workload
from deployments.clusters.kubernetes.admission import quota_trouble
from deployments.clusters.kubernetes.comparing import differences
from deployments.clusters.kubernetes.quantities import quantity
from deployments.clusters.kubernetes.reading import Json, is_ending, status_of
from deployments.clusters.kubernetes.scheduling import (
    Need,
    container_requests,
    free_units,
    keeping_off,
    matches,
    need_of,
    selector_trouble,
    shortage,
    taint_words,
    takes_pods,
)
from deployments.clusters.overview import NodeFields, QuotaFields
from deployments.clusters.preview import Check, State
from deployments.failures import explain_trouble
from deployments.words import say, say_plural


def foresee(
    workload: Workload, wanted: Json, live: Json | None, pods: Iterable[Json], state: ClusterState | None
) -> tuple[Check, ...]:
    """Room and quotas for what applying the Deployment ``wanted`` in place of ``live`` would need at once."""
    spec = wanted["spec"]["template"]["spec"]
    nodes, quotas = (state.nodes, state.quotas) if state is not None else ((), ())
    staying = [pod for pod in pods if not is_ending(pod) and status_of(pod).get("phase") in ("Pending", "Running")]
    growth = max(0, workload.instances - len(staying))
    is_rolled = bool(staying) and live is not None and is_other(wanted, live)
    count = growth + (surge_of(wanted, workload.instances) if is_rolled else 0)
    room = room_check(spec, count, nodes)
    if room.state == "waits" and is_rolled and not growth and workload.spec.unavailable:
        told = say("No node has room for an additional instance now, so an old one ends before each new one starts.")
        room = Check("capacity", "ok", told, code="Replaces", values=room.values)
    return (room, *quota_checks(spec, count, quotas))


def is_other(wanted: Json, live: Json) -> bool:
    """Whether the pods would be made anew."""
    return bool(differences(wanted["spec"]["template"], live["spec"]["template"]))


def surge_of(deployment: Json, instances: int) -> int:
    """How many pods an update may have more than wanted; a share of them is rounded up, as Kubernetes does."""
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    surge = rolling.get("maxSurge", 1)
    if isinstance(surge, str):
        return math.ceil(int(surge.rstrip("%")) * instances / 100)
    return int(surge)


def room_check(spec: Json, count: int, nodes: Sequence[NodeFields]) -> Check:
    """Whether ``count`` more pods of this spec find a node now."""
    values: dict[str, str | int | float] = {"instances": count, **needed(need_of(spec))}
    if count == 0:
        return Check("capacity", "ok", say("No additional instance has to find a node."), values=values)
    if not nodes:
        return Check("capacity", "unknown", say("The nodes are not known yet, so nobody can say."), values=values)
    reachable = [node for node in nodes if matches(spec, node["labels"]) and not keeping_off(spec, node)]
    taking = [node for node in reachable if takes_pods(node)]
    trouble = unreachable(spec, nodes, reachable) or shortage(need_of(spec), reachable, taking, None)
    if trouble is not None:
        return told(trouble, values)
    if not taking:
        return told(Trouble("NodesAway", {}, is_waiting=True), values)
    if any(node["free"] is None for node in taking):
        unknown = say("Slipway may not see what other pods claim, so nobody can say whether there is room now.")
        return Check("capacity", "unknown", unknown, values=values)
    room = sum(min(places(need_of(spec), node), count) for node in taking)
    if room < count:
        short = say_plural(
            "%(room)s of %(count)s additional instance finds a node now; the others wait for room.",
            "%(room)s of %(count)s additional instances find a node now; the others wait for room.",
            count, room=room,
        )  # fmt: skip
        cure = say("They start by themselves when more is free. Or use fewer instances, or smaller ones.")
        return Check("capacity", "waits", short, cure, "InstancesShort", values | {"room": room})
    found = say_plural(
        "There is room now: %(count)s additional instance finds a node.",
        "There is room now: %(count)s additional instances find a node.",
        count,
    )
    return Check("capacity", "ok", found, values=values | {"room": room})


def unreachable(spec: Json, nodes: Sequence[NodeFields], reachable: Sequence[NodeFields]) -> Trouble | None:
    """Why no node may take the pod at all, by labels and taints; None where some may."""
    if reachable:
        return None
    fitting = [node for node in nodes if matches(spec, node["labels"])]
    if not fitting:
        return selector_trouble(spec, nodes, None)
    taint = keeping_off(spec, fitting[0])
    return Trouble("NodesTainted", {"taint": taint_words(taint) if taint else ""})


def told(trouble: Trouble, values: Mapping[str, str | int | float]) -> Check:
    cause = explain_trouble(trouble)
    state: State = "waits" if trouble.is_waiting else "fails"
    key: Literal["quota", "capacity"] = "quota" if trouble.cause == "QuotaExceeded" else "capacity"
    return Check(key, state, cause.what, cause.cure, cause.code, {**values, **trouble.values})


def needed(need: Need) -> dict[str, int]:
    return {"need_milli": need.cpu_milli, "need_mib": need.memory_mib, "need_gpus": need.gpus}


def places(need: Need, node: NodeFields) -> int:
    """How many such pods the node has room for."""
    rooms = [free_units(node, name) // amount for name, amount in need.by_name.items() if amount]
    return min(rooms, default=1_000_000)


def quota_checks(spec: Json, count: int, quotas: Iterable[QuotaFields]) -> tuple[Check, ...]:
    """One answer for each quota that concerns pods: what it leaves, or what is over."""
    return tuple(check for quota in quotas if count and (check := quota_check(quota, per_pod(spec), count)) is not None)


def quota_check(quota: QuotaFields, pod: Mapping[str, Decimal], count: int) -> Check | None:
    asked = {name: pod[name] * count for name in quota["hard"] if name in pod}
    if not asked:
        return None
    used = {name: quota["used"].get(name, "0") for name in quota["hard"]}
    is_over = any(need > quantity(quota["hard"][name]) - quantity(used[name]) for name, need in asked.items())
    values: dict[str, str | int | float] = {"quota": quota["name"], "instances": count}
    if is_over:
        trouble = quota_trouble(quota["name"], written(asked), written(used), written(quota["hard"]), since=None)
        return told(trouble, values)
    left = ", ".join(f"{name} {plain(quantity(quota['hard'][name]) - quantity(used[name]))}" for name in asked)
    return Check("quota", "ok", say("Within quota %(quota)s, which leaves: %(left)s.", quota=quota["name"], left=left),
                 values=values)  # fmt: skip


def per_pod(spec: Json) -> dict[str, Decimal]:
    """What one pod takes of each resource that a quota may name."""
    found: dict[str, Decimal] = {"pods": Decimal(1), "count/pods": Decimal(1)}
    for container in spec["containers"]:
        for name, amount in container_requests(container).items():
            for key in (name, f"requests.{name}"):
                found[key] = found.get(key, Decimal()) + amount
        for name, text in ((container.get("resources") or {}).get("limits") or {}).items():
            found[f"limits.{name}"] = found.get(f"limits.{name}", Decimal()) + quantity(text)
    return found


def written(amounts: Mapping[str, Decimal | str]) -> str:
    """As the API server's message has them."""
    return ",".join(f"{name}={amount}" for name, amount in amounts.items())


def plain(amount: Decimal) -> str:
    """A left amount for people: bytes in Gi, others as they are."""
    gib = amount / 1024**3
    if gib >= 1:
        return f"{gib:.1f}".rstrip("0").rstrip(".") + "Gi"
    return f"{amount:f}".rstrip("0").rstrip(".") if "." in f"{amount:f}" else f"{amount:f}"
