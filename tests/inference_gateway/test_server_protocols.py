"""Requests that offer another protocol in ``Upgrade``, as Java's HttpClient sends them, over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
import uvicorn

from inference_gateway.http import Receive, Scope, Send, read_body, send_body
from inference_gateway.server_protocols import UpgradeBlindProtocol
from tests.ports import free_port
from tests.waiting import wait_until

OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA\r\n"
HEAD = b"POST /echo?a=1 HTTP/1.1\r\nHost: here\r\n" + OFFER
LONG = b"x" * 300_000


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    said = await read_body(scope, receive)
    await send_body(send, 200, b"|".join((scope["method"].encode(), scope["raw_path"], said)), "text/plain")


@contextlib.asynccontextmanager
async def serving(app: Callable[[Scope, Receive, Send], Awaitable[None]] = echo) -> AsyncIterator[int]:
    port = free_port()
    config = uvicorn.Config(app, port=port, http=UpgradeBlindProtocol, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        await asyncio.to_thread(wait_until, lambda: server.started, "the server listens", 20)
        yield port
    finally:
        server.should_exit = True
        await task


async def ask(pieces: Sequence[bytes], answers: int) -> list[bytes]:
    """Send the pieces, each after the one before has surely arrived alone, and read that many bodies."""
    async with serving() as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)  # or the kernel would join them
        bodies = []
        for _ in range(answers):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"http/1.1 200"), head
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            bodies.append(await reader.readexactly(length))
        writer.close()
        return bodies


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD + b"Content-Length: 5\r\n\r\nHello",),
        (HEAD + b"Content-Length: 5\r\n\r\n", b"He", b"llo"),
        (HEAD[:40], HEAD[40:] + b"Content-Length: 5\r\n\r\nH", b"ello"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nHe\r\n3\r", b"\nllo\r\n0\r\n\r\n"),
        (HEAD + b"Expect: 100-nothing\r\nContent-Length: 5\r\n\r\nHello",),
    ],
    ids=["whole", "body after its head", "cut anywhere", "chunked", "more headers"],
)
async def test_an_offer_of_another_protocol_leaves_the_body_whole(pieces: Sequence[bytes]) -> None:
    assert await ask(pieces, 1) == [b"POST|/echo|Hello"]


async def test_a_long_body_comes_through() -> None:
    head = HEAD + b"Content-Length: %d\r\n\r\n" % len(LONG)
    assert await ask([head + LONG[:1000], LONG[1000:]], 1) == [b"POST|/echo|" + LONG]


async def test_a_request_without_a_body_is_answered() -> None:
    assert await ask([b"GET /echo HTTP/1.1\r\nHost: here\r\n" + OFFER + b"\r\n"], 1) == [b"GET|/echo|"]


async def test_the_connection_goes_on_after_it() -> None:
    first = HEAD + b"Content-Length: 5\r\n\r\nHello"
    plain = b"POST /next HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\nHi"
    bodies = [b"POST|/echo|Hello", b"POST|/next|Hi", b"POST|/echo|Hello"]
    assert await ask([first + plain, first], 3) == bodies
