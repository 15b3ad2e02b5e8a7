"""The list of conversations without scripts: search, pins, the bin."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from console.chat_list import MOST_PINNED
from deployments.models import Service
from inference_gateway.models import Conversation, Turn
from inference_gateway.tasks import tidy
from inference_gateway.webchat.search import search
from tests.console.test_chat_page import MOST_QUERIES, service, sign_in, talk  # noqa: F401  # the fixture too

pytestmark = pytest.mark.django_db
ACCEPT = {"Accept": "application/json"}


def say(conversation: Conversation, question: str, answer: str = "Yes.") -> Turn:
    last = conversation.turns.order_by("-number").first()
    number = last.number + 1 if last else 1
    return Turn.objects.create(
        conversation=conversation, number=number, parent=last, question=question, answer=answer, status="finished"
    )


def titles(person: str, service: Service, text: str) -> list[tuple[str, int | None]]:  # noqa: F811
    found = search(User.objects.get(username=person), service, text).found
    return [(one.conversation.title, one.turn) for one in found]


def test_titles_questions_and_answers_are_found_in_any_script_and_case(service: Service) -> None:  # noqa: F811
    sign_in("vera", service.workspace)
    old = talk(service, "vera", 2, title="Old")
    say(old, "ÜBER den Wolken", "Der LEUCHTTURM steht.")
    Conversation.objects.filter(pk=old.pk).update(updated_at=timezone.now() - timedelta(days=2))
    other = talk(service, "vera", 1, title="灯台の話")
    say(other, "سلام دنیا", "100% of 50_000")
    for text, found in {
        "über": [("Old", 3)],
        "leuchtTURM": [("Old", 3)],
        "wolken steht": [("Old", 3)],
        "wolken nowhere": [],
        "灯台": [("灯台の話", None)],
        "دنیا": [("灯台の話", 2)],
        "answer": [("灯台の話", 1), ("Old", 1)],
        "0%": [("灯台の話", 2)],
        "0_0": [("灯台の話", 2)],
        "": [],
    }.items():
        assert titles("vera", service, text) == found, text


def test_a_search_shows_the_place_and_leads_to_the_turn(service: Service) -> None:  # noqa: F811
    client = sign_in("vera", service.workspace)
    conversation = talk(service, "vera", 40, title="Long")
    Turn.objects.filter(number=7).update(answer="It is <b>a narwhal</b> of course.")
    page = client.get("/services/talker/chat", {"q": "narwhal"}).content.decode()
    assert f"/services/talker/chat/{conversation.pk}?turn=7#turn-7" in page
    assert "It is &lt;b&gt;a <mark>narwhal</mark>&lt;/b&gt;" in page
    opened = client.get(f"/services/talker/chat/{conversation.pk}", {"turn": 7}).content.decode()
    assert 'id="turn-7"' in opened
    told = client.get("/services/talker/chat/list", {"q": "narwhal"}, headers=ACCEPT).json()
    assert [(row["id"], row["turn"]) for row in told["conversations"]] == [(str(conversation.pk), 7)]
    assert "Nothing found" in client.get("/services/talker/chat", {"q": "walrus"}).content.decode()


def test_nobody_finds_anothers_or_deleted_conversations(service: Service) -> None:  # noqa: F811
    sign_in("vera", service.workspace)
    sign_in("otto", service.workspace)
    say(talk(service, "vera", title="Hers"), "secret narwhal")
    assert titles("vera", service, "narwhal") == [("Hers", 2)]
    assert titles("otto", service, "narwhal") == []
    Conversation.objects.update(deleted_at=timezone.now())
    assert titles("vera", service, "narwhal") == []


def test_a_search_ends_in_time_and_goes_on_where_it_was(service: Service) -> None:  # noqa: F811
    sign_in("vera", service.workspace)
    person = User.objects.get(username="vera")
    for number in range(60):
        row = talk(service, "vera", title=f"Number {number}")
        Conversation.objects.filter(pk=row.pk).update(updated_at=timezone.now() - timedelta(hours=number))
    ticks = iter(range(10_000))
    first = search(person, service, "59", clock=lambda: float(next(ticks)))
    assert (first.found, first.before is None) == ([], False)
    assert first.before is not None
    before = datetime.fromisoformat(first.before)
    assert [one.conversation.title for one in search(person, service, "59", before).found] == ["Number 59"]
    assert len(search(person, service, "number").found) == 50


def test_pinned_ones_stand_first_and_are_not_repeated(service: Service) -> None:  # noqa: F811
    client = sign_in("vera", service.workspace)
    for number in range(60):
        row = talk(service, "vera", title=f"Number {number}")
        Conversation.objects.filter(pk=row.pk).update(updated_at=timezone.now() - timedelta(hours=number))
    last = Conversation.objects.get(title="Number 59")
    base = f"/services/talker/chat/{last.pk}"
    assert client.post(f"{base}/pin").json()["pinned_at"] is not None
    assert client.post(f"{base}/pin").status_code == 200
    first = client.get("/services/talker/chat/list", headers=ACCEPT).json()
    rest = client.get("/services/talker/chat/list", {"before": first["before"]}, headers=ACCEPT).json()
    names = [row["title"] for row in (*first["conversations"], *rest["conversations"])]
    assert names == ["Number 59", *(f"Number {number}" for number in range(59))]
    assert "Pinned" in client.get(base).content.decode()
    assert client.post(f"{base}/unpin").json()["pinned_at"] is None
    assert "Pinned" not in client.get(base).content.decode()


def test_so_many_are_pinned_and_no_more(service: Service) -> None:  # noqa: F811
    client = sign_in("vera", service.workspace)
    rows = [talk(service, "vera") for _ in range(MOST_PINNED + 1)]
    answers = [client.post(f"/services/talker/chat/{row.pk}/pin") for row in rows]
    assert [answer.status_code for answer in answers] == [200] * MOST_PINNED + [409]
    assert answers[-1].json()["code"] == "too_many_pinned"


def test_an_old_conversation_is_opened_at_the_same_cost(
    service: Service,  # noqa: F811
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    client = sign_in("vera", service.workspace)
    oldest = talk(service, "vera", 60, title="Oldest")
    Conversation.objects.update(updated_at=timezone.now() - timedelta(days=300))
    for _ in range(80):
        talk(service, "vera")
    with django_assert_max_num_queries(MOST_QUERIES):
        page = client.get(f"/services/talker/chat/{oldest.pk}").content.decode()
    assert "Question 60." in page
    assert "Question 35." not in page


def test_the_bin_lists_what_was_deleted_and_gives_it_back(service: Service) -> None:  # noqa: F811
    client = sign_in("vera", service.workspace, checks_csrf=False)
    row = talk(service, "vera", title="Regretted")
    assert "The bin is empty." in client.get("/services/talker/chat/bin").content.decode()
    client.post(f"/services/talker/chat/{row.pk}/delete")
    assert "Regretted" in client.get("/services/talker/chat/bin").content.decode()
    assert "Regretted" not in sign_in("otto", service.workspace).get("/services/talker/chat/bin").content.decode()
    form = "application/x-www-form-urlencoded"
    answer = client.post(f"/services/talker/chat/{row.pk}/undelete", content_type=form)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"/services/talker/chat/{row.pk}")
    assert client.get(answer.headers["Location"]).status_code == 200


def test_the_bin_is_emptied_after_thirty_days(service: Service) -> None:  # noqa: F811
    sign_in("vera", service.workspace)
    rows = [talk(service, "vera", 3) for _ in range(25)]
    kept, living = talk(service, "vera"), talk(service, "vera")
    now = timezone.now()
    Conversation.objects.filter(pk__in=[row.pk for row in rows]).update(deleted_at=now - timedelta(days=30, minutes=1))
    Conversation.objects.filter(pk=kept.pk).update(deleted_at=now - timedelta(days=29))
    tidy()
    assert set(Conversation.objects.all()) == {kept, living}
    assert Turn.objects.count() == 2
