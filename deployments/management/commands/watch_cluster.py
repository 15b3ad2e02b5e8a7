"""``manage.py watch_cluster``: follow what the Kubernetes cluster holds, and keep the logs of instances.

One at a time does so (a lease); a second one waits and takes over. It runs in the foreground until SIGTERM or SIGINT.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from deployments.clusters.kubernetes.connection import get_connection
from deployments.clusters.kubernetes.watching.watcher import Watcher
from deployments.leases import process_name


class Command(BaseCommand):
    """Ends with 0 once told to, with 1 where somebody else took the lease."""

    requires_system_checks: tuple[str, ...] = ()
    help = "Follow the Kubernetes cluster (SLIPWAY_CLUSTER=kubernetes) until told to stop."

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.SLIPWAY_CLUSTER != "kubernetes":
            raise CommandError("SLIPWAY_CLUSTER is not kubernetes: there is no cluster to watch.")
        stop = threading.Event()

        def end(number: int, frame: FrameType | None) -> None:
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        watcher = Watcher(get_connection(settings.SLIPWAY_KUBERNETES), process_name(os.getpid()), stop)
        if not watcher.run():
            raise CommandError("Another watcher has taken the lease; this one ends.")
