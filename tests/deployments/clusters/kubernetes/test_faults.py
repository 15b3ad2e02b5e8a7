"""An API server that is slow, throttling, restarted or wrong for a while: what is wanted wins, nothing else goes."""

from __future__ import annotations

import random
import threading

import pytest

from deployments.clusters.kubernetes.connection import Connection
from deployments.models import Service
from tests.deployments.clusters.kubernetes.crash_cases import Owner
from tests.deployments.clusters.kubernetes.final_objects import everything_in, final_objects, uids_of
from tests.deployments.clusters.kubernetes.worker_process import Worker
from tests.kube import KubeCluster
from tests.kube_faults import Fault, FaultProxy
from tests.waiting import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]

FAULTS = (
    Fault(409),
    Fault(410),
    Fault(429, {"Retry-After": "1"}),
    Fault(500),
    Fault(503, {"Retry-After": "0"}),
    Fault(500, after=True),
    Fault(504, after=True),
    Fault(409, after=True),
    Fault(cut_at=40),
    Fault(cut_at=400),
    Fault(200, body=b"<html>a login page</html>"),
    Fault(stall_seconds=1.0),
)
UID, BYSTANDER = "eas-m-abcdefghijkl", "eas-m-mnopqrstuvwx"


def misbehave(proxy: FaultProxy, seed: int, share: float) -> None:
    """From now on so many of the answers are wrong, but never more than four in a row."""
    dice, row, lock = random.Random(seed), [0], threading.Lock()

    def choose(method: str, path: str) -> Fault | None:
        with lock:
            if row[0] >= 4 or dice.random() > share:
                row[0] = 0
                return None
            row[0] += 1
            return dice.choice(FAULTS)

    proxy.choose = choose


def behave(proxy: FaultProxy) -> None:
    proxy.choose = lambda method, path: None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_wrong_answers_change_neither_what_comes_of_it_nor_what_others_have(
    place: Connection, proxy: FaultProxy, worker: Worker, seed: int
) -> None:
    owner = Owner()
    bystander = owner.create("bystander", BYSTANDER)
    assert worker.run(BYSTANDER) == 0, worker.said()
    living = uids_of(place, "bystander")

    service = owner.create("service", UID)
    misbehave(proxy, seed, 0.35)
    assert worker.run(UID) == 0, worker.said()
    there = uids_of(place, "service")
    owner.update(UID)
    assert worker.run(UID) == 0, worker.said()
    behave(proxy)
    updated = final_objects(place)

    lasting = {key for key in there if not key.startswith("Pod/")}
    after = uids_of(place, "service")
    assert {key: after[key] for key in lasting if key in after} == {key: there[key] for key in lasting if key in after}
    assert f"Deployment/service-{UID[6:]}" in after
    assert not any(key.startswith("HorizontalPodAutoscaler/service") for key in updated)
    assert uids_of(place, "bystander") == living

    misbehave(proxy, seed + 100, 0.35)
    owner.delete(UID)
    assert worker.run(UID) == 0, worker.said()
    behave(proxy)
    assert not Service.objects.filter(pk=service.pk).exists()
    wait_until(lambda: not [one for one in everything_in(place) if "service-" in one], "nothing is left")
    assert uids_of(place, "bystander") == living
    assert worker.run(bystander.uid) == 0


def test_servers_may_be_killed_in_the_midst_of_a_rollout(
    objects_only: KubeCluster, place: Connection, proxy: FaultProxy, worker: Worker
) -> None:
    owner = Owner()
    owner.create("service", UID)
    assert worker.run(UID) == 0, worker.said()
    before = uids_of(place, "service")
    owner.update(UID)
    begun = threading.Event()

    def choose(method: str, path: str) -> Fault | None:
        if method == "PATCH" and "/deployments/" in path:
            begun.set()
        return None

    proxy.choose = choose
    ended: list[int] = []
    working_on = threading.Thread(target=lambda: ended.append(worker.run(UID)))
    working_on.start()
    assert begun.wait(60)
    objects_only.steer("restart", "kube-apiserver", "-KILL")
    objects_only.steer("restart", "etcd", "-KILL")
    working_on.join(180)

    assert ended == [0], worker.said()
    after = uids_of(place, "service")
    deployment = f"Deployment/service-{UID[6:]}"
    assert after[deployment] == before[deployment]
    assert final_objects(place)["pods"] == ["2"]
