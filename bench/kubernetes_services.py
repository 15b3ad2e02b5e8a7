"""Services of ``bench_kubernetes``: made through REST by the whole of Slipway, and by a bare loop of applies."""

from __future__ import annotations

import os
import sqlite3
import statistics
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from bench.kubernetes_cluster import NAMESPACE, Asked, asked, bare_connection, patch_pod
from deployments.clusters.base import Workload
from deployments.clusters.kubernetes.connection import Selection
from deployments.clusters.kubernetes.kinds import DEPLOYMENT, KINDS, Manifest
from deployments.clusters.kubernetes.rendering import ClusterFacts, render
from deployments.clusters.local.processes import read_text
from deployments.spec import ServiceSpec
from tests.kube import KubeCluster
from tests.slipway_client import SlipwayClient
from tests.slipway_process import SlipwayProcess
from tests.waiting import wait_until

INSTANCES = 2
#: As many as the worker has.
THREADS = 8
CALLERS = 4
#: What CPU is told of, by a word of its command line.
PARTS = {"worker": "app worker", "watcher": "watch_cluster", "server": "uvicorn"}
PATIENCE_SECONDS = 3600
#: How often it is asked whether all of them run, with and without Slipway: it takes of the same processors.
LOOK_SECONDS = 0.5


def document(name: str) -> dict[str, Any]:
    """A small service of any kind; what runs in its pods is nobody's business here."""
    return {
        "metadata": {"name": name, "instance": INSTANCES, "cpu": 0.5, "memory": 512},
        "containers": [{"image": "bench:1", "script": "exec python3 -m http.server 8000", "port": 8000}],
    }


class Slipway:
    """The running one, its parts, and its rows."""

    def __init__(self, process: SlipwayProcess, cluster: KubeCluster) -> None:
        self.process = process
        self.cluster = cluster
        self.client = SlipwayClient(process)

    def value(self, statement: str) -> int:
        ((found,),) = self.process.query(statement)
        return int(found or 0)

    def change(self, statement: str) -> None:
        with closing(sqlite3.connect(self.process.data_dir / "db.sqlite3", timeout=20)) as database:
            database.execute(statement)
            database.commit()

    def pid(self, marker: str) -> int:
        pid = self.process.part(marker)
        assert pid is not None, f"{marker} does not run:\n{self.process.output}"
        return pid

    def memory_mib(self, marker: str) -> float:
        """What is resident of a part."""
        status = read_text(f"/proc/{self.pid(marker)}/status")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024

    def cpu_seconds(self, marker: str) -> float:
        """What a part has used so far."""
        return cpu_seconds_of(self.pid(marker))

    def all_cpu_seconds(self) -> Counter[str]:
        """What all parts have used so far, the cluster's and this program too."""
        used = {name: self.cpu_seconds(marker) for name, marker in PARTS.items()}
        return Counter(used) + around_cpu_seconds(self.cluster)


def cpu_seconds_of(pid: int) -> float:
    fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def around_cpu_seconds(cluster: KubeCluster) -> Counter[str]:
    """What this program and each part of the control plane have used so far."""
    own = {"bench": sum(os.times()[:2])}
    return Counter(own | {name: cpu_seconds_of(pid) for name, pid in cluster_processes(cluster).items()})


def cluster_processes(cluster: KubeCluster) -> dict[str, int]:
    """Process ids of a control plane by name."""
    lines = map(str.split, cluster.steer("status").splitlines())
    return {name: int(pid) for name, pid in lines if pid.isdigit()}


@dataclass(frozen=True, slots=True)
class Filled:
    """From so many services to more of them, all Running."""

    services: int
    seconds: float
    spent: Asked
    posted_seconds: float  # until the last was created
    cpu: Mapping[str, float]  # seconds, by part


def fill(slipway: Slipway, names: Sequence[str]) -> Filled:
    """Create them through REST, and wait until every service that there is runs."""
    before, used = asked(slipway.cluster), slipway.all_cpu_seconds()
    wanted = slipway.value("SELECT count(*) FROM deployments_service") + len(names)
    began = time.monotonic()
    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(slipway.client.create, map(document, names)))
    posted_seconds = time.monotonic() - began
    running = "SELECT count(*) FROM deployments_service WHERE status = 'Running'"
    while slipway.value(running) != wanted:
        assert time.monotonic() - began < PATIENCE_SECONDS, f"not all of {wanted} services run"
        time.sleep(LOOK_SECONDS)
    seconds = time.monotonic() - began
    now = slipway.all_cpu_seconds()
    cpu = {name: now[name] - used[name] for name in now}
    return Filled(len(names), seconds, asked(slipway.cluster) - before, posted_seconds, cpu)


@dataclass(frozen=True, slots=True)
class Bare:
    """So many services without Slipway, until their pods are ready."""

    services: int
    seconds: float
    cpu: Mapping[str, float]  # seconds, by part


