"""What tests of services share: a tiny real program to run, and the loop that a worker would be."""

from __future__ import annotations

import time
from typing import Any

from deployments.models import Desired, Service, Status
from deployments.reconcile import reconcile

#: Starts in a tenth of a second, listens on its port, ends on SIGTERM.
TINY_SERVER = "python3 -m http.server --bind 127.0.0.1 $PORT"
#: Listens, and takes two seconds to end.
SLOW_TO_END = "trap 'sleep 2; exit 0' TERM; python3 -m http.server --bind 127.0.0.1 $PORT & wait $!; wait"


def tiny_document(name: str, script: str = TINY_SERVER, **metadata: Any) -> dict[str, Any]:
    """A service document whose container is a small real process."""
    return {
        "metadata": {"name": name, "instance": 1, "eas.termination_grace_period": 5, **metadata},
        "containers": [{"image": "tools:1", "script": script, "port": 8000}],
    }


def drive(service: Service, status: Status | None, *, seconds: float = 30.0) -> Service | None:
    """Reconcile as a worker would until the service has this status; None: until its row is gone."""
    deadline = time.monotonic() + seconds
    row: Service | None = service
    while time.monotonic() < deadline:
        step = reconcile(service.pk)
        row = Service.objects.filter(pk=service.pk).first()
        if row is None or (status is not None and row.status == status and not step.again_in_seconds):
            break
        time.sleep(min(step.again_in_seconds or 0.05, 0.2))
    if row is None:
        assert status is None, f"{service.name} is gone, wanted {status}"
        return None
    last = f"{row.name} is {row.status} ({row.reason}: {row.message}), instances {list(row.instances.values())}"
    assert status is not None, f"still there: {last}"
    assert row.status == status, last
    return row


def driven(service: Service, status: Status, *, seconds: float = 30.0) -> Service:
    """``drive`` to a status, with the row that is then there."""
    row = drive(service, status, seconds=seconds)
    assert row is not None
    return row


def remove_everything() -> None:
    """End what the services of a test run, and remove them."""
    for service in Service.objects.all():
        Service.objects.filter(pk=service.pk).update(desired=Desired.DELETED, generation=service.generation + 1)
        drive(Service.objects.get(pk=service.pk), None)
