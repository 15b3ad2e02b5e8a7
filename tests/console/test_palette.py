"""The palette: services, pages and permitted actions, found by parts of their words."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from pytest_django.fixtures import DjangoAssertNumQueries

from deployments.models import Desired, Service, Status
from tests.console.conftest import ServiceMaker

MOST_QUERIES = 5


def labels(client: Client, query: str) -> list[str]:
    answer = client.get("/palette", {"q": query})
    assert answer.status_code == 200
    return re.findall(r'role="option".*?<span dir="auto">(.*?)</span>', answer.content.decode())


def test_a_part_of_the_name_finds_a_service_and_what_can_be_done_with_it(
    operator: Client, make_service: ServiceMaker
) -> None:
    make_service("chat_a")
    make_service("summaries")
    found = labels(operator, "mari")
    assert found[0] == "summaries"
    assert {"View Web App summaries", "Logs summaries", "Stop summaries", "Delete summaries"} <= set(found)
    assert not [label for label in found if "chat_a" in label]


def test_an_action_and_a_part_of_the_name_find_that_action(operator: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    make_service("chat_b")
    assert labels(operator, "stop _b") == ["Stop chat_b"]
    assert set(labels(operator, "restart")) == {"Restart chat_a", "Restart chat_b"}


def test_the_beginning_of_a_name_goes_before_its_middle(operator: Client, make_service: ServiceMaker) -> None:
    for name in ("old_chat", "chat_b", "chat"):
        make_service(name)
    assert labels(operator, "chat")[:3] == ["chat", "chat_b", "old_chat"]


def test_nothing_typed_offers_services_and_pages(operator: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    assert labels(operator, "")[:4] == ["chat_a", "Services", "LLM Deployment", "Custom Deployment"]


def test_a_page_is_found_by_its_words_in_any_order(operator: Client) -> None:
    assert labels(operator, "DEPLOYMENT llm") == ["LLM Deployment"]


def test_a_viewer_is_offered_what_a_viewer_may(owner: Client, viewer: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    found = labels(viewer, "chat_a")
    assert {"chat_a", "View Web App chat_a", "Events chat_a"} <= set(found)
    assert not {"Logs chat_a", "Stop chat_a", "Update Service chat_a", "Delete chat_a"} & set(found)
    assert labels(viewer, "deployment") == []


def test_a_stranger_finds_nothing_of_it(stranger: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    assert labels(stranger, "chat") == []


def test_a_stopped_service_is_started_at_once(operator: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a", Status.STOPPED)
    Service.objects.update(desired=Desired.STOPPED)
    page = operator.get("/palette", {"q": "start chat_a"}).content.decode()
    assert re.search(r'data-href="/services/chat_a/start" data-post', page)
    assert "/stop" not in page


@pytest.mark.parametrize("query", ["%", "_" * 3, "' OR 1=1", "\0", "<script>", "x" * 5000, "猫"])
def test_any_text_may_be_asked_for(operator: Client, make_service: ServiceMaker, query: str) -> None:
    make_service("chat_a")
    answer = operator.get("/palette", {"q": query})
    assert answer.status_code == 200
    assert b"<script>" not in answer.content


def test_without_a_session_there_is_no_palette() -> None:
    assert Client().get("/palette").status_code == 302


def test_the_number_of_queries_does_not_grow(
    operator: Client, make_service: ServiceMaker, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(30):
        make_service(f"chat_{number}")
    with django_assert_max_num_queries(MOST_QUERIES):
        assert len(labels(operator, "chat")) == 12
