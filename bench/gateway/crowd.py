"""Many callers at once, of whom every answer is remembered: what a fault cost can be told one by one.

Some hold streams, one after the other on a connection of their own; others ask short questions at random instants.
Every question has an id of its own, which is also that of its row of usage.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from bench.gateway.client import Connection, Target, connect, connect_many
from bench.gateway.loads import hang_up, is_good_stream

#: Stands in a request where its id goes.
SLOT = "0" * 32
FIRST_CONNECTIONS = 64
#: Who got an error asks again after this, as people's programs do.
PAUSE_SECONDS = 0.2
SHORT_TOKENS = 16
_SHORT_TEXT = "".join(f"w{number} " for number in range(SHORT_TOKENS)).encode()


@dataclass(frozen=True, slots=True)
class Size:
    """How many ask what. ``rate`` is of short questions, a second.

    ``most_waiting`` bounds how many short questions are under way: the rate is then what a slow machine can keep.
    0: they come at the rate whatever happens. Before and after a fault so much is answered as ``calm_seconds`` ask for.
    """

    streams: int = 200
    stream_tokens: int = 40
    gap_ms: int = 80
    rate: float = 500.0
    most_waiting: int = 0
    calm_seconds: float = 5.0


@dataclass(slots=True)
class Asked:
    """One question, and what came of it. ``got`` is the body of an answer that was not whole."""

    id: str
    target: Target
    is_stream: bool
    tokens: int
    connection: Connection | None  # None: none could be opened
    asked_at: float
    ended_at: float | None = None
    status: int = 0
    is_whole: bool = False
    generation: str | None = None
    got: bytes = b""

    def describe(self) -> str:
        """For who reads why a run failed."""
        kind = "stream" if self.is_stream else "short"
        if self.ended_at is None:
            return f"{kind}: never ended"
        took = self.ended_at - self.asked_at
        return f"{kind}: status {self.status} after {took:.2f} s, {len(self.got)} bytes, the last {self.got[-160:]!r}"


class Crowd:
    """One run: ``start``, then ``stop``, in one event loop. ``asked`` has every question by its id."""

    def __init__(self, size: Size, streams: Sequence[Target], short: Target) -> None:
        self.size = size
        self.asked: dict[str, Asked] = {}
        self.connections: set[Connection] = set()
        self.short_whole = 0
        self.streams_whole = 0
        self._run = uuid.uuid4().hex[:16]
        orders = f"tokens={size.stream_tokens} gap={size.gap_ms}"
        self._streams = [(target, _split(target, orders, is_stream=True)) for target in streams]
        self._short = (short, _split(short, f"tokens={SHORT_TOKENS}", is_stream=False))
        self._idle: list[Connection] = []
        self._short_waiting = 0
        self._opening: set[asyncio.Task[None]] = set()
        self._is_over = False
        self._has_ended = asyncio.Event()

    @property
    def under_way(self) -> list[Asked]:
        return [one for one in self.asked.values() if one.ended_at is None]

    @property
    def is_opening(self) -> bool:
        """Whether a connection is being opened at this moment."""
        return bool(self._opening)

    async def start(self) -> None:
        """Open the connections and ask, spread over about the time that an answer takes."""
        self._idle = await connect_many(self._short[0], FIRST_CONNECTIONS)
        opened = await connect_many(self._short[0], self.size.streams)
        self.connections |= {*self._idle, *opened}
        self.began_at = time.monotonic()
        self._pacing = asyncio.create_task(self._pace())
        step = self.size.stream_tokens * self.size.gap_ms / 1000 / max(1, self.size.streams)
        for number, connection in enumerate(opened):
            self._ask_stream(number, connection)
            await asyncio.sleep(step)

    async def stop(self, seconds: float = 60.0) -> None:
        """Ask nothing more; whoever has no whole answer in that time gets none."""
        self._is_over = True
        await self._pacing
        self.ended_at = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.under_way or self._opening:
                    self._has_ended.clear()
                    await self._has_ended.wait()
        hang_up(list(self.connections))

    async def _pace(self) -> None:
        dice = random.Random(6)
        due = time.monotonic()
        while not self._is_over:
            due += dice.expovariate(self.size.rate)
            if (wait := due - time.monotonic()) > 0.001:
                await asyncio.sleep(wait)
            elif len(self.asked) % 16 == 0:
                await asyncio.sleep(0)
            while self.size.most_waiting and self._short_waiting >= self.size.most_waiting:
                await asyncio.sleep(0.005)
                due = time.monotonic()
            self._short_waiting += 1
            while self._idle and self._idle[-1].is_lost:
                self.connections.discard(self._idle.pop())
            if self._idle:
                self._ask_short(self._idle.pop())
            else:
                self._open(None)

    def _open(self, stream: int | None) -> None:
        """Ask on a new connection: the next question of a stream's place, or a short one."""
        task = asyncio.create_task(self._ask_on_new(stream))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _ask_on_new(self, stream: int | None) -> None:
        try:
            connection = await connect(self._short[0])
        except (OSError, TimeoutError):
            target = self._short[0] if stream is None else self._streams[stream % len(self._streams)][0]
            asked = self._note_asked(target, None, is_stream=stream is not None)
            asked.ended_at = time.monotonic()
            self._go_on(asked, stream)
            return
        self.connections.add(connection)
        if stream is None:
            self._ask_short(connection)
        else:
            self._ask_stream(stream, connection)

    def _note_asked(self, target: Target, connection: Connection | None, *, is_stream: bool) -> Asked:
        number = f"{self._run}{len(self.asked):016x}"
        tokens = self.size.stream_tokens if is_stream else SHORT_TOKENS
        asked = Asked(number, target, is_stream, tokens, connection, time.monotonic())
        self.asked[number] = asked
        return asked

    def _ask_short(self, connection: Connection) -> None:
        target, (head, tail) = self._short
        asked = self._note_asked(target, connection, is_stream=False)
        connection.ask(head + asked.id.encode() + tail, lambda ended: self._end(asked, ended, None))

    def _ask_stream(self, place: int, connection: Connection) -> None:
        target, (head, tail) = self._streams[place % len(self._streams)]
        asked = self._note_asked(target, connection, is_stream=True)
        connection.ask(head + asked.id.encode() + tail, lambda ended: self._end(asked, ended, place))

    def _end(self, asked: Asked, connection: Connection, stream: int | None) -> None:
        answer = connection.answer
        asked.ended_at = time.monotonic()
        asked.status = answer.status
        if asked.is_stream:
            asked.is_whole = is_good_stream(answer, asked.tokens)
            asked.generation = answer.find_header(b"x-slipway-generation")
        else:
            asked.is_whole = answer.status == 200 and answer.is_whole and _SHORT_TEXT in answer.raw
        if not asked.is_whole:
            asked.got = answer.body_so_far
        if connection.is_lost:
            self.connections.discard(connection)
        self._go_on(asked, stream)

    def _go_on(self, asked: Asked, stream: int | None) -> None:
        self._has_ended.set()
        connection = asked.connection
        self.streams_whole += asked.is_whole and asked.is_stream
        self.short_whole += asked.is_whole and not asked.is_stream
        if stream is None:
            self._short_waiting -= 1
            if is_usable(connection):
                self._idle.append(connection)
        elif not self._is_over:
            loop = asyncio.get_running_loop()
            loop.call_later(0.0 if asked.is_whole else PAUSE_SECONDS, self._ask_again, stream, connection)

    def _ask_again(self, stream: int, connection: Connection | None) -> None:
        if self._is_over:
            return
        if is_usable(connection):
            self._ask_stream(stream, connection)
        else:
            self._open(stream)


def is_usable(connection: Connection | None) -> TypeGuard[Connection]:
    """Whether it takes another question."""
    return connection is not None and not connection.is_lost and not connection.answer.is_last


def _split(target: Target, orders: str, *, is_stream: bool) -> tuple[bytes, bytes]:
    """A request's bytes before and behind its id."""
    with_slot = dataclasses.replace(target, headers=target.headers | {"X-Request-Id": SLOT})
    head, _, tail = with_slot.request(orders, is_stream=is_stream).partition(SLOT.encode())
    return head, tail
