"""One list and its watch against a real API server, with a proxy between that misbehaves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deployments.clusters.base import ClusterError
from deployments.clusters.kubernetes import connection as connecting
from deployments.clusters.kubernetes import kinds
from deployments.clusters.kubernetes.connection import Connection
from deployments.clusters.kubernetes.kinds import Manifest
from deployments.clusters.kubernetes.names import own_labels
from deployments.clusters.kubernetes.watching import reflector as reflecting
from deployments.clusters.kubernetes.watching.knowledge import Knowledge
from deployments.clusters.kubernetes.watching.reflector import Reflector
from deployments.clusters.kubernetes.watching.watched import OF_SERVICES, Watched
from tests.kube import KubeCluster, fresh_namespace
from tests.kube_faults import Fault, FaultProxy, fault_proxy
from tests.waiting import wait_until

pytestmark = pytest.mark.kubernetes

SERVICES = next(watched for watched in OF_SERVICES if watched.kind is kinds.SERVICE)


@dataclass
class Notes:
    """What the reflector says of itself."""

    errors: list[str] = field(default_factory=list)
    is_alive: bool = False

    def note_alive(self, watched: Watched) -> None:
        self.is_alive = True

    def note_error(self, watched: Watched, error: ClusterError) -> None:
        self.errors.append(error.code)
        self.is_alive = False


@dataclass
class Watch:
    """A reflector at work in a thread, and what it knows."""

    reflector: Reflector
    knowledge: Knowledge
    notes: Notes

    def names(self) -> set[str]:
        self.knowledge.touch(sorted(self.knowledge.services()))
        changes, _ = self.knowledge.take(100)
        return {key.partition("/")[2] for change in changes for key in change.manifests}


@contextmanager
def watch(kubeconfig: Path, cluster: KubeCluster, namespace: str, version: str = "") -> Iterator[Watch]:
    stop, notes = threading.Event(), Notes()
    knowledge = Knowledge(lambda found: found, lambda uid, pod, is_there: None)
    settings = KubeCluster(kubeconfig, cluster.program, cluster.environment).settings(namespace)
    reflector = Reflector(SERVICES, Connection(settings), knowledge, notes, stop)
    reflector.version, reflector.listed_at = version, float("inf") if version else 0.0
    thread = threading.Thread(target=reflector.run, daemon=True)
    thread.start()
    try:
        yield Watch(reflector, knowledge, notes)
    finally:
        stop.set()
        thread.join(10)


@pytest.fixture(autouse=True)
def short_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute each in earnest."""
    monkeypatch.setattr(reflecting, "WATCH_SECONDS", (3, 4))
    monkeypatch.setattr(reflecting, "LONGEST_PAUSE_SECONDS", 1.0)
    monkeypatch.setattr(connecting, "WATCH_GRACE_SECONDS", 1.0)


@pytest.fixture
def namespace(objects_only: KubeCluster) -> Iterator[str]:
    """Of the control plane that may be hurt."""
    with fresh_namespace(objects_only) as name:
        yield name


@pytest.fixture
def proxy(objects_only: KubeCluster, tmp_path: Path) -> Iterator[FaultProxy]:
    with fault_proxy(objects_only.kubeconfig, tmp_path) as running:
        yield running


def create(cluster: KubeCluster, namespace: str, *names: str) -> None:
    items = [service(name) for name in names]
    manifests = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifests)


def service(name: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": own_labels("slipway", "eas-m-one")},
        "spec": {"ports": [{"port": 80}], "clusterIP": "None"},
    }


def delete(cluster: KubeCluster, namespace: str, *names: str) -> None:
    cluster.kubectl("delete", "-n", namespace, "service", *names)


def test_changes_are_told_over_many_watches(objects_only: KubeCluster, namespace: str) -> None:
    create(objects_only, namespace, "a")
    with watch(objects_only.kubeconfig, objects_only, namespace) as watching:
        wait_until(lambda: watching.names() == {"a"}, "what was there is listed")
        lists = watching.reflector.listed_at
        create(objects_only, namespace, "b")
        wait_until(lambda: watching.names() == {"a", "b"}, "what is new is told")
        first = watching.reflector.version
        wait_until(lambda: watching.reflector.version != first, "a bookmark at the watch's end goes further")
        delete(objects_only, namespace, "a")
        wait_until(lambda: watching.names() == {"b"}, "what goes is told")
        assert watching.reflector.listed_at == lists, "one list was enough"
        assert watching.notes.errors == []


def test_a_version_that_is_gone_means_a_new_list(objects_only: KubeCluster, namespace: str) -> None:
    create(objects_only, namespace, "a")
    with watch(objects_only.kubeconfig, objects_only, namespace, version="1") as watching:
        wait_until(lambda: watching.names() == {"a"}, "it was listed")
        assert watching.notes.errors == []


