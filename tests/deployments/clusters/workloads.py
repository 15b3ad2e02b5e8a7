"""Workloads whose programs are small and real."""

from __future__ import annotations

import socket
import urllib.request
from typing import Any

from deployments.clusters.base import (
    Cluster,
    InstanceObservation,
    InstancePhase,
    LogQuery,
    ServiceObservation,
    Workload,
)
from deployments.spec import ServiceSpec
from tests.waiting import wait_until

HTTP_SERVER = "exec python3 -m http.server $PORT"
#: A pod takes its time, most of all where many tests share a machine.
PATIENCE_SECONDS = 90.0
SLEEPER = "exec sleep 1000"


def spec_of(script: str = SLEEPER, instances: int = 1, **parts: Any) -> ServiceSpec:
    """A document with one script; ``container`` and ``metadata`` add to these parts, others to the whole."""
    metadata = {"name": "tiny", "instance": instances, "eas.termination_grace_period": 2}
    container = {"image": "tools:1", "script": script} | parts.pop("container", {})
    if container["script"] is None:
        del container["script"]
    metadata |= parts.pop("metadata", {})
    return ServiceSpec.parse({"metadata": metadata, "containers": [container], **parts})


def workload(spec: ServiceSpec | str, *, uid: str = "u1", revision: int = 1, **fields: Any) -> Workload:
    spec = spec_of(spec) if isinstance(spec, str) else spec
    fields.setdefault("instances", spec.instances)
    fields.setdefault("restart_token", "0")
    return Workload(service_uid=uid, service_name=spec.name, revision=revision, spec=spec, **fields)


def settle(cluster: Cluster, wanted: Workload, phase: InstancePhase = InstancePhase.RUNNING) -> ServiceObservation:
    """Apply until exactly the wanted instances are there, all in ``phase``."""

    def agrees() -> ServiceObservation | None:
        cluster.apply(wanted)
        seen = cluster.observe(wanted.service_uid)
        is_so = len(seen.instances) == wanted.instances and all(
            (one.phase, one.revision, one.restart_token) == (phase, wanted.revision, wanted.restart_token)
            for one in seen.instances
        )
        return seen if is_so else None

    seen = wait_until(agrees, f"{wanted.instances} instances {phase}", PATIENCE_SECONDS)
    assert seen is not None
    return seen


def the_one(cluster: Cluster, uid: str = "u1") -> InstanceObservation:
    (instance,) = cluster.observe(uid).instances
    return instance


def wait_for_phase(cluster: Cluster, phase: InstancePhase, uid: str = "u1") -> InstanceObservation:
    def reached() -> InstanceObservation | None:
        seen = cluster.observe(uid).instances
        return seen[0] if seen and seen[0].phase is phase else None

    seen = wait_until(reached, f"phase {phase}", PATIENCE_SECONDS)
    assert seen is not None
    return seen


def lines_of(cluster: Cluster, instance: str, uid: str = "u1", **query: Any) -> list[str]:
    """The text of log lines, without the time."""
    page = cluster.read_log(uid, LogQuery(instance, **query))
    return [text.partition(" ")[2] for _, text in page.lines]


def wait_for_line(cluster: Cluster, instance: str, line: str, uid: str = "u1") -> None:
    wait_until(lambda: line in lines_of(cluster, instance, uid), f"the line {line!r} in the log of {instance}")


def answers(instance: InstanceObservation) -> bool:
    try:
        with urllib.request.urlopen(f"http://{instance.host}:{instance.port}/", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def accepts(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
