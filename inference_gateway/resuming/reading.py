"""One reader's way through a generation from an offset on: one of this process, or one that lies in the store."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from typing import Protocol

from inference_gateway.resuming.resumable import Resumable, State, Title
from inference_gateway.resuming.store import KEPT_HEADERS, READ, Store, Stored

LOOK_EVERY_SECONDS = 0.1
#: How often a reader tells the process that generates, and how long that counts there.
TELL_EVERY_SECONDS = 1.0
TOLD_SECONDS = 2.5


class Reading(Protocol):
    """Read ``pieces`` to their end; ``state`` then says how that came."""

    title: Title
    #: None while there is more, and where the rest is not there any more.
    state: State | None

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Of the answer, those that go with its text."""

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """The bytes as they come. Raises redis.RedisError."""

    async def read_tail(self) -> bytes:
        """The last bytes of the answer, wherever the reader began. Raises redis.RedisError."""


class HereReading:
    """Of a generation of this process; being it counts as wanting the answer."""

    def __init__(self, one: Resumable, offset: int) -> None:
        one.check_offset(offset)
        self.title = one.title
        self.state: State | None = None
        self._one = one
        self._offset = offset

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        head = self._one.head
        return [] if head is None else [header for header in head["headers"] if header[0] in KEPT_HEADERS]

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        with self._one.read_from(self._offset) as reader:
            while piece := await reader.read():
                yield piece
        self.state = self._one.state

    async def read_tail(self) -> bytes:
        return self._one.tail


class ElsewhereReading:
    """Of what another process stores, or stored before it ended."""

    def __init__(self, store: Store, stored: Stored, offset: int) -> None:
        self.title = stored.title
        self.state: State | None = None
        self.headers = stored.headers
        self._store = store
        self._stored = stored
        self._offset = offset

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        stored, told_at, is_dead = self._stored, -math.inf, False
        while not stored.has_gap:
            if stored.data:
                yield stored.data
                self._offset += len(stored.data)
            elif stored.state is not State.RUNNING:
                self.state = stored.state
                return
            elif is_dead:
                self.state = State.INTERRUPTED
                return
            if stored.state is State.RUNNING and time.monotonic() - told_at >= TELL_EVERY_SECONDS:
                told_at = time.monotonic()
                # Of one that does not live, the look after this shows all that it wrote.
                is_dead = not await self._store.is_alive(stored.process)
                await self._store.ask(stored.process, READ, self.title.id)
            if not stored.data and not is_dead:
                await asyncio.sleep(LOOK_EVERY_SECONDS)
            again = await self._store.look(self.title.id, self._offset)
            if again is None:
                return
            stored = again

    async def read_tail(self) -> bytes:
        return await self._store.read_tail(self.title.id)
