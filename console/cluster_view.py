"""How a cluster looks on its page: amounts in words, bars of what is taken, badges of health."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from console.badges import UNKNOWN, Badge
from console.templatetags.slipway import relative_words
from deployments.clusters import get_cluster
from deployments.clusters.overview import (
    Amounts,
    ClusterOverview,
    NodeFields,
    QuotaFields,
    TaintFields,
    totals_of,
)
from deployments.words import number

WIDTH = 1000  # of a bar's own units


@dataclass(frozen=True, slots=True)
class Gauge:
    """One resource: "5.5 of 16 free" and how much of it is taken, in thousandths; None where that is not known."""

    words: str
    taken: int | None


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node in the table."""

    name: str
    badge: Badge
    since: datetime | None
    reason: str
    cpu: Gauge
    memory: Gauge
    gpu: Gauge | None
    gpu_words: str
    taints: tuple[str, ...]
    version: str
    instances: int


def cluster_notice(badges: Iterable[Badge]) -> ClusterOverview | None:
    """The cluster, where it is why a badge does not know: asked only then."""
    if not any(badge.status == UNKNOWN for badge in badges):
        return None
    overview = get_cluster().overview()
    return overview if overview.health != "ok" else None


def cluster_context(overview: ClusterOverview, now: datetime) -> dict[str, Any]:
    """What both pages show of a cluster as a whole."""
    totals = totals_of(overview.nodes)
    free = totals.free
    gpus = [
        {
            "product": one.product or _("GPU"),
            "gauge": gauge(one.total, one.free, number(one.total), None if one.free is None else number(one.free)),
        }
        for one in totals.gpus
    ]
    return {
        "overview": overview,
        "badge": health_badge(overview, now),
        "nodes_words": _("%(ready)s of %(count)s") % {"ready": number(totals.ready), "count": number(totals.nodes)},
        "all_ready": totals.ready == totals.nodes,
        "cpu": cpu_gauge(totals.allocatable, free),
        "memory": memory_gauge(totals.allocatable, free),
        "gpus": gpus,
        "is_silent": overview.health != "ok",
    }


def health_badge(overview: ClusterOverview, now: datetime) -> Badge:
    """Green only where it answered a moment ago."""
    if overview.health == "ok":
        return Badge("ok", _("Answers"), "circle-check", "ok")
    if overview.health == "failing":
        return Badge("failing", _("Failing"), "octagon-x", "bad")
    if overview.answered_at is None:
        return Badge("unknown", _("Unknown"), "circle-help", "unknown")
    seen = relative_words(overview.answered_at, now)
    return Badge("unknown", _("Unknown, seen %(ago)s") % {"ago": seen}, "circle-help", "unknown")


def node_badge(node: NodeFields) -> Badge:
    if not node["is_ready"]:
        return Badge("not-ready", _("Not ready"), "octagon-x", "bad")
    if node["is_cordoned"]:
        return Badge("cordoned", _("Takes no new instances"), "pause", "warn")
    return Badge("ready", _("Ready"), "circle-check", "ok")


def node_rows(nodes: Sequence[NodeFields], instances: Mapping[str, int]) -> list[NodeRow]:
    """Those that need a look first, then by name. ``instances``: how many of Slipway's each one runs."""
    order = sorted(nodes, key=lambda node: (node["is_ready"], not node["is_cordoned"], node["name"]))
    return [node_row(node, instances.get(node["name"], 0)) for node in order]


def node_row(node: NodeFields, instances: int) -> NodeRow:
    has, free = node["allocatable"], node["free"]
    product = node["gpu_product"]
    memory = _("%(gib)s GiB each") % {"gib": number(node["gpu_memory_mib"] / 1024)} if node["gpu_memory_mib"] else ""
    gpus = number(has["gpu"]), None if free is None else number(free["gpu"])
    return NodeRow(
        name=node["name"],
        badge=node_badge(node),
        since=parse_datetime(node["since"]) if node["since"] else None,
        reason=node["reason"],
        cpu=cpu_gauge(has, free),
        memory=memory_gauge(has, free),
        gpu=gauge(has["gpu"], None if free is None else free["gpu"], *gpus) if has["gpu"] else None,
        gpu_words=" · ".join(one for one in (product, memory) if one),
        taints=tuple(taint_words(one) for one in node["taints"]),
        version=node["version"],
        instances=instances,
    )


def taint_words(taint: TaintFields) -> str:
    """As Kubernetes' tools write it: ``key=value:NoSchedule``."""
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint.get('key', '')}{value}:{taint.get('effect', '')}"


def cpu_gauge(has: Amounts, free: Amounts | None) -> Gauge:
    return gauge(has["cpu"], free and free["cpu"], amount(has["cpu"]), amount(free["cpu"]) if free else None)


def memory_gauge(has: Amounts, free: Amounts | None) -> Gauge:
    room = gib(free["memory_mib"]) if free else None
    whole = _("%(gib)s GiB") % {"gib": gib(has["memory_mib"])}
    return gauge(has["memory_mib"], free and free["memory_mib"], whole, room)


def gauge(whole: float, free: float | None, whole_words: str, free_words: str | None) -> Gauge:
    if free is None or free_words is None:
        return Gauge(_("%(whole)s, free: not known") % {"whole": whole_words}, None)
    words = _("%(free)s of %(whole)s free") % {"free": free_words, "whole": whole_words}
    return Gauge(words, round(max(0.0, min(1.0, 1 - free / whole)) * WIDTH) if whole else 0)


def gib(mib: int) -> str:
    """MiB as GiB, with a decimal where it tells something."""
    return number(mib / 1024, 0 if mib >= 100 * 1024 else 1)


def amount(value: float) -> str:
    """Cores: whole ones without a decimal, as people write them."""
    return number(value, 0 if value == int(value) else 1)


def quota_rows(quotas: Sequence[QuotaFields]) -> list[dict[str, Any]]:
    """One row for each resource of each quota, quantities as Kubernetes writes them."""
    return [
        {"name": quota["name"], "resource": resource, "used": quota["used"].get(resource, "0"), "hard": hard}
        for quota in quotas
        for resource, hard in sorted(quota["hard"].items())
    ]
