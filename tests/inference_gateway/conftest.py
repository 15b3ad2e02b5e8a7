"""One server and one runtime for all tests of the gateway: both are real processes and cost seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.inference_gateway.rig import MODEL, EndlessEngine, Server, running_runtime


@pytest.fixture(scope="session")
def runtime_port() -> Iterator[int]:
    """Where the bundled model is served."""
    with running_runtime(f"--model-path={MODEL}", "--temperature=0", "--max-new-tokens=48") as port:
        yield port


@pytest.fixture(scope="session")
def shared_server(django_db_setup: None, django_db_blocker: Any, valkey: redis.Redis) -> Iterator[Server]:
    server = Server()
    with django_db_blocker.unblock():
        server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def server(shared_server: Server, transactional_db: None) -> Server:
    """The shared server, with a database that both see and that is emptied after the test."""
    return shared_server


@pytest.fixture
def endless() -> Iterator[EndlessEngine]:
    with EndlessEngine() as engine:
        yield engine