def test_gone_as_the_proxy_says_it_means_a_new_list(
    objects_only: KubeCluster, namespace: str, proxy: FaultProxy
) -> None:
    create(objects_only, namespace, "a")
    with watch(proxy.kubeconfig, objects_only, namespace) as watching:
        wait_until(lambda: watching.names() == {"a"}, "it is listed")
        lists = watching.reflector.listed_at
        gone = json.dumps({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}).encode()
        faults = [Fault(410, body=gone)]
        proxy.choose = lambda method, path: faults.pop() if "watch=true" in path and faults else None
        wait_until(lambda: watching.reflector.listed_at > lists, "it is listed again")
        assert watching.names() == {"a"}


def test_a_watch_that_goes_silent_is_dropped_and_nothing_is_missed(
    objects_only: KubeCluster, namespace: str, proxy: FaultProxy
) -> None:
    create(objects_only, namespace, "a")
    mute = threading.Event()
    proxy.choose = lambda method, path: Fault(mute=mute)
    with watch(proxy.kubeconfig, objects_only, namespace) as watching:
        wait_until(lambda: watching.names() == {"a"} and watching.notes.is_alive, "it is watched")
        mute.set()
        create(objects_only, namespace, "b")
        proxy.choose = lambda method, path: None  # only the connection that is open is dead
        wait_until(lambda: watching.names() == {"a", "b"}, "another connection tells it")
        mute.clear()
        assert "not_reachable" in watching.notes.errors


@pytest.mark.parametrize("cut", [10, -1])
def test_a_list_that_is_cut_short_takes_nothing_away(
    objects_only: KubeCluster, namespace: str, proxy: FaultProxy, cut: int
) -> None:
    create(objects_only, namespace, "a", "b", "c")
    with watch(proxy.kubeconfig, objects_only, namespace) as watching:
        wait_until(lambda: watching.names() == {"a", "b", "c"}, "all are listed")
        proxy.choose = lambda method, path: None if "watch=true" in path else Fault(cut_at=cut)
        watching.reflector.listed_at = -1e9  # time for a resync
        wait_until(lambda: watching.notes.errors, "the list failed", 60)
        assert watching.names() == {"a", "b", "c"}
        proxy.choose = lambda method, path: None
        delete(objects_only, namespace, "b")
        wait_until(lambda: watching.names() == {"a", "c"}, "it goes on")


def test_a_list_that_lacks_objects_once_takes_nothing_away(
    objects_only: KubeCluster, namespace: str, proxy: FaultProxy
) -> None:
    def half(body: bytes) -> bytes:
        found: dict[str, Any] = json.loads(body)
        return json.dumps(found | {"items": found["items"][:1]}).encode()

    create(objects_only, namespace, "a", "b", "c")
    with watch(proxy.kubeconfig, objects_only, namespace) as watching:
        wait_until(lambda: watching.names() == {"a", "b", "c"}, "all are listed")
        faults = [Fault(edit=half)]
        proxy.choose = lambda method, path: None if "watch=true" in path or not faults else faults.pop()
        before = watching.reflector.listed_at = -1e9
        wait_until(lambda: watching.reflector.listed_at > before, "it was listed again")
        assert watching.names() == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("status", "code"), [(401, "unauthorized"), (403, "admission_denied"), (429, "throttled"), (500, "server_error")]
)
def test_refusals_are_told_and_passed_by(
    objects_only: KubeCluster, namespace: str, proxy: FaultProxy, status: int, code: str
) -> None:
    create(objects_only, namespace, "a")
    with watch(proxy.kubeconfig, objects_only, namespace) as watching:
        wait_until(lambda: watching.names() == {"a"}, "it is listed")
        proxy.choose = lambda method, path: Fault(status)
        wait_until(lambda: code in watching.notes.errors, f"{code} is told", 60)
        create(objects_only, namespace, "b")
        assert watching.names() == {"a"}
        proxy.choose = lambda method, path: None
        wait_until(lambda: watching.names() == {"a", "b"} and watching.notes.is_alive, "it goes on", 60)


@pytest.mark.parametrize("part", ["kube-apiserver", "etcd"])
def test_a_killed_server_is_waited_for(objects_only: KubeCluster, namespace: str, part: str) -> None:
    create(objects_only, namespace, "a")
    with watch(objects_only.kubeconfig, objects_only, namespace) as watching:
        wait_until(lambda: watching.names() == {"a"}, "it is listed")
        objects_only.steer("restart", part, "-KILL")
        wait_until(lambda: objects_only.try_kubectl("get", "--raw", "/readyz").returncode == 0, "it is back", 90)
        create(objects_only, namespace, "b")
        wait_until(lambda: watching.names() == {"a", "b"} and watching.notes.is_alive, "it goes on", 60)
