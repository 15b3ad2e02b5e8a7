"""Why a Deployment gets no pods at all: quotas, limits, security levels, rules of the cluster. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal

from deployments.clusters.base import Trouble
from deployments.clusters.kubernetes.pulling import last_words
from deployments.clusters.kubernetes.quantities import quantity
from deployments.clusters.kubernetes.reading import Json, condition, moment, status_of
from deployments.words import figure

GIB = Decimal(1024**3)


def creation_trouble(deployment: Json) -> Trouble | None:
    """What refuses the Deployment's pods, by its condition; None where it does not speak of what is wanted now."""
    failed = condition(deployment, "ReplicaFailure")
    observed = int(status_of(deployment).get("observedGeneration") or 0)
    if failed.get("status") != "True" or observed < int(deployment["metadata"].get("generation") or 0):
        return None
    return refusal(str(failed.get("message") or ""), moment(failed.get("lastTransitionTime")))


def refusal(message: str, since: datetime | None) -> Trouble:
    """The API server's own words on a pod that it does not create."""
    exceeded = re.search(r"exceeded quota: ([^,]+), requested: (.+?), used: (.+?), limited: (.+)$", message)
    if exceeded:
        return quota_trouble(*exceeded.groups(), since=since)
    limit = re.search(
        r"(maximum|minimum) (\S+) usage per \S+ is ([^,\]]+),? but (?:limit|request) is ([^,\].]+)", message
    )
    if limit:
        values = {"bound": limit[1], "resource": limit[2], "limit": limit[3], "given": limit[4]}
        return Trouble("LimitExceeded", values, since)
    security = re.search(r'violates PodSecurity "([^":]+)[^"]*": (.+)$', message)
    if security:
        # The first of its reasons; each has its own explanation in brackets.
        return Trouble("SecurityRefused", {"level": security[1], "reason": security[2].partition(" (")[0]}, since)
    webhook = re.search(r'admission webhook "([^"]+)" denied the request: ?(.*)$', message, re.DOTALL)
    if webhook:
        return Trouble("AdmissionRefused", {"name": webhook[1], "reason": last_words(webhook[2])}, since)
    policy = re.search(r"ValidatingAdmissionPolicy '([^']+)'.*denied request: ?(.*)$", message, re.DOTALL)
    if policy:
        return Trouble("AdmissionRefused", {"name": policy[1], "reason": last_words(policy[2])}, since)
    return Trouble("NotCreated", {"reason": last_words(message)}, since)


def quota_trouble(quota: str, requested: str, used: str, limited: str, *, since: datetime | None) -> Trouble:
    """The first resource that is over, in its own unit. More than the quota's whole needs a person."""
    asked, in_use, hard = (amounts(part) for part in (requested, used, limited))
    for name, need in asked.items():
        whole, left = hard.get(name, Decimal()), hard.get(name, Decimal()) - in_use.get(name, Decimal())
        if need <= left:
            continue
        left = max(left, Decimal())  # a quota that was lowered may be used more than whole
        kind = kind_of(name)
        unit = GIB if kind == "memory" else Decimal(1)
        told = {key: in_figures(value / unit) for key, value in (("left", left), ("hard", whole), ("need", need))}
        values = {"quota": quota, "kind": kind, "resource": name, **told}
        return Trouble("QuotaExceeded", values, since, is_waiting=need <= whole)
    return Trouble("NotCreated", {"reason": f"the quota {quota} is exceeded"}, since, is_waiting=True)


def amounts(text: str) -> dict[str, Decimal]:
    """``limits.memory=2Gi,pods=1`` by name."""
    pairs = (part.split("=", 1) for part in text.split(",") if "=" in part)
    return {name.strip(): quantity(value) for name, value in pairs}


def kind_of(resource: str) -> str:
    name = resource.partition(".")[2] if resource.startswith(("requests.", "limits.")) else resource
    if name.endswith("/gpu"):
        return "gpu"
    return name if name in ("cpu", "memory", "pods") else ""


def in_figures(value: Decimal) -> str:
    return figure(float(value), 0 if value == value.to_integral_value() else 1 if value >= 2 else 2)
