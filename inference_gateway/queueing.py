"""Room on instances, and the line before it: EAS's queue (eas.md §2.4: 450, ``metadata.rpc.max_queue_size``).

A document that says nothing of it sets no bound: engines of language models batch what comes. One that says
``max_queue_size`` or ``worker_threads`` bounds each instance to ``worker_threads`` (5) requests at work and
``max_queue_size`` (64) more; what comes beyond is refused with 450. Where ``worker_threads`` is said, the more wait
here, first come first served, until an instance has a thread for them; else they wait in the engine.

All of it is counted in one process, as the router's other counts are.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass

from deployments.spec.document import Rpc
from deployments.words import say
from inference_gateway.chat import ChatError

#: How often who waits first looks again by itself: an instance that has become ready tells nobody.
LOOK_AGAIN_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class QueueBound:
    """What one instance takes. ``waiting`` is 0 where requests wait in the engine."""

    at_once: int
    waiting: int


def read_bound(rpc: Rpc) -> QueueBound | None:
    """None where the document sets none."""
    given = rpc.model_fields_set
    if "worker_threads" in given:
        return QueueBound(rpc.worker_threads, rpc.max_queue_size)
    return QueueBound(rpc.worker_threads + rpc.max_queue_size, 0) if "max_queue_size" in given else None


class Line:
    """Those who wait for one service, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Event] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self) -> asyncio.Event:
        """Stand at the end. Whoever joins leaves."""
        place = asyncio.Event()
        self._waiting.append(place)
        return place

    def leave(self, place: asyncio.Event) -> None:
        self._waiting.remove(place)
        self.call()

    def is_first(self, place: asyncio.Event | None) -> bool:
        """Whether nobody is before; None stands for one who has not joined."""
        return not self._waiting or self._waiting[0] is place

    def call(self) -> None:
        """There may be room: whoever is first looks."""
        if self._waiting:
            self._waiting[0].set()

    async def wait(self, place: asyncio.Event) -> None:
        """Until called, or for a moment."""
        place.clear()
        try:
            async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                await place.wait()
        except TimeoutError:
            return


class Rates:
    """Requests a second over each service: a bucket that holds one second's worth."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, uid: str, per_second: int) -> bool:
        """Whether one more request is within the rate; if so it is counted."""
        now = time.monotonic()
        left, at = self._buckets.get(uid, (float(per_second), now))
        left = min(float(per_second), left + (now - at) * per_second)
        is_within = left >= 1
        self._buckets[uid] = (left - is_within, now)
        return is_within


def queue_full(name: str) -> ChatError:
    """EAS's own status for it; a client may ask elsewhere."""
    message = say("The queue of %(name)s is full (metadata.rpc.max_queue_size). Try again in a moment.", name=name)
    return ChatError(450, "queue_full", message)


def rate_exceeded(name: str, per_second: int) -> ChatError:
    message = say(
        "%(name)s takes %(limit)s requests a second, its rate limit. Try again in a moment.",
        name=name,
        limit=per_second,
    )
    return ChatError(429, "too_many_requests", message)
