"""The watcher on a real cluster: what happens there stands in the rows within a second, and survives faults."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from http.client import HTTPResponse
from pathlib import Path
from urllib.request import urlopen

import pytest
from django.utils import timezone

from deployments.models import ClusterState, Instance, Service, Workspace
from tests.deployments.clusters.kubernetes.watcher_process import (
    WatcherProcess,
    create,
    deployment,
    find_view,
    pods,
    running_pod,
    watching,
)
from tests.kube import KubeCluster, require_image
from tests.kube_faults import Fault, fault_proxy
from tests.waiting import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.django_db(transaction=True)]

LIVES = "trap 'exit 0' TERM; while true; do sleep 0.2; done"
#: Answers with a line ten times a second, six seconds long, and ends eight seconds after it is asked to.
STREAMS = """exec python3 -u -c '
import http.server, os, signal, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        for number in range(60):
            self.wfile.write(b"%d\\n" % number)
            time.sleep(0.1)
signal.signal(signal.SIGTERM, lambda *_: threading.Timer(8, os._exit, (0,)).start())
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
'"""


@pytest.fixture
def watcher(kube: KubeCluster, namespace: str, tmp_path: Path) -> Iterator[WatcherProcess]:
    require_image(kube)
    with watching(kube.kubeconfig, namespace, tmp_path) as running:
        yield running


def make_service(uid: str) -> Service:
    workspace = Workspace.objects.get_or_create(slug="default", defaults={"name": "Default"})[0]
    long_from_now = timezone.now() + timedelta(days=1)
    return Service.objects.create(
        uid=uid, name=uid.replace("-", "_"), workspace=workspace, token_encrypted="", next_check_at=long_from_now
    )


def is_due(service: Service) -> bool:
    return Service.objects.filter(pk=service.pk, next_check_at__lte=timezone.now()).exists()


def test_objects_pods_and_events_of_a_service_come_into_its_row(
    kube: KubeCluster, namespace: str, watcher: WatcherProcess
) -> None:
    service = make_service("eas-m-one")
    create(kube, namespace, deployment("eas-m-one", LIVES))

    name = wait_until(lambda: running_pod("eas-m-one"), "its pod runs")
    wait_until(lambda: "Started" in {one["reason"] for one in find_view("eas-m-one").events}, "the kubelet's events")

    row = find_view("eas-m-one")
    assert row.manifests["Deployment/s-eas-m-one"]["apiVersion"] == "apps/v1"
    assert row.pods[name]["spec"]["nodeName"] == "node-1"
    assert "managedFields" not in row.pods[name]["metadata"]
    assert {one["involvedObject"]["name"] for one in row.events} >= {name, "s-eas-m-one"}
    assert is_due(service), "a worker is to look at it"


def test_the_cluster_itself_is_told_of(kube: KubeCluster, watcher: WatcherProcess) -> None:
    def with_nodes() -> ClusterState | None:
        state = watcher.state()
        return state if state and state.nodes and state.nodes[0]["free"] else None

    state = wait_until(with_nodes, "nodes are there, and what is free")
    (node,) = state.nodes
    assert state.api_version == kube.get("node", node["name"])["status"]["nodeInfo"]["kubeletVersion"]
    assert (state.health, state.code) == ("ok", "")
    assert node["is_ready"]
    assert node["allocatable"]["gpu"] == 2
    assert 0 < node["free"]["memory_mib"] <= node["allocatable"]["memory_mib"]


def test_events_stay_after_what_they_were_about_is_gone(
    kube: KubeCluster, namespace: str, watcher: WatcherProcess
) -> None:
    create(kube, namespace, deployment("eas-m-one", LIVES))
    name = wait_until(lambda: running_pod("eas-m-one"), "its pod runs")
    kube.kubectl("delete", "-n", namespace, "deployment", "s-eas-m-one", "--cascade=foreground")
    wait_until(lambda: not pods("eas-m-one"), "the pod is gone from the row")

    kube.kubectl("delete", "-n", namespace, "events", "--all")
    watcher.kill()
    watcher.start()
    watcher.wait_fresh()

    row = find_view("eas-m-one")
    assert name in {one["involvedObject"]["name"] for one in row.events}
    assert row.manifests == {}


def test_a_pod_that_is_to_end_leaves_routing_within_a_second_while_it_goes_on_answering(
    kube: KubeCluster, namespace: str, watcher: WatcherProcess
) -> None:
    service = make_service("eas-m-one")
    create(kube, namespace, deployment("eas-m-one", STREAMS, terminationGracePeriodSeconds=30))
    name = wait_until(lambda: running_pod("eas-m-one"), "its pod runs")
    address = f"http://{pods('eas-m-one')[name]['status']['podIP']}:8000/"
    now = timezone.now()
    Instance.objects.create(service=service, name=name, revision_number=1, phase="Running", ready_at=now, port=8000)
    answer = wait_until(lambda: try_open(address), "it answers")
    assert answer.readline() == b"0\n"

    kube.kubectl("delete", "-n", namespace, "pod", name, "--wait=false")
    asked_at = time.monotonic()
    wait_until(lambda: not Instance.objects.filter(Instance.routable(), name=name).exists(), "it takes no requests")

    assert time.monotonic() - asked_at < 1.0
    assert Instance.objects.get(name=name).phase == "Stopping"
    assert answer.read().split() == [str(number).encode() for number in range(1, 60)], "the stream goes on to its end"


def try_open(address: str) -> HTTPResponse | None:
    try:
        found: HTTPResponse = urlopen(address, timeout=10)
    except OSError:
        return None
    return found


