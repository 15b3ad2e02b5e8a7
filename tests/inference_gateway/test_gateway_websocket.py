"""EAS's WebSocket through the gateway, with websocket-client as its page's samples use it (eas.md §1.6)."""

from __future__ import annotations

import json
import struct
import threading
import uuid
from typing import Any

import httpx
import pytest
import websocket

from inference_gateway.models import Conversation, Turn
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy
from tests.waiting import wait_until


@pytest.fixture
def chat(server: Server, runtime_port: int) -> Deployed:
    return deploy(server, runtime_port)


def address(service: Deployed) -> str:
    return service.url.replace("http", "ws")


def test_five_pipelined_questions_the_first_without_a_prompt(chat: Deployed) -> None:
    """As the multi-round sample: five sends in a row, CLOSE 1000 after the fifth ``<EOS>``, pings throughout."""
    rounds: list[str] = []
    errors: list[Any] = []
    closes: list[Any] = []
    pending = ""

    def on_message(socket: websocket.WebSocketApp, message: str) -> None:
        nonlocal pending
        if message != "<EOS>":
            pending += message
            return
        rounds.append(pending)
        pending = ""
        if len(rounds) == 5:
            socket.send(struct.pack("!H", 1000), websocket.ABNF.OPCODE_CLOSE)

    def on_open(socket: websocket.WebSocketApp) -> None:
        questions: list[dict[str, Any]] = [{"system_prompt": "Be kind."}]
        questions += [{"system_prompt": "Be kind.", "prompt": f"Say {n}."} for n in range(1, 5)]
        for question in questions:
            body = question | {"temperature": 0, "max_new_tokens": 6}
            socket.send(json.dumps(body).encode("utf-8"))

    app = websocket.WebSocketApp(
        address(chat),
        header=[f"Authorization: {chat.token}"],
        on_open=on_open,
        on_message=on_message,
        on_error=lambda socket, error: errors.append(error),
        on_close=lambda socket, code, reason: closes.append(code),
    )
    talking = threading.Thread(target=lambda: app.run_forever(ping_interval=2), daemon=True)
    talking.start()
    talking.join(90)
    assert not talking.is_alive()
    assert (len(rounds), rounds[0], all(rounds[1:])) == (5, "", True)
    # The client reports an echoed CLOSE so; a connection that was only dropped would read otherwise.
    assert [str(error) for error in errors] in ([], ["Connection closed normally (code 1000)"])
    assert closes in ([1000], [None])
    conversation = Conversation.objects.get()
    turns = conversation.turns.all()
    assert (conversation.source, conversation.system_prompt) == ("websocket", "Be kind.")
    assert [(turn.question, turn.answer, turn.status) for turn in turns] == [
        (f"Say {n}.", rounds[n], "finished") for n in range(1, 5)
    ]


@pytest.mark.parametrize("header", [[], ["Authorization: wrong"], ["Cookie: slipway_session=x"]])
def test_without_the_token_the_handshake_is_401(chat: Deployed, header: list[str]) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
        websocket.create_connection(address(chat), header=header)
    assert refusal.value.status_code == 401
    assert json.loads(refusal.value.resp_body or b"{}")["code"] == "Unauthorized"


def test_an_unknown_service_is_404_and_one_without_instances_503(server: Server, chat: Deployed) -> None:
    empty = deploy(server)
    for url, token, status in (
        (f"{server.url}/api/predict/nobody_here", "x", 404),
        (empty.url, empty.token, 503),
    ):
        with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
            websocket.create_connection(url.replace("http", "ws"), header=[f"Authorization: {token}"])
        assert refusal.value.status_code == status


def test_a_foreign_origin_with_the_token_is_welcome(chat: Deployed) -> None:
    header = [f"Authorization: Bearer {chat.token}"]
    socket = websocket.create_connection(address(chat), header=header, origin="https://elsewhere.example")
    socket.send("")
    assert socket.recv() == "<EOS>"
    socket.close()


def test_leaving_in_the_middle_stops_the_engine_and_keeps_the_text(server: Server, endless: EndlessEngine) -> None:
    service = deploy(server, endless.port)
    socket = websocket.create_connection(address(service), header=[f"Authorization: {service.token}"])
    socket.send(json.dumps({"prompt": "x"}))
    assert socket.recv() == "word "
    socket.close()
    wait_until(lambda: endless.active == 0, "the engine stopped", 1.0)
    turn = wait_until(lambda: Turn.objects.filter(status="stopped").first(), "the turn is recorded", 5)
    assert turn.answer.startswith("word ")


def test_a_named_conversation_goes_on_over_a_new_connection(server: Server, endless: EndlessEngine) -> None:
    service, key = deploy(server, endless.port), uuid.uuid4()
    endless.ends_after = 1
    header = [f"Authorization: {service.token}", f"X-Slipway-Conversation: {key}"]
    for question in ("one", "two"):
        socket = websocket.create_connection(address(service), header=header)
        socket.send(json.dumps({"prompt": question}))
        assert [socket.recv(), socket.recv()] == ["word ", "<EOS>"]
        socket.close()
    assert [message["content"] for message in endless.asked[1]["messages"]] == ["one", "word ", "two"]
    assert list(Turn.objects.filter(conversation=key).values_list("number", flat=True)) == [1, 2]


def test_a_refused_handshake_is_no_error_in_the_log(chat: Deployed, server: Server) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        websocket.create_connection(address(chat), header=["Authorization: wrong"])
    assert caught.value.status_code == 401
    assert httpx.get(f"{server.url}/healthz").status_code == 200  # whatever it had to say is written
    assert "handshake" not in server.log
