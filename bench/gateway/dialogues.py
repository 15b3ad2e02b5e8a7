"""WebSockets from the caller's side: opened, asked once in EAS's dialect (eas.md §1.6), and held."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
from collections.abc import Callable, Sequence

from bench.gateway.client import Connection, Target, connect_many
from bench.gateway.loads import Probe, hang_up

END_OF_ROUND = b"<EOS>"


def handshake(target: Target, path: str) -> bytes:
    """The request that opens one. Pure but for its key."""
    headers = {
        "Host": f"{target.host}:{target.port}",
        **target.headers,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }
    return (f"GET {path} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers.items()) + "\r\n").encode()


def text_frame(text: str, mask: bytes) -> bytes:
    """One text message of at most 125 bytes, as a client masks it. Pure; raises ValueError."""
    data = text.encode()
    if len(data) > 125:
        raise ValueError("the text is too long for a short frame")
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
    return bytes((0x81, 0x80 | len(data))) + mask + masked


class Watch:
    """Counts the connections that have heard ``mark``."""

    def __init__(self, mark: bytes, wanted: int) -> None:
        self._mark = mark
        self._wanted = wanted
        self.heard = 0
        self._have_heard = asyncio.Event()

    def listen(self, connection: Connection) -> Callable[[bytes], None]:
        """What the connection's ``on_read`` becomes."""
        said = bytearray()

        def note(data: bytes) -> None:
            said.extend(data)
            if self._mark in said:
                connection.on_read = None
                self.heard += 1
                if self.heard == self._wanted:
                    self._have_heard.set()

        return note

    async def wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._have_heard.wait(), seconds)


async def open_many(target: Target, path: str, count: int) -> tuple[list[Connection], int]:
    """``count`` WebSockets, and how many of them were let in."""
    opened = Watch(b"HTTP/1.1 101", count)
    connections: list[Connection] = []
    while len(connections) < count:
        some = await connect_many(target, min(100, count - len(connections)))
        for connection in some:
            connection.on_read = opened.listen(connection)
            connection.ask(handshake(target, path), lambda _: None)
        connections += some
    await opened.wait(10 + count / 50)
    return connections, opened.heard


async def ask_each(connections: Sequence[Connection], seconds: float | None = None) -> int:
    """One question on each, a thousand a second: how many were answered, within ``seconds`` or what should do."""
    answered = Watch(END_OF_ROUND, len(connections))
    question = text_frame("Go. tokens=8", os.urandom(4))
    for number, connection in enumerate(connections):
        connection.on_read = answered.listen(connection)
        connection.transport.write(question)
        if number % 20 == 19:
            await asyncio.sleep(0.02)
    await answered.wait(10 + len(connections) / 50 if seconds is None else seconds)
    return answered.heard


async def hold_dialogues(target: Target, path: str, count: int, memory: Probe) -> tuple[int, float, float]:
    """Open ``count`` WebSockets, then let each ask one question: how many were answered, and ``memory`` after both."""
    connections, _ = await open_many(target, path, count)
    await asyncio.sleep(1)
    memory_opened = memory()
    answered = await ask_each(connections)
    await asyncio.sleep(1)
    memory_asked = memory()
    hang_up(connections)
    return answered, memory_opened, memory_asked


async def hold_idle(target: Target, path: str, count: int, asked: int, memory: Probe) -> tuple[int, int, float]:
    """Open ``count`` and let ``asked`` of them, from all over, ask: how many were let in and answered, and ``memory``
    while all were idle.
    """
    connections, let_in = await open_many(target, path, count)
    await asyncio.sleep(1)
    memory_idle = memory()
    answered = await ask_each(connections[:: max(1, count // asked)][:asked])
    hang_up(connections)
    return let_in, answered, memory_idle
