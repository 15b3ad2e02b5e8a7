"""A control plane with fake nodes for ``bench_kubernetes``, and how it counts Slipway's requests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from deployments.clusters.kubernetes.connection import Connection
from deployments.clusters.kubernetes.kinds import POD
from deployments.clusters.kubernetes.settings import KubernetesSettings
from tests.kube import KubeCluster

NAMESPACE, BARE_NAMESPACE = "slipway", "bare"
ACCOUNT = "slipway-bench"
#: The API server counts what it dispatches by flow schema; no other service account of this cluster asks anything that
#: is counted here (the controllers' have a schema of their own).
DISPATCHED = re.compile(
    r'^apiserver_flowcontrol_dispatched_requests_total\{.*flow_schema="service-accounts".*\} (\S+)$', re.MULTILINE
)
APPLIED = re.compile(r'^apiserver_request_total\{(?=.*code="20[01]")(?=.*verb="APPLY").*\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests so far: all of Slipway's, and the applies of whoever applies."""

    requests: int
    applies: int

    def __sub__(self, other: Asked) -> Asked:
        return Asked(self.requests - other.requests, self.applies - other.applies)


def prepare(cluster: KubeCluster, folder: Path, nodes: int) -> Path:
    """Fake nodes, two namespaces and an account; returns the kubeconfig of that account."""
    cluster.steer("fake-nodes", str(nodes))
    for namespace in (NAMESPACE, BARE_NAMESPACE):
        cluster.kubectl("create", "namespace", namespace)
    cluster.kubectl("create", "serviceaccount", ACCOUNT, "-n", NAMESPACE)
    cluster.kubectl(
        *("create", "clusterrolebinding", ACCOUNT, "--clusterrole=cluster-admin"),
        f"--serviceaccount={NAMESPACE}:{ACCOUNT}",
    )
    token = cluster.kubectl("create", "token", ACCOUNT, "-n", NAMESPACE, "--duration=12h").strip()
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    own = folder / "kubeconfig"
    own.write_text(yaml.safe_dump(config))
    return own


def asked(cluster: KubeCluster) -> Asked:
    metrics = cluster.kubectl("get", "--raw", "/metrics")
    return Asked(*(round(sum(map(float, pattern.findall(metrics)))) for pattern in (DISPATCHED, APPLIED)))


def bare_connection(cluster: KubeCluster) -> Connection:
    """The same client without the limit that Slipway keeps to, as the cluster's administrator."""
    settings = KubernetesSettings(namespace=BARE_NAMESPACE, kubeconfig=str(cluster.kubeconfig))
    return Connection(replace(settings, requests_a_second=10_000.0))


def patch_pod(connection: Connection, name: str, change: Mapping[str, object], *, subresource: str = "") -> None:
    """Change a pod of Slipway's; returns when the API server has answered."""
    client = connection.client
    answer = client.pool.request(
        "PATCH",
        client.server + POD.path(NAMESPACE, name) + (f"/{subresource}" if subresource else ""),
        body=json.dumps(change).encode(),
        headers=client.headers() | {"Content-Type": "application/strategic-merge-patch+json"},
    )
    if answer.status != 200:
        raise RuntimeError(f"pod {name} was not changed: {answer.status} {answer.data.decode()}")
