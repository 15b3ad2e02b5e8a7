"""Fixtures for every test: a real Valkey for the whole run, and folders to work in."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.core.management.base import CommandError
from django.test import TransactionTestCase

from console.supervisor.parts import render_death_pact
from console.supervisor.valkey import render_valkey_command
from tests.kube import KubeCluster, fresh_namespace, objects_only_cluster, real_cluster
from tests.shared_backends import answers
from tests.waiting import wait_until

pytest_plugins = ["tests.sharing_out"]

# A run in a shell's background inherits an ignored SIGINT, and so would every program that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def valkey() -> Iterator[redis.Redis]:
    """A client of this run's own Valkey, started from the wheel on the socket that the settings name.

    Or, where a Redis is given, of a database in that.
    """
    if not settings.SLIPWAY.has_embedded_valkey:
        with redis.Redis.from_url(settings.SLIPWAY_REDIS_URL) as client:
            yield client
        return
    socket = settings.SLIPWAY.valkey_socket
    log = (settings.SLIPWAY_DATA_DIR / "valkey.log").open("ab")
    process = subprocess.Popen(
        render_valkey_command(socket),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        # A killed test run leaves no Valkey behind.
        preexec_fn=render_death_pact(os.getpid()),  # noqa: PLW1509 - no threads have been started yet
    )
    try:
        with redis.Redis.from_url(settings.SLIPWAY_REDIS_URL) as client:
            wait_until(lambda: answers(client), "Valkey answers", 10)
            yield client
    finally:
        process.kill()
        process.wait()
        log.close()


@pytest.fixture(autouse=True)
def _empty_valkey(valkey: redis.Redis) -> None:
    """Every test begins with an empty cache, broker and channel layer."""
    valkey.flushdb()


@pytest.fixture(scope="session", autouse=True)
def _empty_tables_patiently() -> Iterator[None]:
    """A test's server may write while the tables are emptied behind the test. PostgreSQL then ends one of the two."""
    empty = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]  # Django's own, in no stub

    def empty_again(case: TransactionTestCase) -> None:
        for tries_left in reversed(range(5)):
            try:
                empty(case)
            except CommandError:
                if not tries_left:
                    raise
                time.sleep(0.2)
            else:
                return

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty_again)
        yield


@pytest.fixture
def long_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries are counted by the day: no minute turns between two of a test's."""
    monkeypatch.setattr("deployments.throttle.WINDOW_SECONDS", 86_400)


@pytest.fixture
def local_data_dir(tmp_path: Path) -> Path:
    """A data folder for a local cluster of this test alone."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture(scope="session")
def kube() -> Iterator[KubeCluster]:
    """A Kubernetes whose one node runs pods, shared by the whole run: take a namespace of your own."""
    with real_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def objects_only() -> Iterator[KubeCluster]:
    """A control plane without nodes of this run's own; whoever stops a part of it starts it again."""
    with objects_only_cluster() as cluster:
        yield cluster


@pytest.fixture
def namespace(kube: KubeCluster) -> Iterator[str]:
    """A fresh namespace of the shared cluster, removed with all that is in it."""
    with fresh_namespace(kube) as name:
        yield name
