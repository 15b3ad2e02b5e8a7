"""Every turn of a named conversation is recorded, finished or cut off, and the next question goes on from it."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
import websocket
from django.contrib.auth.models import User
from django.utils import timezone

from inference_gateway.history import LOST_AFTER, interrupt_lost_turns
from inference_gateway.models import Conversation, Turn
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy
from tests.waiting import wait_until

pytestmark = pytest.mark.backends

HEADER = "X-Slipway-Conversation"
WHOLE = {"use_stream_chat": False, "max_new_tokens": 8}


def ask(service: Deployed, conversation: uuid.UUID | str, body: dict[str, Any], path: str = "") -> httpx.Response:
    headers = service.auth | {HEADER: str(conversation)}
    return httpx.post(service.url + path, json=body, headers=headers, timeout=60)


@pytest.fixture
def echo(server: Server, endless: EndlessEngine) -> Deployed:
    endless.ends_after = 2
    return deploy(server, endless.port)


def test_a_named_conversation_is_recorded_and_continued(echo: Deployed, endless: EndlessEngine) -> None:
    key = uuid.uuid4()
    first = ask(echo, key, WHOLE | {"prompt": "one", "system_prompt": "Be kind."})
    second = ask(echo, key, WHOLE | {"prompt": "two"})
    assert first.headers[HEADER] == str(key)
    assert second.json()["history"] == [["one", "word word "], ["two", "word word "]]
    assert [message["content"] for message in endless.asked[1]["messages"]] == [
        "Be kind.",
        "one",
        "word word ",
        "two",
    ]
    turns = Turn.objects.filter(conversation=key)
    assert [(turn.number, turn.question, turn.answer, turn.status) for turn in turns] == [
        (1, "one", "word word ", "finished"),
        (2, "two", "word word ", "finished"),
    ]
    assert turns[1].parent == turns[0]
    assert (turns[0].finish_reason, turns[0].revision_number) == ("stop", 1)
    conversation = Conversation.objects.get(pk=key)
    assert (conversation.title, conversation.source, conversation.service) == ("one", "api", echo.row)
    assert conversation.owner is None


def test_openais_dialect_goes_on_from_it_too_unless_it_brings_a_dialogue(
    echo: Deployed, endless: EndlessEngine
) -> None:
    key = uuid.uuid4()
    path = "/v1/chat/completions"
    ask(echo, key, {"messages": [{"role": "user", "content": "one"}]}, path)
    ask(echo, key, {"messages": [{"role": "user", "content": [{"type": "text", "text": "two"}]}]}, path)
    own = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    ask(echo, key, {"messages": own}, path)
    ask(echo, key, WHOLE | {"prompt": "four", "history": []})
    sizes = [len(body["messages"]) for body in endless.asked]
    assert sizes == [1, 3, 3, 1]
    assert list(Turn.objects.filter(conversation=key).values_list("question", flat=True)) == ["one", "two", "c", "four"]


def test_the_model_sees_the_last_five_rounds_and_the_caller_all(echo: Deployed, endless: EndlessEngine) -> None:
    key = uuid.uuid4()
    for number in range(8):
        answer = ask(echo, key, WHOLE | {"prompt": f"q{number}"})
    assert len(answer.json()["history"]) == 8
    assert [message["content"] for message in endless.asked[-1]["messages"]][::2] == [
        "q2",
        "q3",
        "q4",
        "q5",
        "q6",
        "q7",
    ]


def test_without_the_header_nothing_is_recorded(echo: Deployed) -> None:
    assert httpx.post(echo.url, json=WHOLE | {"prompt": "x"}, headers=echo.auth).status_code == 200
    assert not Conversation.objects.exists()


def test_a_header_that_is_no_uuid_is_400_and_named(echo: Deployed) -> None:
    for value in ("1", "../x", "x" * 36, "{" + str(uuid.uuid4()) + "}", ""):
        response = ask(echo, value, WHOLE | {"prompt": "x"})
        assert response.status_code == 400
        assert response.json()["code"] == "invalid_conversation"
        assert HEADER in response.json()["message"]


def test_a_caller_who_leaves_keeps_the_text_so_far(server: Server, endless: EndlessEngine) -> None:
    service, key = deploy(server, endless.port), uuid.uuid4()
    headers = service.auth | {HEADER: str(key)}
    with httpx.stream("POST", service.url, json={"prompt": "one"}, headers=headers) as response:
        pieces = response.iter_bytes()
        next(pieces)
    turn = wait_until(
        lambda: Turn.objects.filter(conversation=key, status="stopped").first(), "the turn is recorded", 5
    )
    assert turn.answer.startswith("word ")
    assert turn.duration_ms is not None
    endless.ends_after = 1
    ask(service, key, WHOLE | {"prompt": "two"})
    assert endless.asked[-1]["messages"][1]["content"] == turn.answer


def test_text_is_saved_while_it_is_written(server: Server, endless: EndlessEngine) -> None:
    service, key = deploy(server, endless.port), uuid.uuid4()
    headers = service.auth | {HEADER: str(key)}
    with httpx.stream("POST", service.url, json={"prompt": "one"}, headers=headers) as response:
        pieces = response.iter_bytes()
        next(pieces)
        saved = wait_until(lambda: Turn.objects.filter(conversation=key).exclude(answer="").first(), "text is saved", 5)
        assert (saved.status, saved.answer[:5]) == ("generating", "word ")


def test_a_failed_turn_says_why(server: Server, endless: EndlessEngine) -> None:
    service, key = deploy(server, endless.port, metadata={"rpc": {"keepalive": 200}}), uuid.uuid4()
    assert ask(service, key, WHOLE | {"prompt": "one"}).status_code == 408
    turn = Turn.objects.get(conversation=key)
    assert (turn.status, turn.error_code, turn.answer[:5]) == ("failed", "request_timeout", "word ")


def test_another_s_conversation_is_404_and_nothing_is_told_of_it(
    server: Server, echo: Deployed, endless: EndlessEngine
) -> None:
    key, other = uuid.uuid4(), deploy(server, endless.port)
    ask(echo, key, WHOLE | {"prompt": "one"})
    of_echo = {"service": echo.row, "service_name": echo.row.name, "workspace": echo.row.workspace, "title": "secret"}
    ada = User.objects.create(username="ada")
    private = Conversation.objects.create(owner=ada, source="web", **of_echo)
    deleted = Conversation.objects.create(source="api", deleted_at=timezone.now(), **of_echo)
    told = set()
    for service, named in ((other, key), (echo, private.pk), (echo, deleted.pk)):
        eas = ask(service, named, WHOLE | {"prompt": "x"})
        body = {"messages": [{"role": "user", "content": "x"}]}
        chat = ask(service, named, body, "/v1/chat/completions")
        answers = [(one.status_code, one.text) for one in (eas, chat)]
        answers += [refused_handshake(service, named, path) for path in ("", "/v1/chat/completions")]
        assert [status for status, _ in answers] == [404] * 4
        texts = [text for _, text in answers]
        assert all("conversation_not_found" in text for text in texts)
        told |= {text.replace(str(named), "ID").replace(service.row.name, "NAME") for text in texts}
    assert len(told) == 2  # the same in all three cases: EAS's shape and OpenAI's
    assert not [word for text in told for word in ("secret", "ada", echo.row.name) if word in text]
    assert Turn.objects.count() == 1
    assert ask(echo, key, WHOLE | {"prompt": "two"}).status_code == 200


def refused_handshake(service: Deployed, conversation: uuid.UUID, path: str) -> tuple[int, str]:
    """Status and body of the answer to a WebSocket that goes on with this conversation."""
    header = [f"Authorization: {service.token}", f"{HEADER}: {conversation}"]
    with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
        websocket.create_connection(service.url.replace("http", "ws") + path, header=header, timeout=30)
    return refusal.value.status_code, (refusal.value.resp_body or b"").decode()


def test_turns_of_a_killed_server_become_interrupted_with_their_text(
    shared_server: Server, transactional_db: None, endless: EndlessEngine
) -> None:
    server, key = Server(), uuid.uuid4()
    server.start()
    try:
        service = deploy(server, endless.port)
        headers = service.auth | {HEADER: str(key)}
        with httpx.stream("POST", service.url, json={"prompt": "one"}, headers=headers) as response:
            pieces = response.iter_bytes()
            next(pieces)
            wait_until(lambda: Turn.objects.exclude(answer="").exists(), "text is saved", 5)
            server.kill()
        server.start()
        turn = wait_until(lambda: Turn.objects.filter(status="interrupted").first(), "the turn is interrupted", 10)
        assert turn.answer.startswith("word ")
    finally:
        server.kill()


def test_only_turns_that_nobody_touches_are_taken_for_lost(transactional_db: None, echo: Deployed) -> None:
    rows = {"service": echo.row, "service_name": echo.row.name, "workspace": echo.row.workspace}
    conversation = Conversation.objects.create(source="api", **rows)
    Turn.objects.create(conversation=conversation, number=1, question="old", updated_at=timezone.now() - 2 * LOST_AFTER)
    Turn.objects.create(conversation=conversation, number=2, question="new")
    interrupt_lost_turns()
    assert list(conversation.turns.values_list("status", flat=True)) == ["interrupted", "generating"]


def test_an_interrupted_turn_gets_the_text_that_goes_on_from_its_own(transactional_db: None, echo: Deployed) -> None:
    rows = {"service": echo.row, "service_name": echo.row.name, "workspace": echo.row.workspace}
    conversation = Conversation.objects.create(source="web", **rows)
    known = {}
    for number, text in enumerate(("so far", "other", "so\0far"), 1):
        answer = "so" if number < 3 else "so\N{REPLACEMENT CHARACTER}"
        old = timezone.now() - 2 * LOST_AFTER
        turn = Turn.objects.create(conversation=conversation, number=number, answer=answer, updated_at=old)
        known[turn.generation] = text
    assert interrupt_lost_turns(find_texts=lambda generations: known) == 3
    assert list(conversation.turns.order_by("number").values_list("answer", flat=True)) == [
        "so far",
        "so",
        "so\N{REPLACEMENT CHARACTER}far",
    ]
