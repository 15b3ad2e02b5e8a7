"""What the watcher writes: rows, who leaves routing, who is looked at; fenced by its lease."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from deployments.clusters.kubernetes.connection import Connection
from deployments.clusters.kubernetes.kinds import Manifest
from deployments.clusters.kubernetes.names import own_labels
from deployments.clusters.kubernetes.settings import KubernetesSettings
from deployments.clusters.kubernetes.store import remember
from deployments.clusters.kubernetes.watching.state import Lease
from deployments.clusters.kubernetes.watching.watched import EVENTS, NODES, OF_SERVICES, PODS
from deployments.clusters.kubernetes.watching.watcher import NEEDED, Watcher
from deployments.models import ClusterState, ClusterView, Instance, Service, Workspace
from tests.deployments.clusters.kubernetes.test_surroundings import node
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

DEPLOYMENTS = OF_SERVICES[0]


def thing(name: str, service: str, **more: Any) -> Manifest:
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": "1", "labels": own_labels("slipway", service)}
    return {"metadata": metadata | more.pop("metadata", {}), **more}


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    """Writing, and told that everything was listed: nothing is there yet. It asks no API server."""
    stop = threading.Event()
    watcher = Watcher(Connection(KubernetesSettings()), "here:1:1", stop)
    assert watcher.lease.claim(timezone.now())
    for watched in NEEDED:
        watcher.knowledge.replace(watched, [], "1")

    def write() -> None:
        watcher.write()
        connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    yield watcher
    stop.set()
    thread.join()


def make_service(uid: str) -> Service:
    workspace = Workspace.objects.get_or_create(slug="default", defaults={"name": "Default"})[0]
    far = timezone.now() + timedelta(days=1)
    return Service.objects.create(uid=uid, name=uid, workspace=workspace, token_encrypted="", next_check_at=far)


def row_of(uid: str) -> ClusterView | None:
    return ClusterView.objects.filter(service_uid=uid).first()


def test_a_change_makes_its_service_due_and_no_other(watcher: Watcher) -> None:
    first, second = make_service("u1"), make_service("u2")
    watcher.knowledge.put(DEPLOYMENTS, thing("a", "u1"))
    wait_until(lambda: row_of("u1"), "its row is written")
    due = Service.objects.filter(next_check_at__lte=timezone.now())
    assert list(due) == [first]
    assert row_of(second.uid) is None


def test_a_worker_may_note_its_first_write_of_a_service_at_the_watcher_s_same_moment(
    watcher: Watcher, caplog: pytest.LogCaptureFixture
) -> None:
    uids = [f"u{number}" for number in range(60)]
    written = {"apiVersion": "v1", "kind": "Service"}

    def note(uid: str) -> None:
        remember(uid, [written | thing(f"written-{uid}", uid, metadata={"resourceVersion": "9"})])
        connection.close()

    with ThreadPoolExecutor(4) as workers:
        for uid in uids:
            watcher.knowledge.put(DEPLOYMENTS, thing(f"seen-{uid}", uid))
            workers.submit(note, uid)

    def has_both(uid: str) -> bool:
        row = row_of(uid)
        return row is not None and set(row.manifests) == {f"Deployment/seen-{uid}", f"Service/written-{uid}"}

    wait_until(lambda: all(map(has_both, uids)), "every row has both")
    assert "could not be written" not in caplog.text


def test_only_instances_that_take_requests_leave_routing_and_only_those_named(watcher: Watcher) -> None:
    service, now = make_service("u1"), timezone.now()
    for name in ("p1", "p2"):
        Instance.objects.create(service=service, name=name, revision_number=1, phase="Running", ready_at=now)
    ending = thing("p1", "u1", metadata={"deletionTimestamp": "2026-01-01T12:00:00Z"})
    watcher.knowledge.put(PODS, ending | {"spec": {"containers": [{"name": "main"}]}})
    wait_until(lambda: Instance.objects.get(name="p1").phase == "Stopping", "it leaves")
    assert Instance.objects.get(name="p1").ready_at is None
    assert Instance.objects.get(name="p2").ready_at == now


def test_services_that_wait_for_a_node_are_looked_at_when_nodes_take_pods_otherwise(watcher: Watcher) -> None:
    waiting, running = make_service("u1"), make_service("u2")
    Instance.objects.create(service=waiting, name="p1", revision_number=1, phase="Pending")
    Instance.objects.create(service=running, name="p2", revision_number=1, phase="Running", node="n1")

    def due_after(*nodes: Manifest) -> list[Service]:
        Service.objects.update(next_check_at=timezone.now() + timedelta(days=1))
        watcher.surroundings.replace(NODES, nodes, "1")
        watcher.write_state("v1.34.4", None)
        return list(Service.objects.filter(next_check_at__lte=timezone.now()))

    assert due_after(node()) == [waiting]
    heartbeat = {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T12:05:00Z"}
    assert due_after(node(ready=heartbeat)) == []
    assert due_after(node(ready={"type": "Ready", "status": "Unknown"})) == [waiting]
    assert due_after(node(spec={"unschedulable": True})) == [waiting]
    assert due_after(node(labels={"nvidia.com/gpu.product": "NVIDIA-A10"})) == [waiting]
    assert due_after(node(), node("n2")) == [waiting]
    assert due_after(node("n2")) == [waiting]
    assert due_after(node("n2")) == []


def test_what_cannot_be_written_of_one_service_keeps_no_other_s_from_it(watcher: Watcher) -> None:
    watcher.knowledge.put(DEPLOYMENTS, thing("bad", "u1"))
    broken = {"metadata": {"name": "e", "uid": "e"}, "involvedObject": {"name": "bad"}, "lastTimestamp": "never"}
    watcher.knowledge.put(EVENTS, broken)
    watcher.knowledge.put(DEPLOYMENTS, thing("good", "u2"))
    wait_until(lambda: row_of("u2"), "the other one's row is written")
    watcher.knowledge.put(DEPLOYMENTS, thing("bad", "u1", spec={"replicas": 2}))
    row = wait_until(lambda: row_of("u1"), "and this one's, without what was wrong")
    assert row.manifests["Deployment/bad"]["spec"] == {"replicas": 2}


def test_nothing_is_written_once_the_lease_is_another_s(watcher: Watcher) -> None:
    far = timezone.now() + timedelta(hours=1)
    ClusterState.objects.update(watcher="there:1:1", watcher_until=far)
    watcher.knowledge.put(DEPLOYMENTS, thing("a", "u1"))
    wait_until(watcher.stop.is_set, "it ends")
    assert watcher.is_lost
    assert row_of("u1") is None


def test_a_lease_is_one_watcher_s_until_it_runs_out_or_is_given_back() -> None:
    now = timezone.now()
    first, second = Lease("k", "there:1:1"), Lease("k", "elsewhere:1:1")
    assert first.claim(now)
    assert not second.claim(now)
    assert first.renew(now + timedelta(seconds=10))
    assert not second.claim(now + timedelta(seconds=20))
    assert second.claim(now + timedelta(seconds=26))
    assert not first.renew(now + timedelta(seconds=27)), "it is too late"
    with transaction.atomic():
        assert not first.is_held(now + timedelta(seconds=27))
    second.release(now + timedelta(seconds=28))
    assert first.claim(now + timedelta(seconds=29))


def test_who_takes_the_lease_has_listed_nothing_yet() -> None:
    now = timezone.now()
    ClusterState.objects.create(key="k", listed_at=now, watcher="there:1:1", watcher_until=now - timedelta(seconds=1))
    assert Lease("k", "elsewhere:1:1").claim(now)
    assert ClusterState.objects.get(key="k").listed_at is None
