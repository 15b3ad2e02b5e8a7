"""A server on the tests' own database, engines that the tests hold in hand, and people's browsers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from playwright.sync_api import Browser, BrowserContext

from tests.browser.chat.rig import TellingEngine, Visit
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server
from tests.inference_gateway.webchat_client import make_person, session_of
from tests.static_files import build_static_files


@pytest.fixture(scope="package")
def shared_server(
    chromium: Browser,
    valkey: redis.Redis,
    django_db_setup: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A server on the tests' own database, with services whose engines the tests hold in hand."""
    build_static_files(tmp_path_factory.mktemp("static"))
    own = Server()
    with django_db_blocker.unblock():
        own.start()
    yield own
    own.kill()


@pytest.fixture
def server(shared_server: Server, transactional_db: None) -> Server:
    return shared_server


@pytest.fixture
def endless() -> Iterator[EndlessEngine]:
    with EndlessEngine() as engine:
        yield engine


@pytest.fixture
def telling() -> Iterator[TellingEngine]:
    engine = TellingEngine()
    with engine:
        yield engine


@pytest.fixture
def visits(chromium: Browser, server: Server) -> Iterator[Any]:
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def visit(service: Deployed, **options: Any) -> Visit:
        person = User.objects.filter(username="vera").first() or make_person("vera", service.row.workspace)
        contexts.append(chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, **options}))
        visits.append(Visit(contexts[-1], server, service, session_of(person)))
        return visits[-1]

    yield visit
    for context in contexts:
        context.close()
    assert [error for one in visits for error in one.errors] == []