def fill_bare(cluster: KubeCluster, count: int) -> Bare:
    """The same objects for as many others by nothing but applies. They are removed again afterwards."""
    connection = bare_connection(cluster)
    services = [rendered(connection.settings, f"bare_{number:04d}") for number in range(count)]
    used = around_cpu_seconds(cluster)
    began = time.monotonic()

    def apply(manifests: Sequence[Manifest]) -> None:
        for manifest in manifests:
            connection.apply(manifest)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(apply, services))

    def are_ready() -> bool:
        found = connection.list(DEPLOYMENT, Selection()).items
        return len([one for one in found if one.get("status", {}).get("readyReplicas") == INSTANCES]) == count

    while not are_ready():
        time.sleep(LOOK_SECONDS)
    seconds = time.monotonic() - began
    now = around_cpu_seconds(cluster)
    kinds = ",".join(sorted({KINDS[one["kind"]].plural for one in services[0]}))
    cluster.kubectl("delete", kinds, "--all", "-n", connection.namespace, "--wait=false")
    wait_until(lambda: not connection.list(KINDS["Pod"], Selection()).items, "the bare pods are gone", PATIENCE_SECONDS)
    return Bare(count, seconds, {name: now[name] - used[name] for name in now})


def rendered(settings: Any, name: str) -> tuple[Manifest, ...]:
    uid = f"eas-m-{uuid.uuid4().hex[:12]}"
    workload = Workload(uid, name, 1, ServiceSpec.parse(document(name)), INSTANCES, restart_token="0")
    return render(workload, settings, ClusterFacts(token=uuid.uuid4().hex))


def times_to_row(slipway: Slipway, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds from a pod's change to what is known of its service, and from its being unready to its instance's row.

    They begin before the change is sent, so the API server's own time is in them.
    """
    pods = slipway.process.query(f"SELECT name FROM deployments_instance ORDER BY random() LIMIT {rounds}")
    connection = bare_connection(slipway.cluster)
    known, unrouted = [], []
    for (name,) in pods:
        mark = uuid.uuid4().hex
        began = time.monotonic()
        patch_pod(connection, name, {"metadata": {"labels": {"bench": mark}}})
        wait_for_row(slipway, f"SELECT count(*) FROM deployments_clusterview WHERE pods LIKE '%{mark}%'")
        known.append(time.monotonic() - began)
        row = f"SELECT count(*) FROM deployments_instance WHERE name = '{name}' AND ready_at IS"
        statuses = slipway.cluster.get("pod", name, "-n", NAMESPACE)["status"]["containerStatuses"]
        began = time.monotonic()
        patch_pod(connection, name, readiness(statuses, is_ready=False), subresource="status")
        wait_for_row(slipway, f"{row} NULL")
        unrouted.append(time.monotonic() - began)
        patch_pod(connection, name, readiness(statuses, is_ready=True), subresource="status")
        wait_for_row(slipway, f"{row} NOT NULL")
    return known, unrouted


def wait_for_row(slipway: Slipway, counts: str) -> None:
    wait_until(lambda: slipway.value(counts), counts, 60)


def readiness(statuses: Sequence[Manifest], *, is_ready: bool) -> dict[str, Any]:
    """A pod's status that says so."""
    conditions = [{"type": name, "status": str(is_ready)} for name in ("Ready", "ContainersReady")]
    return {"status": {"conditions": conditions, "containerStatuses": [{**one, "ready": is_ready} for one in statuses]}}


@dataclass(frozen=True, slots=True)
class Looked:
    """One look at every service."""

    services: int
    seconds: float
    worker_seconds: float
    spent: Asked


def reconcile_all(slipway: Slipway) -> Looked:
    """Make every service due at once, as a worker's start does, and wait until all have been looked at."""
    before, worker_before = asked(slipway.cluster), slipway.cpu_seconds("app worker")
    count = slipway.value("SELECT count(*) FROM deployments_service")
    ((since,),) = slipway.process.query("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")
    began = time.monotonic()
    slipway.change("UPDATE deployments_service SET next_check_at = '2000-01-01 00:00:00'")
    looked = f"SELECT count(*) FROM deployments_service WHERE observed_at > '{since}'"
    wait_until(lambda: slipway.value(looked) == count, "every service is looked at", PATIENCE_SECONDS)
    seconds = time.monotonic() - began
    worker_seconds = slipway.cpu_seconds("app worker") - worker_before
    return Looked(count, seconds, worker_seconds, asked(slipway.cluster) - before)


def summary(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    tail = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return f"p50 {statistics.median(ordered) * 1000:.0f} ms, p95 {tail * 1000:.0f} ms, most {ordered[-1] * 1000:.0f} ms"
