"""How long a connection is kept for its next request: from the last answer on, and never under a request."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import time
from collections.abc import AsyncIterator

import uvicorn

from inference_gateway.http import Receive, Scope, Send, read_body, send_body
from inference_gateway.server_protocols import RefusableProtocol, UpgradeBlindProtocol
from tests.ports import free_port
from tests.waiting import stretch, wait_until_async

KEEP_SECONDS = 2
PING, PONG = 0x89, b"\x8a\x00"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """``/slow`` outlasts every timer that an earlier request has set."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        return
    await read_body(scope, receive)
    if scope["path"] == "/slow":
        await asyncio.sleep(1.5 * KEEP_SECONDS)
    await send_body(send, 200, b"whole", "text/plain")


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    port = free_port()
    config = uvicorn.Config(
        application,
        port=port,
        http=UpgradeBlindProtocol,
        ws=RefusableProtocol,
        interface="asgi3",
        lifespan="off",
        log_config=None,
        timeout_keep_alive=KEEP_SECONDS,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())

    async def has_started() -> bool:
        return server.started

    try:
        async with asyncio.timeout(30 * stretch()):
            await wait_until_async(has_started, "the server listens", 20)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            yield reader, writer
            writer.close()
    finally:
        server.should_exit = server.force_exit = True
        await task


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str = "/") -> None:
    writer.write(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    assert await reader.readexactly(5) == b"whole"


async def test_it_is_closed_so_long_after_its_last_answer() -> None:
    async with connected() as (reader, writer):
        for _ in range(4):
            await ask(reader, writer)
            await asyncio.sleep(KEEP_SECONDS / 8)
        await ask(reader, writer)
        answered_at = time.monotonic()
        assert await reader.read() == b""
        assert time.monotonic() - answered_at > 0.8 * KEEP_SECONDS


async def test_a_request_that_outlasts_the_time_is_answered_and_another_one_behind_it() -> None:
    async with connected() as (reader, writer):
        await ask(reader, writer)
        await ask(reader, writer, "/slow")
        await ask(reader, writer)
        await ask(reader, writer, "/slow")
        assert await reader.read() == b""


async def test_a_connection_that_became_a_websocket_is_not_closed_for_its_requests_before() -> None:
    async with connected() as (reader, writer):
        await ask(reader, writer)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            "GET /socket HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        await asyncio.sleep(1.5 * KEEP_SECONDS)
        writer.write(bytes((PING, 0x80)) + os.urandom(4))
        assert await reader.readexactly(2) == PONG
