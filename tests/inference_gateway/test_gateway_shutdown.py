"""A server that is told to end lets answers under way finish."""

from __future__ import annotations

import json
import signal
from typing import Any

import httpx
import pytest
import websocket

from inference_gateway.models import Turn
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy


def test_a_stream_under_way_is_finished_and_a_websocket_closed_with_1012(
    shared_server: Server, transactional_db: None, endless: EndlessEngine
) -> None:
    server = Server()
    server.start()
    try:
        service = deploy(server, endless.port)
        endless.ends_after = 50
        socket = websocket.create_connection(
            service.url.replace("http", "ws"), header=[f"Authorization: {service.token}"], timeout=20
        )
        with httpx.stream("POST", service.url, json={"prompt": "x"}, headers=service.auth) as response:
            pieces = response.iter_bytes()
            first = next(pieces)
            assert server.process is not None
            server.process.send_signal(signal.SIGTERM)
            body = first + b"".join(pieces)
        assert json.loads(body.split(b"\0")[-2])["response"] == "word " * 50
        opcode, data = socket.recv_data()
        assert (opcode, data[:2]) == (websocket.ABNF.OPCODE_CLOSE, (1012).to_bytes(2, "big"))
        server.process.wait(15)
    finally:
        server.kill()


def connect(server: Server, service: Deployed, *more: str, subprotocol: str) -> websocket.WebSocket:
    return websocket.create_connection(
        f"ws://127.0.0.1:{server.port}{service.path}",
        header=[f"Authorization: {service.token}", *more],
        subprotocols=[subprotocol],
        timeout=20,
    )


@pytest.mark.parametrize("subprotocol", ["slipway.eas", "slipway.chat"])
def test_a_restart_in_mid_answer_names_the_conversation_and_the_next_server_goes_on_with_it(
    shared_server: Server, transactional_db: None, endless: EndlessEngine, subprotocol: str
) -> None:
    ending = Server()
    ending.start()
    try:
        service = deploy(ending, endless.port)
        first = connect(ending, service, subprotocol=subprotocol)
        conversation = (first.getheaders() or {})["x-slipway-conversation"]
        first.send(json.dumps({"type": "ask", "content": "one", "prompt": "one"}))
        while "word " not in first.recv():
            pass
        assert ending.process is not None
        ending.process.send_signal(signal.SIGTERM)
        while (frame := first.recv_data())[0] != websocket.ABNF.OPCODE_CLOSE:
            pass
        assert frame[1][:2] == (1012).to_bytes(2, "big")
        assert frame[1][2:].decode() == f"restarting; conversation {conversation}"
        first.close()
        ending.process.wait(15)
    finally:
        ending.kill()
    turn = Turn.objects.get(conversation=conversation)
    assert (turn.status, turn.answer.startswith("word ")) == ("interrupted", True)
    endless.ends_after = 1
    second = connect(shared_server, service, f"X-Slipway-Conversation: {conversation}", subprotocol=subprotocol)
    second.send(json.dumps({"type": "ask", "content": "two", "prompt": "two"}))
    while "word " not in second.recv():
        pass
    second.close()
    told: list[Any] = [message["content"] for message in endless.asked[-1]["messages"]]
    assert told == ["one", turn.answer, "two"]
