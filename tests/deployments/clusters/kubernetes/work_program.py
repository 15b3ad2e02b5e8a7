"""Works for one service after another, whose uids come as lines: reconciles each until it is as it is wanted.

    python -m tests.deployments.clusters.kubernetes.work_program

For each line a process of its own is forked; its id and then its exit code are written as lines. What needs Django is
loaded once that is up.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Mapping

LOOK_AGAIN_SECONDS = 0.1
QUIET_LOOKS = 3


def serve() -> None:

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.dup2(2, 1)
            code = 1
            try:
                work(line.strip())
                code = 0
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(code)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def work(service_uid: str) -> None:
    """Look at the service again and again, as sweeps would, until it is settled and nothing is written any more."""
    from deployments.clusters import get_cluster
    from deployments.clusters.base import ClusterError, InstancePhase
    from deployments.clusters.kubernetes.backend import KubernetesCluster
    from deployments.models import Service
    from deployments.reconcile import reconcile

    cluster = get_cluster()
    assert isinstance(cluster, KubernetesCluster)
    quiet = 0
    while quiet < QUIET_LOOKS and (service := Service.objects.filter(uid=service_uid).first()) is not None:
        before = writes(cluster.connection.counts)
        reconcile(service.pk)
        is_quiet = is_settled(service_uid) and writes(cluster.connection.counts) == before
        try:
            is_quiet &= not any(one.phase is InstancePhase.STOPPING for one in cluster.observe(service_uid).instances)
        except ClusterError:
            is_quiet = False
        quiet = quiet + 1 if is_quiet else 0
        time.sleep(LOOK_AGAIN_SECONDS)


def writes(counts: Mapping[str, int]) -> int:
    return sum(count for verb, count in counts.items() if verb in {"apply", "patch", "delete"})


def is_settled(service_uid: str) -> bool:
    from deployments.models import Desired, Service, Status

    service = Service.objects.filter(uid=service_uid).first()
    if service is None:
        return True
    if service.desired == Desired.RUNNING:
        is_served = service.serving_revision_id == service.wanted_revision_id
        return service.status == Status.RUNNING and service.reason == "RUNNING" and is_served
    return service.desired == Desired.STOPPED and service.status == Status.STOPPED


if __name__ == "__main__":
    import django

    django.setup()
    serve()
