"""Services that a test applies to a real cluster by what is rendered of them, with nothing else of Slipway."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import yaml

from deployments.clusters.kubernetes.rendering import ClusterFacts, render
from deployments.clusters.kubernetes.settings import KubernetesSettings
from tests.deployments.clusters.kubernetes.cases import UID, Case
from tests.deployments.clusters.kubernetes.rendered import document
from tests.kube import IMAGE, KubeCluster
from tests.waiting import wait_until

POD = f"slipway.dev/service-uid={UID}"


@dataclass(frozen=True)
class Runner:
    """Applies a service to a namespace of its own, and looks at its one pod."""

    kube: KubeCluster
    namespace: str

    def apply(self, wanted: dict[str, Any], **settings: Any) -> None:
        mine = KubernetesSettings(**{"namespace": self.namespace, "images": {}} | settings)
        manifests = render(*Case(wanted, mine, ClusterFacts(token="t")).build())
        words = ("apply", "--server-side", "--force-conflicts", "--validate=strict", "-f", "-")
        self.kube.kubectl(*words, stdin=yaml.safe_dump_all(manifests))

    def pods(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.kube.get("pods", "-n", self.namespace, "-l", POD)["items"]
        return found

    def log(self, container: str = "main") -> str:
        done = self.kube.try_kubectl("logs", "-n", self.namespace, "-l", POD, "-c", container, "--tail=-1")
        return done.stdout

    def wait_for_line(self, line: str, container: str = "main") -> None:
        def told() -> bool:
            return line in self.log(container).splitlines()

        what = f"the line {line!r} in {self.log(container)!r}; {json.dumps([pod['status'] for pod in self.pods()])}"
        wait_until(told, what, timeout_seconds=120)

    def status(self) -> dict[str, Any]:
        (pod,) = self.pods()
        (found,) = (one for one in pod["status"].get("containerStatuses", ()) if one["name"] == "main")
        return dict(found)


def own(script: str, **parts: Any) -> dict[str, Any]:
    """A script in the test's image, which listens nowhere."""
    container = {"image": IMAGE, "script": script} | parts.pop("container", {})
    metadata = {"eas.termination_grace_period": 100, "memory": 256} | parts.pop("metadata", {})
    return document(container, metadata=metadata, **parts)
