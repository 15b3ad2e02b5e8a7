"""Questions that come whether or not those before are answered, as people's do: what overload looks like."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field

from bench.gateway.client import Connection, Target, connect_many
from bench.gateway.loads import hang_up

FIRST_CONNECTIONS = 64
#: A generator that is later than this measures itself.
LATE_SECONDS = 0.05
#: "Not now": too many of a caller's, EAS's full queue, no capacity.
REFUSALS = (429, 450, 503)


@dataclass(slots=True)
class Offered:
    """What became of the questions. Latencies count from when one was due, not from when it was sent."""

    seconds: float
    offered: int = 0
    sent_late: int = 0  # by the generator
    late: int = 0  # 200, after the deadline
    failed: int = 0  # anything but 200 and ``REFUSALS``; lost and refused connections; never answered
    good_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)


class OpenLoop:
    """One run of it. Connections are used again; who finds none idle opens one."""

    def __init__(self, target: Target, orders: str, deadline_seconds: float) -> None:
        self._target = target
        self._request = target.request(orders)
        self._deadline_seconds = deadline_seconds
        self._idle: list[Connection] = []
        self._everyone: list[Connection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self._is_done = asyncio.Event()

    async def offer(self, rate: float, seconds: float) -> Offered:
        """``rate`` questions a second on average at random instants (Poisson), the same ones in every run."""
        dice = random.Random(6)
        self._result = result = Offered(seconds)
        self._idle = await connect_many(self._target, FIRST_CONNECTIONS)
        self._everyone = list(self._idle)
        began = due = time.monotonic()
        while (due := due + dice.expovariate(rate)) < began + seconds:
            if (wait := due - time.monotonic()) > 0.001:
                await asyncio.sleep(wait)
            elif result.offered % 16 == 0:
                await asyncio.sleep(0)
            result.sent_late += time.monotonic() - due > LATE_SECONDS
            result.offered += 1
            self._send(due)
        if self._under_way:
            try:
                await asyncio.wait_for(self._is_done.wait(), self._deadline_seconds + 5)
            except TimeoutError:
                result.failed += self._under_way
        hang_up(self._everyone)
        return result

    def _send(self, due: float) -> None:
        self._under_way += 1
        self._is_done.clear()
        while self._idle and self._idle[-1].is_lost:
            self._idle.pop()
        if self._idle:
            self._ask(self._idle.pop(), due)
        else:
            task = asyncio.create_task(self._ask_on_new(due))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _ask_on_new(self, due: float) -> None:
        try:
            [connection] = await connect_many(self._target, 1)
        except (OSError, TimeoutError):
            self._result.failed += 1
            self._end_one()
            return
        self._everyone.append(connection)
        self._ask(connection, due)

    def _ask(self, connection: Connection, due: float) -> None:
        connection.ask(self._request, lambda asked: self._note(asked, due))

    def _note(self, connection: Connection, due: float) -> None:
        result, took = self._result, time.monotonic() - due
        if connection.answer.status in REFUSALS:
            result.refused_ms.append(took * 1000)
        elif connection.answer.status != 200 or not connection.answer.is_whole:
            result.failed += 1
        elif took > self._deadline_seconds:
            result.late += 1
        else:
            result.good_ms.append(took * 1000)
        if not connection.is_lost:
            self._idle.append(connection)
        self._end_one()

    def _end_one(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._is_done.set()
