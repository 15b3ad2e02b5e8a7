"""Pods of a real cluster, reached from outside it, for tests of the gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from deployments.clusters.kubernetes.reaching import proxy_url
from deployments.models import Instance
from tests.inference_gateway import pod_program
from tests.inference_gateway.rig import Deployed, Server, add_instance, deploy
from tests.kube import KubeCluster, fresh_namespace, require_image

CANARY = "canary-of-a-secret-nobody-asked-for"
PODS = ("one", "two")


@dataclass(frozen=True)
class Pods:
    """Two pods with the program, behind a Service with a node port, and a Secret beside them."""

    kube: KubeCluster
    namespace: str

    @property
    def api_server(self) -> str:
        config = yaml.safe_load(self.kube.kubeconfig.read_text())
        return str(config["clusters"][0]["cluster"]["server"])

    @property
    def token(self) -> str:
        return str(yaml.safe_load(self.kube.kubeconfig.read_text())["users"][0]["user"]["token"])

    def base_url(self, pod: str) -> str:
        return proxy_url(self.api_server, self.namespace, pod, pod_program.PORT)

    def live(self, pod: str = "one") -> int:
        """How many streams of the pod have a listener."""
        path = urlsplit(self.base_url(pod)).path
        return int(self.kube.kubectl("get", "--raw", f"{path}/live"))


@contextmanager
def running_pods(kube: KubeCluster) -> Iterator[Pods]:
    image = require_image(kube)
    source = Path(pod_program.__file__).read_text()
    container: dict[str, Any] = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", source],
        "readinessProbe": {"httpGet": {"path": "/live", "port": pod_program.PORT}, "periodSeconds": 1},
    }
    spec = {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1, "containers": [container]}
    made: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}
        for name in PODS
    ]
    node_port = {
        "type": "NodePort",
        "externalTrafficPolicy": "Local",
        "selector": {"app": "one"},
        "ports": [{"port": pod_program.PORT}],
    }
    made.append({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "one"}, "spec": node_port})
    made.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "canary"}, "stringData": {"it": CANARY}})
    with fresh_namespace(kube) as namespace:
        kube.kubectl(
            "apply", "-n", namespace, "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": made})
        )
        kube.kubectl(
            "wait", "-n", namespace, "--for=condition=Ready", *(f"pod/{name}" for name in PODS), "--timeout=120s"
        )
        yield Pods(kube, namespace)


def server_for(pods: Pods, kubeconfig: Path) -> Server:
    return Server(
        SLIPWAY_CLUSTER="kubernetes",
        KUBECONFIG=str(kubeconfig),
        SLIPWAY_NAMESPACE=pods.namespace,
        SLIPWAY_POD_ACCESS="proxy",
    )


def on_pods(server: Server, pods: Pods, *names: str, **document: Any) -> Deployed:
    service = deploy(server, **document)
    for name in names:
        add_pod(service, pods.base_url(name))
    type(service.row).objects.filter(pk=service.row.pk).update(wanted_instances=len(names))
    return service


def add_pod(service: Deployed, base_url: str) -> None:
    row = add_instance(service.row, pod_program.PORT)
    Instance.objects.filter(pk=row.pk).update(host="192.0.2.1", base_url=base_url)
