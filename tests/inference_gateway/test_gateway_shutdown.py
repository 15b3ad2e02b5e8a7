"""A server that is told to end lets answers under way finish."""

from __future__ import annotations

import json
import signal

import httpx
import websocket

from tests.inference_gateway.rig import EndlessEngine, Server, deploy


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
