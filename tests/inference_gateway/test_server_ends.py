"""What connections see of a server that was told to end: nothing that was asked is lost."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn

from inference_gateway.http import Receive, Scope, Send, read_body, send_body
from inference_gateway.server_protocols import UpgradeBlindProtocol
from inference_gateway.wire import find_wire
from tests.ports import free_port
from tests.waiting import stretch, wait_until_async

QUESTION = b"POST /%b HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\nhi"
CLOSE = b"connection: close"
#: More than a caller's kernel takes that may hold little, less than the server's does.
LONG_BYTES = 12_000


class Ending:
    """A server of which ``/stream`` is whole, and ``/late`` begins, once ``go`` is set; ``/long`` is long."""

    def __init__(self, linger_seconds: int, taken_seconds: float = 30.0) -> None:
        self.go = asyncio.Event()
        self.begun = 0
        self.port = free_port()
        times = {"linger_seconds": linger_seconds, "taken_seconds": taken_seconds}
        protocol = type("Lingering", (UpgradeBlindProtocol,), times)
        config = uvicorn.Config(
            self._answer, port=self.port, http=protocol, interface="asgi3", lifespan="off", log_config=None
        )
        self._server = uvicorn.Server(config)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(scope, receive)
        self.begun += 1
        if scope["path"] == "/long":
            await send_body(send, 200, b"x" * LONG_BYTES, "text/plain")
            return
        if scope["path"] == "/late":
            await self.go.wait()
        if scope["path"] != "/stream":
            await send_body(send, 200, b"whole", "text/plain")
            return
        wire = find_wire(scope)
        assert wire is not None
        wire.begin(200, (), b"first")
        await self.go.wait()
        wire.write(b"last", is_last=True)

    @property
    def connections(self) -> int:
        return len(self._server.server_state.connections)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._server.serve())

        async def has_started() -> bool:
            return self._server.started

        try:
            async with asyncio.timeout(20 * stretch()):
                await wait_until_async(has_started, "the server listens", 20)
                yield
        finally:
            self._server.should_exit = True
            self.go.set()
            self._server.force_exit = True
            await task

    async def end(self) -> None:
        """Tell it to end, and wait until its connections know."""
        self._server.should_exit = True

        async def listens_no_more() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionRefusedError:
                return True
            except ConnectionResetError:  # it closed its socket over one that was not accepted yet
                return False
            writer.close()
            return False

        await wait_until_async(listens_no_more, "it listens no more", 20)

    async def ask(self, path: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(QUESTION % path)
        return reader, writer


async def read_whole(reader: asyncio.StreamReader) -> bytes:
    """The head, in lower case, of an answer of one piece."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 200 ")
    assert await reader.readexactly(5) == b"whole"
    return head


async def test_a_request_that_comes_on_a_kept_connection_is_answered_as_its_last() -> None:
    server = Ending(linger_seconds=60)
    async with server.serving():
        reader, writer = await server.ask(b"first")
        assert CLOSE not in await read_whole(reader)
        await server.end()
        writer.write(QUESTION % b"second")
        assert CLOSE in await read_whole(reader)
        assert await reader.read() == b""
        writer.close()


async def test_an_answer_that_has_not_begun_says_that_it_is_the_last() -> None:
    server = Ending(linger_seconds=60)
    async with server.serving():
        reader, writer = await server.ask(b"late")
        await wait_begun(server)
        await server.end()
        server.go.set()
        assert CLOSE in await read_whole(reader)
        assert await reader.read() == b""
        writer.close()


async def test_behind_a_stream_that_was_under_way_another_request_is_answered() -> None:
    server = Ending(linger_seconds=60)
    async with server.serving():
        reader, writer = await server.ask(b"stream")
        assert CLOSE not in (await reader.readuntil(b"\r\n\r\n")).lower()
        await server.end()
        server.go.set()
        assert (await reader.readuntil(b"\r\n0\r\n\r\n")).startswith(b"5\r\nfirst\r\n4\r\nlast")
        writer.write(QUESTION % b"second")
        assert CLOSE in await read_whole(reader)
        assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("path", [b"", b"first"])
async def test_a_connection_that_nobody_uses_is_closed_soon(path: bytes) -> None:
    server = Ending(linger_seconds=0)
    async with server.serving():
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        if path:
            writer.write(QUESTION % path)
            await read_whole(reader)
        await server.end()
        assert await reader.read() == b""
        writer.close()


async def test_a_connection_is_closed_once_the_other_side_has_what_was_sent() -> None:
    """What the kernel holds for a container is lost when its network goes, without a word to the other side."""
    server = Ending(linger_seconds=0)
    async with server.serving():
        caller = await ask_and_read_nothing(server)
        await server.end()
        await asyncio.sleep(3 * UpgradeBlindProtocol.look_seconds)
        assert server.connections, "it is not closed over what is on its way"
        received = b""
        while piece := await asyncio.get_running_loop().sock_recv(caller, 65536):
            received += piece
        assert received.endswith(b"x" * LONG_BYTES)
        caller.close()


async def test_who_never_takes_what_was_sent_holds_nobody_up_for_ever() -> None:
    server = Ending(linger_seconds=0, taken_seconds=0.5)
    async with server.serving():
        caller = await ask_and_read_nothing(server)
        await server.end()

        async def is_closed() -> bool:
            return not server.connections

        await wait_until_async(is_closed, "the server has waited long enough", 20)
        caller.close()


async def ask_and_read_nothing(server: Ending) -> socket.socket:
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    caller.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(caller, ("127.0.0.1", server.port))
    await loop.sock_sendall(caller, QUESTION % b"long")
    await wait_begun(server)
    return caller


async def wait_begun(server: Ending) -> None:
    async def has_begun() -> bool:
        return server.begun > 0

    await wait_until_async(has_begun, "the question has come", 20)