def test_a_pod_whose_checks_fail_leaves_routing(kube: KubeCluster, namespace: str, watcher: WatcherProcess) -> None:
    service = make_service("eas-m-one")
    check = {"exec": {"command": ["test", "!", "-e", "/tmp/ill"]}, "periodSeconds": 1, "failureThreshold": 1}
    manifest = deployment("eas-m-one", LIVES)
    manifest["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = check
    create(kube, namespace, manifest)
    name = wait_until(lambda: running_pod("eas-m-one"), "its pod runs")
    wait_until(lambda: is_ready(pods("eas-m-one")[name]), "its check passes")
    now = timezone.now()
    Instance.objects.create(service=service, name=name, revision_number=1, phase="Running", ready_at=now, port=8000)

    kube.kubectl("exec", "-n", namespace, name, "--", "touch", "/tmp/ill")
    wait_until(lambda: Instance.objects.get(name=name).ready_at is None, "it takes no requests", 15)

    assert Instance.objects.get(name=name).phase == "Running"


def is_ready(pod: dict[str, dict[str, list[dict[str, str]]]]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))


@pytest.mark.parametrize(("status", "code"), [(401, "unauthorized"), (503, "server_error")])
def test_the_cluster_s_health_is_told_and_nothing_is_taken_for_gone(
    kube: KubeCluster, namespace: str, tmp_path: Path, status: int, code: str
) -> None:
    require_image(kube)
    create(kube, namespace, deployment("eas-m-one", LIVES))
    with fault_proxy(kube.kubeconfig, tmp_path) as proxy, watching(proxy.kubeconfig, namespace, tmp_path) as watcher:
        name = wait_until(lambda: running_pod("eas-m-one"), "its pod runs")
        proxy.choose = lambda method, path: Fault(status)
        began_at = timezone.now()

        def failing() -> ClusterState | None:
            state = watcher.state()
            return state if state and state.health == "failing" else None

        state = wait_until(failing, "it is failing", 60)
        assert state.code == code
        assert str(status) in state.message
        assert state.health_since is not None
        assert state.health_since > began_at
        assert state.watcher_until is not None
        assert state.watcher_until > timezone.now(), "the watcher goes on trying"
        assert running_pod("eas-m-one") == name

        proxy.choose = lambda method, path: None
        healthy = watcher.wait_fresh()
        assert (healthy.health, healthy.code, healthy.message) == ("ok", "", "")


def test_who_may_not_see_nodes_watches_services_all_the_same(kube: KubeCluster, namespace: str, tmp_path: Path) -> None:
    require_image(kube)
    refusal = {"kind": "Status", "code": 403, "message": 'User "u" cannot list resource "nodes" at the cluster scope'}
    hidden = re.compile(r"/api/v1/(nodes|pods|persistentvolumes)|/apis/storage")
    create(kube, namespace, deployment("eas-m-one", LIVES))
    with fault_proxy(kube.kubeconfig, tmp_path) as proxy:
        proxy.choose = lambda method, path: (
            Fault(403, body=json.dumps(refusal).encode()) if hidden.match(path) else None
        )
        with watching(proxy.kubeconfig, namespace, tmp_path) as watcher:
            wait_until(lambda: running_pod("eas-m-one"), "its pod runs")
            state = watcher.wait_fresh()
            assert (state.health, state.nodes, state.storage_drivers) == ("ok", [], [])


def test_a_killed_watcher_is_followed_by_one_that_finds_what_was_missed(
    kube: KubeCluster, namespace: str, watcher: WatcherProcess
) -> None:
    create(kube, namespace, deployment("eas-m-old", LIVES), deployment("eas-m-one", LIVES))
    wait_until(lambda: running_pod("eas-m-one") and running_pod("eas-m-old"), "both run")
    watcher.kill()
    kube.kubectl("delete", "-n", namespace, "deployment", "s-eas-m-old", "--cascade=foreground")
    create(kube, namespace, deployment("eas-m-new", LIVES))

    watcher.start()
    watcher.wait_fresh()

    wait_until(lambda: running_pod("eas-m-new"), "the new one is there")
    wait_until(lambda: not find_view("eas-m-old").manifests, "the old one's objects are gone")
    assert running_pod("eas-m-one")


def test_of_two_watchers_one_writes_and_the_other_takes_over_at_once(
    kube: KubeCluster, namespace: str, watcher: WatcherProcess, tmp_path: Path
) -> None:
    first = watcher.state()
    assert first is not None
    second = WatcherProcess(kube.kubeconfig, namespace, tmp_path / "second.log")
    second.start()
    try:
        wait_until(lambda: "waits for its turn" in second.log.read_text(), "the second one waits")
        assert watcher.kill(signal.SIGTERM) == 0, "told to end, it ends in order"
        state = second.wait_fresh()
        assert state.watcher != first.watcher
    finally:
        second.kill()


def test_a_watcher_that_lost_its_lease_ends_without_writing(
    kube: KubeCluster, namespace: str, watcher: WatcherProcess
) -> None:
    far = timezone.now() + timedelta(hours=1)
    ClusterState.objects.filter(key=watcher.key).update(watcher="elsewhere:1:0", watcher_until=far)
    create(kube, namespace, deployment("eas-m-one", LIVES))

    assert watcher.process is not None
    assert watcher.process.wait(20) == 1
    assert not pods("eas-m-one")
    state = watcher.state()
    assert state is not None
    assert state.watcher == "elsewhere:1:0"
