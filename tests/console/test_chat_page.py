"""The web chat's page and its list, without scripts: who sees what, and what it costs."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from deployments.models import Membership, Revision, Role, Service, Workspace
from inference_gateway.models import Conversation, Turn

pytestmark = pytest.mark.django_db
MOST_QUERIES = 6


@pytest.fixture
def service() -> Service:
    workspace = Workspace.objects.create(slug="team-a", name="Team A")
    row = Service.objects.create(name="talker", workspace=workspace, token_encrypted="-", status="Running")
    script = "python webui/webui_server.py --port=8000 --model-path=SmolLM2-135M-Instruct --temperature=0.5"
    document = {
        "metadata": {"name": "talker", "instance": 1},
        "containers": [{"image": "chat-llm-webui:3.0", "script": script, "port": 8000}],
        "labels": {"ServiceEngineType": "chat-llm"},
    }
    revision = Revision.objects.create(service=row, number=1, document=document)
    row.wanted_revision = row.serving_revision = revision
    row.save()
    return row


def sign_in(name: str, workspace: Workspace | None = None, *, checks_csrf: bool = False) -> Client:
    person = User.objects.create_user(name, password="a-long-pass-phrase")
    if workspace is not None:
        Membership.objects.create(user=person, workspace=workspace, role=Role.VIEWER)
    client = Client(enforce_csrf_checks=checks_csrf)
    client.force_login(person)
    return client


def talk(service: Service, name: str, rounds: int = 1, title: str = "A title") -> Conversation:
    conversation = Conversation.objects.create(
        service=service,
        service_name=service.name,
        workspace=service.workspace,
        owner=User.objects.get(username=name),
        title=title,
        source=Conversation.Source.WEB,
    )
    parent: Turn | None = None
    for number in range(1, rounds + 1):
        parent = Turn.objects.create(
            conversation=conversation,
            number=number,
            parent=parent,
            question=f"Question {number}.",
            answer=f"Answer <b>{number}</b>.",
            status=Turn.Status.FINISHED,
        )
    return conversation


def test_a_conversation_is_readable_without_scripts_and_escaped(service: Service) -> None:
    client = sign_in("vera", service.workspace)
    conversation = talk(service, "vera", 2)
    page = client.get(f"/services/talker/chat/{conversation.pk}")
    assert page.status_code == 200
    assert "Question 1." in page.content.decode()
    assert "Answer &lt;b&gt;2&lt;/b&gt;." in page.content.decode()


def test_a_teammate_and_a_stranger_get_404_for_it(service: Service) -> None:
    sign_in("vera", service.workspace)
    conversation = talk(service, "vera")
    for client in (sign_in("otto", service.workspace), sign_in("eve")):
        assert client.get(f"/services/talker/chat/{conversation.pk}").status_code == 404
        for act in ("rename", "delete", "undelete"):
            path = f"/services/talker/chat/{conversation.pk}/{act}"
            answer = client.post(path, {"title": "Mine"}, content_type="application/json")
            assert answer.status_code == 404
    conversation.refresh_from_db()
    assert (conversation.title, conversation.deleted_at) == ("A title", None)


def test_the_page_costs_the_same_whatever_it_shows(
    service: Service, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = sign_in("vera", service.workspace)
    for _ in range(20):
        conversation = talk(service, "vera", 12)
    with django_assert_max_num_queries(MOST_QUERIES):
        client.get(f"/services/talker/chat/{conversation.pk}")


def test_the_list_comes_in_pages_of_fifty(service: Service) -> None:
    client = sign_in("vera", service.workspace)
    for number in range(60):
        row = talk(service, "vera", title=f"Number {number}")
        Conversation.objects.filter(pk=row.pk).update(updated_at=timezone.now() - timedelta(hours=number))
    accept = {"Accept": "application/json"}
    first = client.get("/services/talker/chat/list", headers=accept).json()
    rest = client.get("/services/talker/chat/list", {"before": first["before"]}, headers=accept).json()
    titles = [row["title"] for row in (*first["conversations"], *rest["conversations"])]
    assert titles == [f"Number {number}" for number in range(60)]
    assert len(first["conversations"]) == 50
    assert rest["before"] is None


def test_the_service_defaults_stand_beside_the_parameters(service: Service) -> None:
    page = sign_in("vera", service.workspace).get("/services/talker/chat").content.decode()
    assert "Default 0.5." in page
    assert "You are a helpful assistant." in page


def test_a_branch_is_chosen_by_the_address(service: Service) -> None:
    client = sign_in("vera", service.workspace)
    conversation = talk(service, "vera")
    Turn.objects.create(
        conversation=conversation, number=2, question="Question 1.", answer="Newer.", status=Turn.Status.FINISHED
    )
    newest = client.get(f"/services/talker/chat/{conversation.pk}").content.decode()
    older = client.get(f"/services/talker/chat/{conversation.pk}?turn=1").content.decode()
    assert "Newer." in newest
    assert "Answer &lt;b&gt;1" not in newest
    assert "Answer &lt;b&gt;1" in older
    assert "?turn=2" in older


def test_a_title_that_cannot_be_is_refused(service: Service) -> None:
    client = sign_in("vera", service.workspace)
    path = f"/services/talker/chat/{talk(service, 'vera').pk}/rename"
    bodies: tuple[object, ...] = ({"title": ""}, {"title": "x" * 201}, {"title": 5}, [], {})
    for body in bodies:
        answer = client.post(path, body, content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_title")
    assert client.post(path, b"{", content_type="application/json").status_code == 422


def test_changes_need_the_csrf_token(service: Service) -> None:
    client = sign_in("vera", service.workspace, checks_csrf=True)
    conversation = talk(service, "vera")
    assert client.post(f"/services/talker/chat/{conversation.pk}/delete").status_code == 403


def test_the_bin_gives_back_for_thirty_days_and_deleting_twice_is_fine(service: Service) -> None:
    client = sign_in("vera", service.workspace)
    conversation = talk(service, "vera")
    base = f"/services/talker/chat/{conversation.pk}"
    assert client.post(f"{base}/delete").status_code == 200
    assert client.post(f"{base}/delete").status_code == 200
    assert client.get(base).status_code == 404
    assert client.post(f"{base}/undelete").status_code == 200
    assert client.get(base).status_code == 200
    Conversation.objects.filter(pk=conversation.pk).update(deleted_at=timezone.now() - timedelta(days=31))
    assert client.post(f"{base}/undelete").status_code == 404


def test_an_unknown_conversation_is_404(service: Service) -> None:
    client = sign_in("vera", service.workspace)
    assert client.get(f"/services/talker/chat/{uuid.uuid4()}").status_code == 404


def test_a_conversation_is_exported_with_its_branches(service: Service) -> None:
    client = sign_in("vera", service.workspace)
    conversation = talk(service, "vera", 2, title="Łódź: 1/2 “x”")
    first = conversation.turns.get(number=1)
    Turn.objects.create(
        conversation=conversation,
        number=3,
        parent=first,
        question="Question 2.",
        answer="Half of an",
        status=Turn.Status.STOPPED,
    )
    answer = client.get(f"/services/talker/chat/{conversation.pk}/export.json")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    told = answer.json()
    assert (told["format"], told["version"], told["title"]) == ("slipway-conversation", 1, "Łódź: 1/2 “x”")
    assert [(turn["number"], turn["parent"], turn["answer"]) for turn in told["turns"]] == [
        (1, None, "Answer <b>1</b>."),
        (2, 1, "Answer <b>2</b>."),
        (3, 1, "Half of an"),
    ]


def test_markdown_holds_the_branch_that_is_read_and_says_what_was_cut_off(service: Service) -> None:
    client = sign_in("vera", service.workspace)
    conversation = talk(service, "vera", 2)
    Turn.objects.create(
        conversation=conversation,
        number=3,
        parent=conversation.turns.get(number=1),
        question="Question 2.",
        answer="Half of an",
        status=Turn.Status.STOPPED,
    )
    address = f"/services/talker/chat/{conversation.pk}/export.md"
    newest = client.get(address).content.decode()
    assert newest.startswith("# A title\n\nService: talker\n\n## You\n\nQuestion 1.\n\n## Answer\n\nAnswer <b>1</b>.")
    assert newest.endswith("## Answer\n\nHalf of an\n\n*Stopped here.*\n")
    assert "Answer <b>2</b>." not in newest
    assert "Answer <b>2</b>." in client.get(f"{address}?turn=2").content.decode()


@pytest.mark.parametrize("kind", ["json", "md"])
def test_nobody_exports_anothers_conversation(service: Service, kind: str) -> None:
    client = sign_in("vera", service.workspace)
    conversation = talk(service, "vera")
    other = sign_in("otto", service.workspace)
    assert client.get(f"/services/talker/chat/{conversation.pk}/export.{kind}").status_code == 200
    assert other.get(f"/services/talker/chat/{conversation.pk}/export.{kind}").status_code == 404
