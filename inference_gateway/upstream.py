"""HTTP/1.1 to engines on the way of every request: one question, one answer, the connection kept for the next.

Only what the way to an instance needs: plain HTTP to an address out of the directory, no redirects, no cookies, no
decompression, no proxies. What goes another way (an API server's proxy, TLS) is ``engines.openai_http``'s. It is
there for its price: 2.4 times less processor time a request than aiohttp's client takes (gateway.md §2.1).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from functools import lru_cache

from deployments.addresses import render_host
from inference_gateway.dead_peers import notice_death
from inference_gateway.upstream_connection import Address, Answer, Connection, StaleError, UnreachableError

CONNECT_SECONDS = 5.0
#: Less than uvicorn's engines (vLLM among them) keep an idle connection, 5 s: else they drop it under a request.
IDLE_SECONDS = 4.0
SWEEP_SECONDS = 2.0


class Upstream:
    """The connections of one process. Make it, use it and close it in one event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._idle: dict[Address, deque[Connection]] = {}
        self.all: set[Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None

    async def ask(self, address: Address, request: bytes) -> Answer:
        """Send ``render_request``'s bytes and wait for the answer's head. Whoever gets an answer closes it.

        A kept connection may have been dropped at the other end a moment ago. If it was lost before a byte came back,
        the request goes once more, on a fresh one (RFC 9112 §9.3.1). Raises UnreachableError and UpstreamError.
        """
        connection = self.take_idle(address)
        if connection is None:
            connection = await self._connect(address)
        connection.send(request)
        return await self.hear(connection, request)

    async def hear(self, connection: Connection, request: bytes) -> Answer:
        """The second half of ``ask``, once ``connection`` was sent the request."""
        try:
            return await connection.hear()
        except StaleError:
            connection = await self._connect(connection.address)
        connection.send(request)
        return await connection.hear()

    def close(self) -> None:
        """Drop every connection, those with an answer under way among them."""
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in tuple(self.all):
            connection.abort()

    def take_idle(self, address: Address) -> Connection | None:
        """A kept connection that is free, from now on the caller's: to be sent a request, or given back."""
        idle = self._idle.get(address)
        oldest = self.loop.time() - IDLE_SECONDS
        while idle:
            connection = idle.pop()  # the one used last is the least likely to have been dropped
            if connection.is_usable and connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    async def _connect(self, address: Address) -> Connection:
        host, port = address
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                transport, connection = await self.loop.create_connection(lambda: Connection(self, address), host, port)
        except (OSError, TimeoutError) as error:
            raise UnreachableError(str(error) or "it does not answer") from error
        if connection.is_usable:  # else it is lost already, and says so to who asks
            notice_death(transport.get_extra_info("socket"))
        return connection

    def give_back(self, connection: Connection) -> None:
        """It has brought an answer, and is free again."""
        connection.idle_since = self.loop.time()
        self.put_back(connection)

    def put_back(self, connection: Connection) -> None:
        """What ``take_idle`` gave was not used."""
        idle = self._idle.get(connection.address)
        if idle is None:
            idle = self._idle[connection.address] = deque()
        idle.append(connection)
        if self._sweep is None:
            self._sweep = self.loop.call_later(SWEEP_SECONDS, self._drop_old)

    def _drop_old(self) -> None:
        self._sweep = None
        oldest = self.loop.time() - IDLE_SECONDS
        for address, idle in tuple(self._idle.items()):
            while idle and (not idle[0].is_usable or idle[0].idle_since <= oldest):
                idle.popleft().abort()
            if not idle:
                del self._idle[address]
        if self._idle:
            self._sweep = self.loop.call_later(SWEEP_SECONDS, self._drop_old)


def render_request(
    path: str, address: Address, body: bytes, headers: Iterable[tuple[str, str]] = (), method: str = "POST"
) -> bytes:
    """A request with a JSON body, as bytes. Headers and path must be free of line breaks: none is a caller's."""
    more = "".join([f"{name}: {value}\r\n" for name, value in headers]).encode("latin-1")
    return b"%b%d\r\n%b\r\n%b" % (_render_start(path, address, method), len(body), more, body)


def render_question(path: str, address: Address, body: bytes, request_id: str) -> bytes:
    """The same of a question, with its id and nothing else."""
    start = _render_start(path, address, "POST")
    return b"%b%d\r\nx-request-id: %b\r\n\r\n%b" % (start, len(body), request_id.encode("ascii"), body)


@lru_cache(maxsize=1024)
def _render_start(path: str, address: Address, method: str) -> bytes:
    """All of a head up to the length."""
    host, port = address
    start = f"{method} {path} HTTP/1.1\r\nhost: {render_host(host)}:{port}\r\ncontent-type: application/json\r\n"
    return start.encode("latin-1") + b"content-length: "
