"""HTTP and chat from the caller's side, on raw sockets: what a load costs must not be the client's."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

TOKEN = re.compile(rb'"w(\d+) "')
#: A token has arrived wherever this stands; text of a token is nowhere else in an answer.
TOKEN_MARK = b'"w'
SYSTEM = "You answer in as few words as you can. " * 22  # with the rest a body of about 1 KB
CONNECT_SECONDS = 20.0
PARALLEL_CONNECTS = 50


@dataclass(frozen=True, slots=True)
class Target:
    """Where chat completions are asked for, and how."""

    port: int
    path: str = "/v1/chat/completions"
    model: str = "bench"
    headers: dict[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"

    def body(self, orders: str, *, is_stream: bool) -> bytes:
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": f"Go. {orders}"}]
        value: dict[str, object] = {"model": self.model, "messages": messages}
        return json.dumps(value | ({"stream": True} if is_stream else {})).encode()

    def request(self, orders: str = "", *, is_stream: bool = False) -> bytes:
        """The bytes of one question; ``orders`` are ``fake_engine``'s."""
        body = self.body(orders, is_stream=is_stream)
        headers = {
            "Host": f"{self.host}:{self.port}",
            **self.headers,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        }
        head = f"POST {self.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return head.encode() + b"\r\n" + body


class Answer:
    """One answer as it arrives.

    ``is_whole`` once nothing more can come by HTTP's own rules; ``is_last``: its connection takes no further question.
    """

    __slots__ = ("_begins", "_data", "_is_chunked", "_length", "is_last", "is_whole", "status")

    def __init__(self) -> None:
        self._data = bytearray()
        self._begins = 0
        self._length = -1
        self._is_chunked = False
        self.status = 0
        self.is_whole = False
        self.is_last = False

    def feed(self, data: bytes) -> None:
        self._data += data
        if not self._begins and not self._read_head():
            return
        if self._length >= 0:
            self.is_whole = len(self._data) - self._begins >= self._length
        elif self._is_chunked:
            self.is_whole = self._data.endswith(b"\r\n0\r\n\r\n") or self._data[self._begins :] == b"0\r\n\r\n"

    def end(self) -> None:
        """The connection has ended: that is the end of an answer of unknown length."""
        if self._begins and self._length < 0 and not self._is_chunked:
            self.is_whole = True

    @property
    def raw(self) -> bytes:
        """The body as it came, with the sizes of chunks between."""
        return bytes(self._data[self._begins :])

    @property
    def body(self) -> bytes:
        """The body. Raises ValueError for chunks that are none."""
        return decode_chunks(self.raw) if self._is_chunked else self.raw

    @property
    def body_so_far(self) -> bytes:
        """What has come of the body, of an answer that was cut off, too."""
        return decode_chunks(self.raw, is_cut=True) if self._is_chunked else self.raw

    def find_header(self, name: bytes) -> str | None:
        """A header's value, in lower case as its name."""
        found = re.search(rb"\r\n%b: ([^\r]*)" % re.escape(name), bytes(self._data[: self._begins]).lower())
        return found[1].decode("latin-1") if found else None

    def has_tokens(self, count: int) -> bool:
        """Whether it is a stream of exactly the tokens 0 to ``count`` - 1 in order, and its proper end."""
        body = self.body
        numbers = [int(number) for number in TOKEN.findall(body)]
        return numbers == list(range(count)) and body.rstrip().endswith(b"data: [DONE]")

    def _read_head(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._data[:end]).lower()
        self.status = int(head[9:12])
        self._begins = end + 4
        self._is_chunked = b"\r\ntransfer-encoding: chunked" in head
        self.is_last = b"\r\nconnection: close" in head
        if (at := head.find(b"\r\ncontent-length:")) >= 0:
            self._length = int(head[at + 17 :].split(b"\r\n", 1)[0])
        return True


def decode_chunks(data: bytes, *, is_cut: bool = False) -> bytes:
    """What HTTP's chunked coding carries. Pure; raises ValueError, unless data that ``is_cut`` just ends early."""
    parts: list[bytes] = []
    at = 0
    while True:
        end = data.find(b"\r\n", at)
        if end < 0 and is_cut:
            return b"".join(parts)
        size = int(data[at : data.index(b"\r\n", at)].split(b";", 1)[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(data[end + 2 : end + 2 + size])
        at = end + 4 + size


class Connection(asyncio.Protocol):
    """A connection that asks one question after another. ``on_read`` sees each piece, ``on_end`` the whole answer."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.is_lost = False
        self.asked_at = 0.0
        self.on_end: Callable[[Connection], None] | None = None
        self.on_read: Callable[[bytes], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes, on_end: Callable[[Connection], None]) -> None:
        """Send it; ``on_end`` is called once, also when the connection is lost before the end (``is_lost``)."""
        self.answer, self.on_end = Answer(), on_end
        self.asked_at = time.monotonic()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self.on_read is not None:
            self.on_read(data)
        self.answer.feed(data)
        if self.answer.is_whole:
            self._finish()

    def connection_lost(self, error: Exception | None) -> None:
        self.answer.end()
        self.is_lost = True
        self._finish()

    def _finish(self) -> None:
        if self.on_end is not None:
            on_end, self.on_end = self.on_end, None
            on_end(self)


async def connect(target: Target) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await asyncio.wait_for(
        loop.create_connection(Connection, target.host, target.port), CONNECT_SECONDS
    )
    return connection


async def connect_many(target: Target, count: int) -> list[Connection]:
    """So many connections, a few at a time, so that no listener's queue runs over."""
    connections: list[Connection] = []
    while len(connections) < count:
        some = min(PARALLEL_CONNECTS, count - len(connections))
        connections += await asyncio.gather(*(connect(target) for _ in range(some)))
    return connections


async def ask(target: Target, orders: str = "", *, is_stream: bool = False, seconds: float = 30.0) -> Answer:
    """One question on a connection of its own."""
    connection = await connect(target)
    ended = asyncio.get_running_loop().create_future()
    connection.ask(target.request(orders, is_stream=is_stream), ended.set_result)
    try:
        await asyncio.wait_for(ended, seconds)
    finally:
        connection.on_end = None
        connection.transport.abort()
    return connection.answer


async def get(port: int, path: str, headers: dict[str, str] | None = None, seconds: float = 10.0) -> Answer:
    """GET on this machine, on a connection of its own."""
    connection = await connect(Target(port))
    ended = asyncio.get_running_loop().create_future()
    told = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    connection.ask(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{told}\r\n".encode(), ended.set_result)
    try:
        await asyncio.wait_for(ended, seconds)
    finally:
        connection.on_end = None
        connection.transport.abort()
    return connection.answer


async def get_json(port: int, path: str, headers: dict[str, str] | None = None) -> dict[str, object]:
    """The same; raises ConnectionError for anything but a 200 with a JSON object."""
    answer = await get(port, path, headers)
    if answer.status != 200 or not answer.is_whole:
        raise ConnectionError(f"{path} was answered with {answer.status}")
    value = json.loads(answer.body)
    assert isinstance(value, dict)
    return value
