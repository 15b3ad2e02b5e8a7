"""Slipway installed in a cluster by ``k8s/``, in namespaces that nobody else has."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from console.environment import REPOSITORY
from k8s.make_secrets import render
from tests.kube import KubeCluster
from tests.slipway_client import RestClient
from tests.waiting import wait_until

Manifest = dict[str, Any]
#: Of these there is one in a cluster, whatever the namespace.
CLUSTER_KINDS = ("ClusterRole", "ClusterRoleBinding", "PersistentVolume")


def kustomize(cluster: KubeCluster, folder: str) -> list[Manifest]:
    """What ``kubectl apply -k FOLDER`` would apply, in order."""
    text = cluster.kubectl("kustomize", str(REPOSITORY / "k8s" / folder))
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def rename(manifests: list[Manifest], namespace: str) -> list[Manifest]:
    """The same in ``namespace`` and ``namespace-services``; what belongs to no namespace gets names of its own."""
    text = json.dumps(manifests)
    text = re.sub(r'"namespace": "slipway(-services)?"', rf'"namespace": "{namespace}\1"', text)
    text = text.replace('"SLIPWAY_NAMESPACE": "slipway-services"', f'"SLIPWAY_NAMESPACE": "{namespace}-services"')
    renamed: list[Manifest] = json.loads(text)
    for manifest in renamed:
        metadata = manifest["metadata"]
        if manifest["kind"] == "Namespace":
            metadata["name"] = metadata["name"].replace("slipway", namespace, 1)
        elif manifest["kind"] in CLUSTER_KINDS:
            metadata["name"] = f"{namespace}-{metadata['name']}"
        if manifest["kind"] == "ClusterRoleBinding":
            manifest["roleRef"]["name"] = f"{namespace}-{manifest['roleRef']['name']}"
    return renamed


def containers(manifest: Manifest) -> list[dict[str, Any]]:
    """Of a Deployment or StatefulSet, those that begin before the others too; of anything else none."""
    if manifest["kind"] not in ("Deployment", "StatefulSet"):
        return []
    pod = manifest["spec"]["template"]["spec"]
    return [*pod["containers"], *pod.get("initContainers", ())]


@dataclass(frozen=True)
class Installation:
    """``namespace`` is the platform's; services run in ``services``."""

    cluster: KubeCluster
    namespace: str
    secrets: Manifest

    @property
    def services(self) -> str:
        return f"{self.namespace}-services"

    @property
    def admin_password(self) -> str:
        found = [item for item in self.secrets["items"] if item["metadata"]["name"] == "slipway-admin"]
        return str(found[0]["stringData"]["SLIPWAY_ADMIN_PASSWORD"])

    def kubectl(self, *words: str) -> str:
        return self.cluster.kubectl("--namespace", self.namespace, *words)

    def wait_until_ready(self, seconds: float = 300) -> None:
        """Every Deployment and the database are as wanted. Raises AssertionError with what was seen."""
        try:
            wait_until(lambda: not self.unready(), "all parts are ready", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\nnot ready: {self.unready()}\n{self.describe()}") from None

    def unready(self) -> list[str]:
        """Names of workloads that are not yet all that they shall be."""
        return [
            one["metadata"]["name"]
            for one in self.workloads()
            if one["status"].get("observedGeneration") != one["metadata"]["generation"]
            or {one["status"].get(count, 0) for count in ("replicas", "readyReplicas", "updatedReplicas")}
            != {one["spec"]["replicas"]}
        ]

    def workloads(self) -> list[Manifest]:
        return list(self.cluster.get("--namespace", self.namespace, "statefulsets,deployments")["items"])

    def address(self, service: str) -> str:
        """Of one of its Services: cluster addresses answer on this machine."""
        return f"http://{self.kubectl('get', 'service', service, '--output=jsonpath={.spec.clusterIP}')}"

    def client(self) -> RestClient:
        """REST goes to the console, and what a service's address is for to the gateway, as the Ingress has it."""
        client = RestClient(self.address("slipway-gateway"), self.admin_password)
        client.http.base_url = httpx.URL(self.address("slipway-console"))
        return client

    def describe(self) -> str:
        """Pods, last events and last log lines, for the report of a test that failed."""
        pods = self.kubectl("get", "pods", "--output=wide")
        events = self.kubectl("get", "events", "--sort-by=.lastTimestamp", "--output=custom-columns=W:.message")
        logs = [
            self.cluster.try_kubectl(
                *(
                    "--namespace",
                    self.namespace,
                    "logs",
                    "--all-containers",
                    "--tail=15",
                    "--prefix",
                    f"deployment/{name}",
                )
            ).stdout
            for kind, name in self.workloads()
            if kind == "deployment"
        ]
        return "\n".join((pods, *events.splitlines()[-15:], *logs))


@contextmanager
def installed(cluster: KubeCluster, folder: str = "overlays/local") -> Iterator[Installation]:
    """Install as docs/kubernetes.md says, and remove everything afterwards. Needs root for the database's folder.

    No cores are set aside: other tests' pods may have taken all that the node has.
    """
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    data = Path(tempfile.mkdtemp(prefix="slipway-postgres-"))
    manifests = rename(kustomize(cluster, folder), namespace)
    for manifest in manifests:
        if manifest["kind"] == "PersistentVolume":
            manifest["spec"]["local"]["path"] = str(data)
            manifest["spec"]["claimRef"] = {"namespace": namespace, "name": "data-slipway-postgres-0"}
        for container in containers(manifest):
            container["resources"]["requests"]["cpu"] = "0"
    secrets = json.loads(json.dumps(render(namespace, None, None)))
    try:
        for step in ([one for one in manifests if one["kind"] == "Namespace"], secrets["items"], manifests):
            _apply(cluster, step)
        yield Installation(cluster, namespace, secrets)
    finally:
        cluster.try_kubectl(
            "delete", "namespace", namespace, f"{namespace}-services", "--ignore-not-found", "--timeout=110s"
        )
        for manifest in manifests:
            if manifest["kind"] in CLUSTER_KINDS:
                cluster.try_kubectl(
                    "delete", manifest["kind"], manifest["metadata"]["name"], "--ignore-not-found", "--wait=false"
                )
        shutil.rmtree(data, ignore_errors=True)


def _apply(cluster: KubeCluster, manifests: list[Manifest]) -> None:
    text = yaml.safe_dump_all(manifests)
    cluster.kubectl("apply", "--server-side", "--validate=strict", "--filename=-", stdin=text)
