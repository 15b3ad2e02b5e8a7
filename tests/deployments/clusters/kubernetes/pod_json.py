"""Pods and events as the API server gives them, built small: a test says only what it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deployments.clusters.overview import NodeFields, TaintFields

MADE_AT = "2026-01-01T12:00:00Z"


def pod(
    name: str = "chat-1",
    *,
    phase: str = "Running",
    node: str = "node-1",
    main: Mapping[str, Any] | None = None,
    init: Sequence[Mapping[str, Any]] = (),
    ready: bool = False,
    ending: bool = False,
    **spec: Any,
) -> dict[str, Any]:
    """``main`` and ``init`` are container statuses; ``spec`` is laid over the pod's."""
    container = {
        "name": "main",
        "image": "kube.local/chat-llm:dev",
        "ports": [{"containerPort": 8000}],
        "resources": {"limits": {"cpu": "1", "memory": "2Gi"}, "requests": {"cpu": "1", "memory": "2Gi"}},
    }
    meta: dict[str, Any] = {
        "name": name,
        "uid": f"uid-of-{name}",
        "creationTimestamp": MADE_AT,
        "labels": {"slipway.dev/revision": "3", "slipway.dev/restart": "1"},
    }
    if ending:
        meta["deletionTimestamp"] = "2026-01-01T12:05:00Z"
    status: dict[str, Any] = {"phase": phase, "podIP": "10.244.0.7", "conditions": []}
    status["conditions"].append({"type": "Ready", "status": str(ready)})
    if main is not None:
        status["containerStatuses"] = [{"name": "main", "restartCount": 0, "lastState": {}, **main}]
    if init:
        status["initContainerStatuses"] = [{"restartCount": 0, "lastState": {}, **one} for one in init]
    return {"metadata": meta, "spec": {"nodeName": node, "containers": [container], **spec}, "status": status}


def ended(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    """A ``terminated`` state of four seconds' life."""
    times = {"startedAt": "2026-01-01T12:00:05Z", "finishedAt": "2026-01-01T12:00:09Z"}
    return {"terminated": {"exitCode": code, "reason": reason, "message": message, **times}}


def event(reason: str, message: str = "", *, about: str = "chat-1", container: str = "main", second: int = 1) -> Any:
    path = f"spec.containers{{{container}}}"
    return {
        "metadata": {"name": f"{about}.{reason}"},
        "reason": reason,
        "message": message,
        "type": "Normal",
        "lastTimestamp": f"2026-01-01T12:00:{second:02d}Z",
        "involvedObject": {"kind": "Pod", "name": about, "uid": f"uid-of-{about}", "fieldPath": path},
    }


def node(
    name: str = "node-1",
    *,
    cpu: float = 8,
    memory_mib: int = 32_768,
    gpu: int = 0,
    free: tuple[float, int, int] | None = None,
    product: str = "",
    ready: bool = True,
    cordoned: bool = False,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[TaintFields] = (),
) -> NodeFields:
    """``free`` is CPU, memory and GPUs; None where nobody knows."""
    return {
        "name": name,
        "is_ready": ready,
        "is_cordoned": cordoned,
        "since": MADE_AT,
        "reason": "",
        "allocatable": {"cpu": cpu, "memory_mib": memory_mib, "gpu": gpu},
        "free": None if free is None else {"cpu": free[0], "memory_mib": free[1], "gpu": free[2]},
        "gpu_product": product,
        "gpu_memory_mib": 0,
        "labels": dict(labels or {}),
        "taints": list(taints),
        "version": "v1.34.4",
    }
