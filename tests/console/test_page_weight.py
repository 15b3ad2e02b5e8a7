"""Every page keeps to console.md §8: what it loads, compressed, and how many questions it asks the database."""

from __future__ import annotations

import subprocess
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import DjangoAssertNumQueries

from console.environment import REPOSITORY
from deployments.models import Service, ServiceEvent
from inference_gateway.models import Conversation
from tests.console.conftest import ServiceMaker
from tests.page_weight import DIST, gzip_bytes, lazy_modules, page_files, page_weight
from tests.programs import require_program

pytestmark = pytest.mark.django_db
KB = 1000
EVERY_PAGE_KB = 32
CHAT_KB = 55
EDITOR_KB = 140
HIGHLIGHT_KB = 31
STYLES_KB = 25
ICONS_KB = 12

LIST_QUERIES, DETAIL_QUERIES, CHAT_QUERIES, OTHER_QUERIES = 8, 10, 6, 12
PAGES = [
    ("/", LIST_QUERIES),
    ("/?q=svc&sort=-status&column=workspace&column=author&rows=100", LIST_QUERIES),
    ("/services/svc_0", DETAIL_QUERIES),
    ("/services/svc_0/monitoring", DETAIL_QUERIES),
    ("/services/svc_0/events", DETAIL_QUERIES),
    ("/services/svc_0/versions", DETAIL_QUERIES),
    ("/services/svc_0/logs", DETAIL_QUERIES),
    ("/services/svc_0/debug", DETAIL_QUERIES),
    ("/services/svc_0/invocation", DETAIL_QUERIES),
    ("/services/svc_0/chat", CHAT_QUERIES),
    ("/services/svc_0/edit", OTHER_QUERIES),
    ("/deploy/llm", OTHER_QUERIES),
    ("/deploy/custom", OTHER_QUERIES),
    ("/palette?q=svc", OTHER_QUERIES),
    ("/clusters", OTHER_QUERIES),
    ("/clusters/local", OTHER_QUERIES),
    ("/keys", OTHER_QUERIES),
    ("/settings/audit", OTHER_QUERIES),
]


@pytest.fixture(scope="module")
def built() -> None:
    """The assets of this working tree."""
    node = require_program("node")
    subprocess.run([node, "static/build.mjs"], cwd=REPOSITORY, check=True, capture_output=True)


@pytest.fixture
def full(make_service: ServiceMaker) -> list[Service]:
    """Services with a past: events, versions' rows and conversations."""
    services = [make_service(f"svc_{number}") for number in range(60)]
    user = User.objects.create_user("someone")
    ServiceEvent.objects.bulk_create(
        ServiceEvent(service=services[0], code="RUNNING", message="It runs.") for _ in range(60)
    )
    Conversation.objects.bulk_create(
        Conversation(
            id=uuid4(),
            service=services[0],
            service_name="svc_0",
            workspace=services[0].workspace,
            owner=user,
            title=f"Question {number}",
            source="web",
        )
        for number in range(60)
    )
    return services


@pytest.mark.parametrize(("address", "most"), PAGES)
def test_a_page_asks_the_database_no_more_than_it_may(
    owner: Client, full: list[Service], address: str, most: int, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    Conversation.objects.update(owner=User.objects.get(username="olga"))
    with django_assert_max_num_queries(most):
        answer: Any = owner.get(address)
    assert answer.status_code == 200


def test_every_page_loads_no_more_than_it_may(owner: Client, built: None, make_service: ServiceMaker) -> None:
    make_service("svc_0")
    weights = {
        address: page_weight(owner.get(address).content.decode()) for address, _ in PAGES if "palette" not in address
    }
    most = dict.fromkeys(weights, EVERY_PAGE_KB)
    most["/services/svc_0/chat"] += CHAT_KB
    too_heavy = {
        address: weight
        for address, weight in weights.items()
        if weight.scripts > most[address] * KB or weight.styles > STYLES_KB * KB
    }
    assert not too_heavy
    assert min(weight.scripts for weight in weights.values()) > 10 * KB, "no script was found"


def test_what_is_loaded_later_and_the_icons_keep_to_their_budgets(
    owner: Client, built: None, make_service: ServiceMaker
) -> None:
    make_service("svc_0")
    chat = owner.get("/services/svc_0/chat").content.decode()
    later = {module for file in page_files(chat, "js") for module in lazy_modules(file)}
    assert later
    assert sum(map(gzip_bytes, later)) <= HIGHLIGHT_KB * KB
    assert gzip_bytes(DIST / "icons.svg") <= ICONS_KB * KB
    for address in ("/deploy/custom", "/services/svc_0/edit"):
        page = owner.get(address).content.decode()
        editor = {module for file in page_files(page, "js") for module in lazy_modules(file)}
        assert sum(map(gzip_bytes, editor)) <= EDITOR_KB * KB
