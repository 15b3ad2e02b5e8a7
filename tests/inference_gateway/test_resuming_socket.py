"""Rounds of a WebSocket that outlive their connection."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import websocket

from inference_gateway.models import Turn
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(120)


def resumable(server: Server, endless: EndlessEngine, seconds: int = 30) -> Deployed:
    return deploy(server, endless.port, networking={"gateway_policy": {"resume_seconds": seconds}})


def connect(server: Server, service: Deployed, dialect: str, *headers: str) -> websocket.WebSocket:
    return websocket.create_connection(
        f"ws://127.0.0.1:{server.port}{service.path}",
        header=[f"Authorization: {service.token}", *headers],
        subprotocols=[f"slipway.{dialect}"],
        timeout=20,
    )


def is_end(dialect: str, message: str) -> bool:
    return message == "<EOS>" if dialect == "eas" else json.loads(message)["type"] in ("done", "error")


def receive(socket: websocket.WebSocket, is_last: Callable[[str], bool]) -> list[str]:
    messages = [str(socket.recv())]
    while not is_last(messages[-1]):
        messages.append(str(socket.recv()))
    return messages


def ask_and_vanish(server: Server, service: Deployed, dialect: str, count: int) -> tuple[str, str, list[str]]:
    """Read so many messages of an answer and drop the connection: conversation, generation, what was read."""
    socket = connect(server, service, dialect)
    headers = socket.getheaders() or {}
    if dialect == "chat":
        socket.recv()  # session
    socket.send(json.dumps({"type": "ask", "id": "q", "content": "one", "prompt": "one"}))
    got = [str(socket.recv()) for _ in range(count)]
    socket.shutdown()
    generation = headers["x-slipway-generation"] + "-1"
    if dialect == "chat":
        assert json.loads(got[0]) == {"type": "generation", "id": "q", "generation": generation}
    return headers["x-slipway-conversation"], generation, got


def resume(server: Server, service: Deployed, dialect: str, generation: str, offset: int, *headers: str) -> list[str]:
    socket = connect(server, service, dialect, *headers)
    if dialect == "chat":
        socket.recv()
    socket.send(json.dumps({"type": "resume", "generation": generation, "offset": offset, "id": "r"}))
    try:
        return receive(socket, lambda message: is_end(dialect, message))
    finally:
        socket.close()


@pytest.mark.parametrize("dialect", ["eas", "chat"])
def test_the_rest_of_a_round_comes_over_a_new_connection_and_the_dialogue_goes_on(
    server: Server, endless: EndlessEngine, dialect: str
) -> None:
    service = resumable(server, endless)
    endless.ends_after = 50
    conversation, generation, got = ask_and_vanish(server, service, dialect, 5)
    header = f"X-Slipway-Conversation: {conversation}"
    rest = resume(server, service, dialect, generation, len(got), header)
    whole = resume(server, service, dialect, generation, 0)
    assert whole == got + rest
    assert len(endless.asked) == 1
    socket = connect(server, service, dialect, header)
    if dialect == "chat":
        socket.recv()
    socket.send(json.dumps({"type": "resume", "generation": generation, "offset": len(got)}))
    socket.send(json.dumps({"type": "ask", "content": "two", "prompt": "two"}))
    for _ in range(2):
        receive(socket, lambda message: is_end(dialect, message))
    socket.close()
    asked = [(message["role"], message["content"]) for message in endless.asked[-1]["messages"]]
    assert asked[-3:] == [("user", "one"), ("assistant", "word " * 50), ("user", "two")]


@pytest.mark.parametrize("dialect", ["eas", "chat"])
def test_after_a_kill_a_round_comes_again_and_ends_as_interrupted(
    shared_server: Server, transactional_db: None, endless: EndlessEngine, dialect: str
) -> None:
    dying = Server()
    dying.start()
    try:
        service = resumable(dying, endless)
        _, generation, got = ask_and_vanish(dying, service, dialect, 20)
        follower = connect(shared_server, service, dialect)
        if dialect == "chat":
            follower.recv()
        follower.send(json.dumps({"type": "resume", "generation": generation, "offset": 0, "id": "r"}))
        assert [str(follower.recv()) for _ in got] == got
        dying.kill()
        rest = receive(follower, lambda message: is_end(dialect, message))
        follower.close()
        again = resume(shared_server, service, dialect, generation, len(got))
        assert again == rest
        error = json.loads(again[-2] if dialect == "eas" else again[-1])
        assert (error if dialect == "eas" else error["error"])["code"] == "interrupted"
    finally:
        dying.kill()


@pytest.mark.parametrize("dialect", ["eas", "chat"])
def test_a_round_that_is_resumed_can_be_stopped(server: Server, endless: EndlessEngine, dialect: str) -> None:
    service = resumable(server, endless)
    _, generation, got = ask_and_vanish(server, service, dialect, 5)
    assert endless.active == 1
    socket = connect(server, service, dialect)
    if dialect == "chat":
        socket.recv()
    socket.send(json.dumps({"type": "resume", "generation": generation, "offset": len(got), "id": "r"}))
    socket.recv()
    socket.send(json.dumps({"type": "stop"}))
    ended = receive(socket, lambda message: is_end(dialect, message))
    socket.close()
    assert '"stopped"' in ended[-2 if dialect == "eas" else -1]
    wait_until(lambda: endless.active == 0, "the engine is left alone", 1.0)


def test_a_round_that_nobody_asks_for_is_stopped_after_the_time_of_grace(
    server: Server, endless: EndlessEngine
) -> None:
    service = resumable(server, endless, 1)
    conversation, _, _ = ask_and_vanish(server, service, "chat", 5)
    wait_until(lambda: endless.active == 0, "the engine is left alone", 3.0)
    wait_until(lambda: Turn.objects.get(conversation_id=conversation).status == "stopped", "it is recorded", 3.0)


def test_rounds_are_resumed_by_their_own_service_and_dialect_only(server: Server, endless: EndlessEngine) -> None:
    service, other, without = resumable(server, endless), resumable(server, endless), deploy(server, endless.port)
    endless.ends_after = 5
    _, generation, _ = ask_and_vanish(server, service, "chat", 3)
    cases: list[tuple[Deployed, Any]] = [(other, generation), (without, generation), (service, "gen-1"), (service, "")]
    for asking, known in cases:
        told = json.loads(resume(server, asking, "chat", known, 0)[-1])
        assert (told["id"], told["error"]["code"]) == ("r", "generation_not_found")
