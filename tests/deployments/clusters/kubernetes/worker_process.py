"""A worker's whole work for one service (``work_program``), in a process that can be killed at any moment."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings

from console.environment import REPOSITORY
from tests.deployments.clusters.kubernetes.watcher_process import database_url

PROGRAM = "tests.deployments.clusters.kubernetes.work_program"
PATIENCE_SECONDS = 120.0


@dataclass
class Worker:
    """Makes a process for each piece of work, from one that has loaded everything: that takes the longest."""

    process: subprocess.Popen[str]
    log: Path
    child: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, service_uid: str) -> int:
        """Work until it is done, or killed; returns the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{service_uid}\n")
        self.process.stdin.flush()
        with self.lock:
            self.child = self._read_number()
        code = self._read_number()
        with self.lock:
            self.child = 0
        return code

    def kill(self) -> None:
        """The process that works now; at once, and nothing where none does."""
        with self.lock:
            if self.child:
                os.kill(self.child, signal.SIGKILL)

    def said(self) -> str:
        return self.log.read_text()[-4000:]

    def _read_number(self) -> int:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_SECONDS)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            raise AssertionError(f"the worker does not come to an end:\n{self.said()}")
        return int(line)


@contextmanager
def working(kubeconfig: Path, namespace: str, folder: Path, **more: str) -> Iterator[Worker]:
    """A worker on the test's database, which waits for work."""
    log = folder / "worker.log"
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", PROGRAM],
            cwd=REPOSITORY,
            env=environment(kubeconfig, namespace, more),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    worker = Worker(process, log)
    try:
        yield worker
    finally:
        worker.kill()
        process.kill()
        process.wait()


def environment(kubeconfig: Path, namespace: str, more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
    return {
        **kept,
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "SLIPWAY_DATA_DIR": str(settings.SLIPWAY_DATA_DIR),
        "SLIPWAY_SECRET_KEY": settings.SECRET_KEY,
        "SLIPWAY_CLUSTER": "kubernetes",
        "SLIPWAY_NAMESPACE": namespace,
        "KUBECONFIG": str(kubeconfig),
        "DATABASE_URL": database_url(),
        "REDIS_URL": settings.SLIPWAY_REDIS_URL,
        **more,
    }
