"""Requests that the gateway only carries: services that are no language models, and paths that are no dialect's."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import websocket
from aiohttp import web

from tests.inference_gateway.rig import Server, deploy
from tests.ports import free_port
from tests.waiting import wait_until


class Mirror(http.server.BaseHTTPRequestHandler):
    """Answers with what it was sent, and with headers that should not come through."""

    seen: list[dict[str, Any]] = []

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.seen.append({"path": self.path, "headers": dict(self.headers), "body": body, "method": self.command})
        self.send_response(207)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "mine=1")
        self.send_header("Set-Cookie", "slipway_session=stolen")
        self.send_header("Connection", "X-Private")
        self.send_header("X-Private", "hop")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the names are the library's

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def mirror() -> Iterator[int]:
    Mirror.seen = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def aside() -> Iterator[int]:
    """A program with a stream without end, a WebSocket, and a page that breaks off."""
    port, loop, is_up = free_port(), asyncio.new_event_loop(), threading.Event()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        active.append(request)
        try:
            while True:
                await response.write(b"drop\n")
                await asyncio.sleep(0.02)
        finally:
            active.remove(request)

    async def breaks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"part")
        assert request.transport is not None
        request.transport.abort()
        return response

    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("chat",))
        await socket.prepare(request)
        async for message in socket:
            if message.data == "bye":
                await socket.close(code=4001)
            elif message.type is web.WSMsgType.TEXT:
                await socket.send_str(f"{request.path_qs}:{message.data}")
            else:
                await socket.send_bytes(message.data)
        return socket

    def run() -> None:
        asyncio.set_event_loop(loop)
        app = web.Application()
        app.router.add_get("/drip", drip)
        app.router.add_get("/breaks", breaks)
        app.router.add_get("/talk", talk)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        loop.run_until_complete(runner.setup())
        loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", port).start())
        is_up.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert is_up.wait(10)
    yield port
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


active: list[web.Request] = []


def test_any_method_and_path_reaches_the_program_as_it_was_written(server: Server, mirror: int) -> None:
    service = deploy(server, mirror, engine=None, script="python app.py")
    for method, rest in (("PUT", "/a%2Fb//c%20d?q=%C3%BC&r=a+b"), ("POST", ""), ("DELETE", "/v1/chat/completions")):
        response = httpx.request(method, service.url + rest, content=b"\0\xff", headers=service.auth)
        assert (response.status_code, response.content) == (207, b"\0\xff")
    assert [(one["method"], one["path"]) for one in Mirror.seen] == [
        ("PUT", "/a%2Fb//c%20d?q=%C3%BC&r=a+b"),
        ("POST", "/"),
        ("DELETE", "/v1/chat/completions"),
    ]


def test_neither_the_token_nor_the_consoles_cookies_nor_hop_by_hop_headers_come_through(
    server: Server, mirror: int
) -> None:
    service = deploy(server, mirror, engine=None, script="python app.py")
    headers = service.auth | {
        "Cookie": "slipway_session=secret; theirs=2",
        "Connection": "X-Drop",
        "X-Drop": "1",
        "X-Forwarded-Prefix": "/elsewhere",
        "X-Keep": "kept",
    }
    response = httpx.get(service.url, headers=headers)
    seen = {name.lower(): value for name, value in Mirror.seen[0]["headers"].items()}
    assert "authorization" not in seen
    assert (seen["cookie"], seen["x-forwarded-for"], seen["x-forwarded-prefix"]) == (
        "theirs=2",
        "127.0.0.1",
        service.path,
    )
    assert "x-drop" not in seen
    assert seen["x-keep"] == "kept"
    assert response.headers.get_list("set-cookie") == ["mine=1"]
    assert len(response.headers.get_list("date")) == 1
    assert "x-private" not in response.headers
    assert response.headers["x-request-id"] == seen["x-request-id"]


def test_a_large_body_streams_through(server: Server, mirror: int) -> None:
    service = deploy(server, mirror, engine=None, script="python app.py")
    body = bytes(range(256)) * 20_000
    response = httpx.post(service.url, content=body, headers=service.auth, timeout=30)
    assert response.content == body


def test_other_paths_of_a_language_model_reach_its_program(server: Server, mirror: int) -> None:
    service = deploy(server, mirror)
    assert httpx.get(f"{service.url}/health?x=1", headers=service.auth).status_code == 207
    assert Mirror.seen[0]["path"] == "/health?x=1"


def test_the_token_is_needed_here_too(server: Server, mirror: int) -> None:
    service = deploy(server, mirror, engine=None, script="python app.py")
    assert httpx.get(f"{service.url}/x").status_code == 401
    assert Mirror.seen == []


def test_a_caller_who_leaves_ends_the_request_to_the_program(server: Server, aside: int) -> None:
    service = deploy(server, aside, engine=None, script="python app.py")
    with httpx.stream("GET", f"{service.url}/drip", headers=service.auth) as response:
        pieces = response.iter_bytes()
        assert next(pieces).startswith(b"drop")
        assert len(active) == 1
    wait_until(lambda: not active, "the program's request ended", 1.0)


def test_an_answer_that_breaks_off_does_not_look_whole(server: Server, aside: int) -> None:
    service = deploy(server, aside, engine=None, script="python app.py")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{service.url}/breaks", headers=service.auth)


def test_a_websocket_is_carried_both_ways_with_its_close_code(server: Server, aside: int) -> None:
    service = deploy(server, aside, engine=None, script="python app.py")
    url = f"{service.url}/talk?a=%20b".replace("http", "ws")
    socket = websocket.create_connection(url, header=[f"Authorization: {service.token}"], subprotocols=["chat"])
    assert socket.getsubprotocol() == "chat"
    socket.send("hi")
    assert socket.recv() == "/talk?a=%20b:hi"
    socket.send_binary(b"\0\1")
    assert socket.recv() == b"\0\1"
    socket.send("bye")
    opcode, data = socket.recv_data()
    assert (opcode, data[:2]) == (websocket.ABNF.OPCODE_CLOSE, (4001).to_bytes(2, "big"))
    socket.close()


def test_a_websocket_that_the_program_refuses_is_refused_here(server: Server, aside: int) -> None:
    service = deploy(server, aside, engine=None, script="python app.py")
    with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
        websocket.create_connection(
            f"{service.url}/nothing".replace("http", "ws"), header=[f"Authorization: {service.token}"]
        )
    assert refusal.value.status_code == 404
