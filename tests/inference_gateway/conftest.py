"""One runtime for all tests of the gateway, and one server for those of a file: both are real and cost seconds.

A server writes by itself what it has counted, into the database of all tests: those of other files are rid of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.inference_gateway.raw_engine import RawEngine
from tests.inference_gateway.resuming_rig import Slow
from tests.inference_gateway.rig import MODEL, Deployed, EndlessEngine, Server, deploy, running_runtime, serving_file


@pytest.fixture(scope="session")
def runtime_port() -> Iterator[int]:
    """Where the bundled model is served."""
    with running_runtime(f"--model-path={MODEL}", "--temperature=0", "--max-new-tokens=48") as port:
        yield port


@pytest.fixture(scope="module")
def shared_server(django_db_setup: None, django_db_blocker: Any, valkey: redis.Redis) -> Iterator[Server]:
    with serving_file(Server(), django_db_blocker) as server:
        yield server


@pytest.fixture
def server(shared_server: Server, transactional_db: None) -> Server:
    """The shared server, with a database that both see and that is emptied after the test."""
    return shared_server


@pytest.fixture
def endless() -> Iterator[EndlessEngine]:
    with EndlessEngine() as engine:
        yield engine


@pytest.fixture
def words(server: Server, endless: EndlessEngine) -> Deployed:
    """A service whose answers are one word."""
    endless.ends_after = 1
    return deploy(server, endless.port)


@pytest.fixture
def slow() -> Iterator[tuple[Slow, RawEngine]]:
    script = Slow()
    with RawEngine(script) as engine:
        yield script, engine
        script.go.set()
