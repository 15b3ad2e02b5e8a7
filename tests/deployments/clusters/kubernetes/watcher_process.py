"""The watcher as it runs in earnest, a process of its own, on the test's database; and small services to watch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.db import connection
from django.utils import timezone

from console.environment import REPOSITORY
from deployments.clusters.kubernetes.names import APP_NAME, RESTART, REVISION, own_labels
from deployments.clusters.kubernetes.settings import KubernetesSettings
from deployments.models import ClusterState, ClusterView
from tests.kube import IMAGE, KubeCluster
from tests.waiting import wait_until


@dataclass
class WatcherProcess:
    """``manage.py watch_cluster`` for one namespace."""

    kubeconfig: Path
    namespace: str
    log: Path
    more: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def key(self) -> str:
        return KubernetesSettings(namespace=self.namespace).key

    def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
        environment |= {
            "DJANGO_SETTINGS_MODULE": "console.settings",
            "SLIPWAY_DATA_DIR": str(settings.SLIPWAY_DATA_DIR),
            "SLIPWAY_SECRET_KEY": settings.SECRET_KEY,
            "SLIPWAY_CLUSTER": "kubernetes",
            "SLIPWAY_NAMESPACE": self.namespace,
            "KUBECONFIG": str(self.kubeconfig),
            "DATABASE_URL": database_url(),
            "REDIS_URL": settings.SLIPWAY_REDIS_URL,
            **self.more,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "watch_cluster"],
                cwd=REPOSITORY,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self, number: int = signal.SIGKILL) -> int:
        """End it and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def state(self) -> ClusterState | None:
        return ClusterState.objects.filter(key=self.key).first()

    def wait_fresh(self) -> ClusterState:
        """Until it has listed everything and heard the API server since now."""
        since = timezone.now()

        def fresh() -> ClusterState | None:
            state = self.state()
            is_new = state and state.listed_at and state.answered_at and state.answered_at > since
            return state if is_new else None

        try:
            return wait_until(fresh, "the watcher has listed everything", 60)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log.read_text()[-3000:]}") from error


@contextmanager
def watching(kubeconfig: Path, namespace: str, folder: Path, **more: str) -> Iterator[WatcherProcess]:
    """A watcher that has listed everything."""
    watcher = WatcherProcess(kubeconfig, namespace, folder / "watcher.log", more)
    watcher.start()
    try:
        watcher.wait_fresh()
        yield watcher
    finally:
        if watcher.process is not None and watcher.process.poll() is None:
            watcher.kill()


def database_url() -> str:
    """Of the test's database, which is another one than the settings name."""
    found = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{quote(str(found['NAME']))}"
    user = f"{quote(str(found['USER']))}:{quote(str(found['PASSWORD']))}@" if found["USER"] else ""
    return f"postgres://{user}{quote(str(found['HOST']), safe='')}:{found['PORT'] or 5432}/{found['NAME']}"


def deployment(service_uid: str, script: str, name: str = "", **changes: Any) -> dict[str, Any]:
    """A Deployment as Slipway labels it, whose one pod runs a shell script."""
    name = name or f"s-{service_uid}"
    labels = own_labels("slipway", service_uid)
    pod_labels = labels | {APP_NAME: name, REVISION: "1", RESTART: "0"}
    container = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        "ports": [{"containerPort": 8000}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": pod_labels},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, **changes},
            },
        },
    }


def create(kube: KubeCluster, namespace: str, *manifests: dict[str, Any]) -> None:
    items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
    kube.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(items))


def find_view(service_uid: str) -> ClusterView:
    """An empty one where there is none yet."""
    found = ClusterView.objects.filter(service_uid=service_uid).first()
    return found or ClusterView(service_uid=service_uid, changed_at=timezone.now())


def pods(service_uid: str) -> dict[str, Any]:
    found: dict[str, Any] = find_view(service_uid).pods
    return found


def running_pod(service_uid: str) -> str | None:
    """The name of the service's pod whose program runs."""
    return next((name for name, pod in pods(service_uid).items() if pod["status"].get("phase") == "Running"), None)
