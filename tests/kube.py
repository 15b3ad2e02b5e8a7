"""A real Kubernetes for tests: one that runs already, or one that the cluster program beside the repository starts.

``TEST_KUBECONFIG`` names a running one with a real node. ``TEST_CLUSTER`` names the program; without it, the
one at ``../shared/kube/cluster`` is taken. Nothing of the kind: the tests are skipped with the reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from console.environment import REPOSITORY
from deployments.clusters.kubernetes.settings import KubernetesSettings
from tests.ports import free_ports_in_a_row
from tests.waiting import wait_until

#: The image of every pod in tests: it holds a shell and Python. ``make images`` builds it.
IMAGE = "kube.local/chat-llm:dev"
#: A control plane takes this many ports, from the API server's on.
PORTS = 11
#: Which of them is the scheduler's.
SCHEDULER = 4
TRIES = 3


@dataclass(frozen=True)
class KubeCluster:
    """A running cluster. ``program`` is None where somebody else started it and nobody said how to steer it."""

    kubeconfig: Path
    program: Path | None = None
    environment: Mapping[str, str] | None = None

    def steer(self, *words: str) -> str:
        """Run the cluster program: ``restart kube-apiserver -KILL``, ``fake-nodes 20 8`` …"""
        assert self.program is not None
        done = subprocess.run(
            (self.program, *words), env=self.environment, capture_output=True, text=True, check=False, timeout=180
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        done = self.try_kubectl(*words, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def try_kubectl(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        program = self.program or require_cluster_program()
        environment = self.environment or {**os.environ, "KUBE_DIR": str(self.kubeconfig.parent)}
        return subprocess.run(
            (program, "kubectl", "--kubeconfig", str(self.kubeconfig), *words),
            env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    def get(self, *words: str) -> Any:
        """What ``kubectl get`` finds, as JSON."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def settings(self, namespace: str, **others: Any) -> KubernetesSettings:
        return KubernetesSettings(namespace=namespace, kubeconfig=str(self.kubeconfig), **others)


def find_cluster_program() -> Path | None:
    named = os.environ.get("TEST_CLUSTER")
    program = Path(named) if named else REPOSITORY.parent / "shared" / "kube" / "cluster"
    return program if os.access(program, os.X_OK) else None


def require_cluster_program() -> Path:
    program = find_cluster_program()
    if program is None:
        pytest.skip("no Kubernetes: there is no ../shared/kube/cluster, and TEST_CLUSTER names none")
    return program


@contextmanager
def real_cluster() -> Iterator[KubeCluster]:
    """With a kubelet that runs containers.

    ``TEST_KUBECONFIG``, or the one that runs on this machine (there can be but one), or one that is started for as
    long, which needs root.
    """
    given = os.environ.get("TEST_KUBECONFIG")
    if given:
        yield KubeCluster(Path(given), find_cluster_program())
        return
    program = require_cluster_program()
    cluster = KubeCluster(Path(os.environ.get("KUBE_DIR", "/tmp/kube")) / "kubeconfig", program)
    if re.search(r"^kubelet \d+$", cluster.steer("status"), re.MULTILINE):
        yield cluster
        return
    if os.geteuid() != 0:
        pytest.skip("no Kubernetes with pods: starting one needs root. Start one and name it with TEST_KUBECONFIG")
    try:
        cluster.steer("up", "--gpus", "2")
        yield cluster
    finally:
        cluster.steer("down")


@contextmanager
def objects_only_cluster() -> Iterator[KubeCluster]:
    """A control plane of the test's own, without nodes: it may be killed, restarted and given fake nodes."""
    program = require_cluster_program()
    for tries_left in reversed(range(TRIES)):
        folder = Path(tempfile.mkdtemp(prefix="slipway-kube-"))
        port = free_ports_in_a_row(PORTS)
        environment = {**os.environ, "KUBE_DIR": str(folder / "kube"), "KUBE_PORT": str(port)}
        cluster = KubeCluster(folder / "kube" / "kubeconfig", program, environment)
        try:
            cluster.steer("up", "--objects-only")
            if tries_left and not schedules(cluster, port + SCHEDULER):
                continue  # another program took one of the ports meanwhile
            yield cluster
            return
        finally:
            cluster.steer("down")
            shutil.rmtree(folder, ignore_errors=True)


def schedules(cluster: KubeCluster, port: int) -> bool:
    """Whether the scheduler comes up, which ``up`` does not wait for. One that cannot have its port ends."""

    def has_ended() -> bool:
        return re.search(r"^kube-scheduler \d+$", cluster.steer("status"), re.MULTILINE) is None

    def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):
            # The certificate is the scheduler's own.
            return httpx.get(f"https://127.0.0.1:{port}/healthz", verify=False, timeout=5).text == "ok"
        return False

    wait_until(lambda: has_ended() or answers(), "the scheduler answers, or ends", 60)
    return not has_ended()


@contextmanager
def fresh_namespace(cluster: KubeCluster) -> Iterator[str]:
    """A namespace with a name nobody else has; it is removed with all that is in it."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    cluster.kubectl("create", "namespace", name)
    try:
        yield name
    finally:
        cluster.try_kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def require_image(cluster: KubeCluster, image: str = IMAGE) -> str:
    """An image that tests' pods run; a cluster without it skips the test."""
    names = [
        name for node in cluster.get("nodes")["items"] for kept in node["status"].get("images", ())
        for name in kept.get("names") or ()
    ]  # fmt: skip
    if image not in names:
        pytest.skip(f"the cluster has no image {image}: build it with make images")
    return image
