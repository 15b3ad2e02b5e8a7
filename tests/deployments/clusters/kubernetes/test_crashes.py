"""A worker is killed after its k-th write, for every k: the next one comes to the same objects, and leaves nothing."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from deployments.clusters.kubernetes.connection import Connection
from deployments.models import Service
from tests.deployments.clusters.kubernetes.crash_cases import Owner
from tests.deployments.clusters.kubernetes.final_objects import everything_in, final_objects, shown
from tests.deployments.clusters.kubernetes.worker_process import Worker
from tests.kube import KubeCluster
from tests.kube_faults import Fault, FaultProxy
from tests.waiting import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.django_db(transaction=True), pytest.mark.timeout(1800)]

UID = "eas-m-abcdefghijkl"
KILLED = -signal.SIGKILL


def is_write(method: str) -> bool:
    return method in {"PATCH", "DELETE", "POST", "PUT"}


class KillAt:
    """Kills the worker once the API server has done so many of its writes, and before it hears so."""

    def __init__(self, worker: Worker, number: int) -> None:
        self.worker = worker
        self.left = number
        self.has_killed = False

    def __call__(self, method: str, path: str) -> Fault | None:
        if not is_write(method):
            return None
        self.left -= 1
        return Fault(then=self.kill) if self.left == 0 else None

    def kill(self) -> None:
        self.has_killed = True
        self.worker.kill()


class Lives:
    """One service's lives, each step of which may be interrupted once."""

    def __init__(self, place: Connection, proxy: FaultProxy, worker: Worker) -> None:
        self.place = place
        self.proxy = proxy
        self.worker = worker
        self.owner = Owner()

    def go_on(self, kill_after: int = 0) -> tuple[str, int]:
        """Work until all is as wanted; returns what is there then, and how many writes it took.

        After the ``kill_after``th write the worker is killed, and another goes on.
        """
        self.proxy.choose = killer = KillAt(self.worker, kill_after)
        before = len(self.proxy.seen)
        code = self.worker.run(UID)
        assert killer.has_killed == (code == KILLED) == bool(kill_after), self.worker.said()
        if code == KILLED:
            code = self.worker.run(UID)
        assert code == 0, self.worker.said()
        writes = sum(is_write(one.split(" ")[0]) for one in self.proxy.seen[before:])
        return shown(final_objects(self.place)), writes

    def begin(self, kill_after: int = 0) -> tuple[str, int]:
        self.owner.create("crashing", UID)
        return self.go_on(kill_after)

    def switch(self, number: int, kill_after: int = 0) -> tuple[str, int]:
        self.owner.switch(UID, number)
        return self.go_on(kill_after)

    def end(self, kill_after: int = 0) -> int:
        self.owner.delete(UID)
        _, writes = self.go_on(kill_after)
        assert not Service.objects.filter(uid=UID).exists()
        wait_until(lambda: not everything_in(self.place), "nothing is left")
        return writes


def test_every_write_may_be_the_last(
    objects_only: KubeCluster, place: Connection, proxy: FaultProxy, worker: Worker, settings: Any
) -> None:
    settings.SLIPWAY_CLUSTER, settings.SLIPWAY_KUBERNETES = "kubernetes", objects_only.settings(place.namespace)
    lives = Lives(place, proxy, worker)
    first, making = lives.begin()
    for kind in ("Secret", "PersistentVolume", "PersistentVolumeClaim", "PodDisruptionBudget"):
        assert f'"{kind}/' in first
    assert '"HorizontalPodAutoscaler/' in first
    lives.owner.update(UID)
    second, changing = lives.go_on()
    assert '"HorizontalPodAutoscaler/' not in second

    for number in range(1, changing + 1):
        assert lives.switch(1)[0] == first
        assert lives.switch(2, number)[0] == second, f"killed after write {number} of an update"
    removing = lives.end()
    for number in range(1, max(making, removing) + 1):
        there, _ = lives.begin(number if number <= making else 0)
        assert there == first, f"killed after write {number} of the first reconcile"
        lives.end(number if number <= removing else 0)
