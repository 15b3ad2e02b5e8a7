"""Rounds of a WebSocket's dialogue that outlive their connection.

A round's messages are kept one behind the other, each behind its length, so that who comes back counts messages and
not bytes: of a message a reader has all or nothing. A connection has a name, and its n-th question the name ``…-n``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass

from redis.exceptions import RedisError

from inference_gateway.codecs.dialogue import Past
from inference_gateway.directory import ServiceEntry
from inference_gateway.http import run_until_disconnect
from inference_gateway.principals import Principal
from inference_gateway.resuming.framing import Dialect
from inference_gateway.resuming.resumable import State, Title, ending_of
from inference_gateway.resuming.streams import Streams, not_found, owner_of, unavailable
from inference_gateway.websocket import Answering, Put

_LENGTH_BYTES = 4


def pack(texts: Iterable[str]) -> bytes:
    """Messages as they are kept."""
    whole = [text.encode("utf-8", "surrogatepass") for text in texts]
    return b"".join(len(text).to_bytes(_LENGTH_BYTES, "big") + text for text in whole)


class Unpacking:
    """Messages out of what is kept, cut anywhere."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, piece: bytes) -> list[str]:
        held, texts, at = self._held + piece, [], 0
        while len(held) - at >= _LENGTH_BYTES:
            start = at + _LENGTH_BYTES
            end = start + int.from_bytes(held[at:start], "big")
            if len(held) < end:
                break
            texts.append(held[start:end].decode("utf-8", "surrogatepass"))
            at = end
        self._held = held[at:]
        return texts


@dataclass(frozen=True, slots=True)
class Rounds:
    """Those of one connection; a ``websocket.Keeper``."""

    streams: Streams
    service: ServiceEntry
    principal: Principal
    name: str
    read_past: Callable[[], Awaitable[Past]]

    @property
    def owner(self) -> str:
        return owner_of(self.principal, self.service.uid)

    @property
    def is_keeping(self) -> bool:
        return self.service.traits.policy.resume_seconds > 0

    def name_of(self, number: int) -> str:
        """What the connection's round of that number is called."""
        return f"{self.name}-{number}"

    async def run(self, generation: str, answering: Answering, tell: Put) -> None:
        """Let a round write by a ``Put``, and tell the connection what it writes until one of them ends.

        Raises ChatError for a round that was stopped from elsewhere.
        """
        one = self.streams.keep_apart(Title(generation, self.owner, Dialect.SOCKET), self.service)
        if one is None:
            await answering(tell)
            return

        async def put(texts: Iterable[str]) -> None:
            await one.send({"type": "http.response.body", "body": pack(texts), "more_body": True})

        async def answer() -> None:
            await one.send({"type": "http.response.start", "status": 200, "headers": []})
            await answering(put)
            await one.send({"type": "http.response.body", "body": b""})

        unpacking = Unpacking()
        with one.read_from(0) as reader:
            self.streams.start(one, run_until_disconnect(answer(), one.receive))
            while piece := await reader.read():
                await tell(unpacking.feed(piece))
        if one.state is not State.FINISHED:
            raise ending_of(one.state)

    async def resume(self, generation: str, offset: int) -> AsyncGenerator[list[str], None]:
        """The messages of a round behind the first ``offset``. Raises ChatError: 404, 410, 503, and for its ending."""
        reading = await self.streams.find(generation, self.owner, 0)
        if reading.title.dialect is not Dialect.SOCKET:
            raise not_found()
        unpacking, passed = Unpacking(), 0
        try:
            async with aclosing(reading.pieces()) as pieces:
                async for piece in pieces:
                    texts = unpacking.feed(piece)
                    if wanted := texts[max(0, offset - passed) :]:
                        yield wanted
                    passed += len(texts)
        except RedisError as error:
            raise unavailable() from error
        if reading.state is not State.FINISHED:
            raise ending_of(reading.state or State.INTERRUPTED)

    async def stop(self, generation: str) -> None:
        """End a round that is being resumed."""
        await self.streams.stop(generation, self.owner)
