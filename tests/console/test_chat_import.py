"""A conversation's file brought back: what was exported is there again, and what is no such file changes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from deployments.models import Service
from inference_gateway.models import Conversation, Turn
from tests.console.test_chat_page import service, sign_in, talk

__all__ = ["service"]  # the fixture
pytestmark = pytest.mark.django_db
ADDRESS = "/services/talker/chat/import"


def file_of(content: Any) -> SimpleUploadedFile:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return SimpleUploadedFile("talk.json", raw, "application/json")


def export_of(*turns: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"format": "slipway-conversation", "version": 1, "title": "T", "turns": list(turns), **changes}


def test_an_export_comes_back_with_its_branches(service: Service) -> None:
    client = sign_in("vera", service.workspace)
    old = talk(service, "vera", 2, title="Harbours")
    Turn.objects.create(
        conversation=old,
        number=3,
        parent=old.turns.get(number=1),
        question="Question 2.",
        answer="Half",
        status="generating",
    )
    exported = client.get(f"/services/talker/chat/{old.pk}/export.json").json()
    answer = client.post(ADDRESS, {"file": file_of(exported)})
    new = Conversation.objects.exclude(pk=old.pk).get()
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"/services/talker/chat/{new.pk}"
    again = client.get(f"/services/talker/chat/{new.pk}/export.json").json()
    for one in (exported, again):
        one.pop("created_at"), one.pop("updated_at")
    assert again["turns"].pop()["status"] == "interrupted"
    exported["turns"].pop()
    assert again == exported
    assert client.get(answer.headers["Location"]).status_code == 200


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "The file is not JSON"),
        (b"[" * 100_000, "The file is not JSON"),
        ([], "The file holds no conversation"),
        ({}, "format is missing"),
        (export_of(), "turns must be a list of 1 to 10,000 turns"),
        (export_of({"number": 1, "question": "q"}, version=2), "version must be 1"),
        (export_of({"number": 0, "question": "q"}), "turns[0].number must be a whole number from 1"),
        (export_of({"number": 1}), "turns[0].question is missing"),
        (export_of({"number": 1, "question": 5}), "turns[0].question must be a text"),
        (export_of({"number": 1, "question": "q", "status": "x"}), "turns[0].status must be finished"),
        (export_of({"number": 1, "question": "q", "created_at": "soon"}), "turns[0].created_at must be a time"),
        (export_of({"number": 1, "question": "q"}, {"number": 1, "question": "q"}), "turns[1].number is 1"),
        (export_of({"number": 2, "parent": 3, "question": "q"}), "turns[0].parent is 3"),
        (export_of({"number": 2, "parent": 2, "question": "q"}), "turns[0].parent is 2"),
    ],
)
def test_what_is_no_conversation_is_told_by_its_field(service: Service, content: Any, words: str) -> None:
    client = sign_in("vera", service.workspace)
    answer = client.post(ADDRESS, {"file": file_of(content)})
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Conversation.objects.exists()


def test_no_file_is_told(service: Service) -> None:
    answer = sign_in("vera", service.workspace).post(ADDRESS, {})
    assert answer.status_code == 422
    assert "No file was chosen" in answer.content.decode()


def test_what_a_file_says_is_not_trusted(service: Service) -> None:
    client = sign_in("vera", service.workspace)
    turn = {"number": 1, "question": "q\0\ud800", "answer": "<script>x</script>", "parameters": {"top_k": {"a": 1}}}
    hostile = export_of(turn, parameters={"temperature": "<b>", "top_p": 1e400, "top_k": [1], "max_new_tokens": 5})
    answer = client.post(ADDRESS, {"file": file_of(hostile)})
    page = client.get(answer.headers["Location"])
    assert page.status_code == 200
    assert b"<script>x" not in page.content
    assert Conversation.objects.get().parameters == {"temperature": "<b>", "max_new_tokens": 5}


def test_a_stranger_imports_nothing(service: Service) -> None:
    stranger: Client = sign_in("sven")
    assert stranger.get(ADDRESS).status_code == 404
    assert stranger.post(ADDRESS, {"file": file_of(export_of({"number": 1, "question": "q"}))}).status_code == 404
    assert not Conversation.objects.exists()
