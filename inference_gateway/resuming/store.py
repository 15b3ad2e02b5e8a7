"""Generations in Valkey: what other processes read, and what is left of a process that was killed.

Of each there are a stream of its bytes, whose entries are named by the offset at their end (so an entry that is sent
twice is there once), and a hash with its title and state. Each process says every second that it lives, and
has an inbox for what readers on other processes want. Nothing here waits for Valkey on a request's way.
"""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import redis.asyncio
from redis.exceptions import ResponseError

from inference_gateway.resuming.framing import Dialect
from inference_gateway.resuming.resumable import Resumable, State, Title

#: How long the text lies there after the last byte.
RETAIN_SECONDS = 600
#: A process that has not said for so long that it lives does not.
ALIVE_SECONDS = 3
ALIVE_EVERY_SECONDS = 1.0
INBOX_SECONDS = 10
MOST_ASKED_AT_ONCE = 1000
MOST_ENTRIES = 64
TIMEOUT_SECONDS = 2.0
#: Of all readers of one process, and how long one waits for its turn.
MOST_CONNECTIONS = 16
MOST_WAIT_SECONDS = 10
#: Headers of an answer that go with its text.
KEPT_HEADERS = frozenset(
    (b"content-type", b"cache-control", b"x-accel-buffering", b"x-slipway-generation", b"x-slipway-conversation")
)
READ, STOP = b"read", b"stop"


@dataclass(frozen=True, slots=True)
class Stored:
    """One look at a generation from an offset on. ``gap``: what is there begins behind that offset."""

    title: Title
    state: State
    process: str
    headers: list[tuple[bytes, bytes]]
    data: bytes
    end: int
    has_gap: bool


class Store:
    """The connection of one process. Every method raises redis.RedisError while Valkey is away."""

    def __init__(self, url: str, retain_seconds: int = RETAIN_SECONDS) -> None:
        self.process = uuid.uuid4().hex
        self._retain_seconds = retain_seconds
        self._alive_at = -math.inf
        options: dict[str, Any] = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
        #: Readers wait for each other, and never does the one who writes for them.
        self._writer = redis.asyncio.Redis.from_url(url, **options)
        pool: Any = redis.asyncio.BlockingConnectionPool
        self._redis = redis.asyncio.Redis.from_pool(
            pool.from_url(url, max_connections=MOST_CONNECTIONS, timeout=MOST_WAIT_SECONDS, **options)
        )

    async def close(self) -> None:
        await self._writer.aclose()
        await self._redis.aclose()

    async def write(self, resumables: Iterable[Resumable]) -> list[tuple[bytes, str]]:
        """Store what is new of them; what readers elsewhere want: READ or STOP, and the generation's id."""
        pipe = self._writer.pipeline(transaction=False)
        now = time.monotonic()
        if now - self._alive_at >= ALIVE_EVERY_SECONDS:
            await self._writer.set(_alive_key(self.process), 1, ex=ALIVE_SECONDS)
            self._alive_at = now
        pipe.lpop(_inbox_key(self.process), MOST_ASKED_AT_ONCE)
        written = [self._add(pipe, one) for one in resumables]
        asked, *results = await pipe.execute(raise_on_error=False)
        position = 0
        for one, end, state, commands in written:
            self._note(one, end, state, results[position : position + commands])
            position += commands
        if isinstance(asked, Exception):
            raise asked
        return [(kind, key.decode()) for kind, _, key in (bytes(one).partition(b" ") for one in asked or ())]

    def _add(self, pipe: Any, one: Resumable) -> tuple[Resumable, int, State, int]:
        key, end, state, commands = one.title.id, one.end, one.state, 0
        is_first = not one.stored
        start = max(one.stored, one.base)
        if end > start:
            data = one.read_window(start, end - start)
            pipe.xadd(_data_key(key), {"b": data}, id=f"{end}-0", nomkstream=not is_first)
            commands += 1
            if one.base:
                pipe.xtrim(_data_key(key), minid=f"{one.base}-0", approximate=True)
                commands += 1
        if is_first or (one.is_over and not one.is_told):
            pipe.hset(_title_key(key), mapping=self._render(one, state))
            # While it runs, longer than any answer takes between two bytes.
            keep = self._retain_seconds if state is not State.RUNNING else 24 * 3600
            pipe.expire(_title_key(key), keep)
            pipe.expire(_data_key(key), keep)
            commands += 3
        return one, end, state, commands

    def _note(self, one: Resumable, end: int, state: State, results: list[Any]) -> None:
        for result in results:
            is_there = isinstance(result, ResponseError) and "equal or smaller" in str(result)
            if isinstance(result, Exception) and not is_there:
                raise result
        if end > one.stored and results and results[0] is None:
            one.stored = 0  # Valkey has lost it: all that is here goes there again
            self._alive_at = -math.inf  # and that it lives
            return
        one.stored = end
        one.is_told = state is not State.RUNNING

    def _render(self, one: Resumable, state: State) -> dict[str, str | bytes]:
        given = one.head["headers"] if one.head is not None else ()
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in given if name in KEPT_HEADERS]
        return {
            "owner": one.title.owner,
            "dialect": one.title.dialect.value,
            "process": self.process,
            "state": state.value,
            "headers": json.dumps(headers),
        }

    async def look(self, generation: str, offset: int) -> Stored | None:
        """What lies there from ``offset`` on, or the next of it."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.hgetall(_title_key(generation))
        pipe.xrange(_data_key(generation), min=f"({offset}-0", count=MOST_ENTRIES)
        pipe.xrevrange(_data_key(generation), count=1)
        fields, entries, last = await pipe.execute()
        if b"owner" not in fields:
            return None
        end = _offset_of(last[0]) if last else 0
        pieces: list[bytes] = []
        position, has_gap = offset, False
        for entry in entries:
            data = entry[1][b"b"]
            start = _offset_of(entry) - len(data)
            has_gap = has_gap or start > position
            pieces.append(data[max(0, position - start) :])
            position = _offset_of(entry)
        named = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in json.loads(fields[b"headers"])]
        return Stored(
            Title(generation, fields[b"owner"].decode(), Dialect(fields[b"dialect"].decode())),
            State(fields[b"state"].decode()),
            fields[b"process"].decode(),
            named,
            b"".join(pieces),
            end,
            has_gap,
        )

    async def read_tail(self, generation: str) -> bytes:
        """The last of the text."""
        entries: Any = await self._redis.xrevrange(_data_key(generation), count=4)
        return b"".join(entry[1][b"b"] for entry in reversed(entries))

    async def is_alive(self, process: str) -> bool:
        return bool(await self._redis.exists(_alive_key(process)))

    async def ask(self, process: str, kind: bytes, generation: str) -> None:
        """Tell another process that somebody reads a generation of it here, or wants it stopped."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.rpush(_inbox_key(process), kind + b" " + generation.encode())
        pipe.expire(_inbox_key(process), INBOX_SECONDS)
        await pipe.execute()

    async def drop(self, generation: str) -> None:
        """Forget its text."""
        await self._redis.delete(_title_key(generation), _data_key(generation))


def _offset_of(entry: Any) -> int:
    return int(entry[0].partition(b"-")[0])


def _data_key(generation: str) -> str:
    return f"slipway:generation:{generation}:data"


def _title_key(generation: str) -> str:
    return f"slipway:generation:{generation}:title"


def _alive_key(process: str) -> str:
    return f"slipway:generation:process:{process}:alive"


def _inbox_key(process: str) -> str:
    return f"slipway:generation:process:{process}:inbox"
