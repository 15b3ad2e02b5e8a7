"""Hands the services that wait for a look to threads, for as long as there are any.

A call (``tasks.look_where_asked``) makes one of a worker's threads do so. While one does, a key in Valkey says so, and
nobody is called. Who leaves removes the key first and looks a last time then; who asks writes the row first and reads
the key then: so one of the two sees the other. The key expires, for who was killed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from django.core.cache import cache
from django.db import close_old_connections

from deployments.asking import find_waiting

logger = logging.getLogger(__name__)

PRESENT_KEY = "slipway:looks-dispatched"
PRESENT_SECONDS = 3
PRESENT_AGAIN_SECONDS = 1.0
#: After so long the thread goes back to the broker, where another worker may have its hands free.
TURN_SECONDS = 10.0
#: It stays so long after the last service that waited.
LINGER_SECONDS = 1.0
POLL_SECONDS = 0.05


def is_anybody_there() -> bool:
    """Whether what waits is seen without a call. Raises where Valkey does not answer."""
    return cache.get(PRESENT_KEY) is not None


class Dispatcher:
    """A worker's. ``look`` is called in threads of its own, with a service's id; it does not raise."""

    def __init__(self, look: Callable[[int], None], threads: int) -> None:
        self._look = look
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="look")
        self._running: dict[int, Future[None]] = {}
        self._turn = threading.Lock()
        self._is_ending = threading.Event()
        self._is_serving = False

    @property
    def has_free_hands(self) -> bool:
        """Whether what waits now is seen by a thread of this worker, and taken."""
        return self._is_serving and len(self._running) < self._threads

    def end(self) -> None:
        """The worker ends: what waits is another's."""
        self._is_ending.set()

    def take_turn(self) -> bool:
        """Returns whether somebody has to be called to go on. At once where another thread of this worker does it."""
        if not self._turn.acquire(blocking=False):
            return False
        try:
            if self._serve():
                return True
            cache.delete(PRESENT_KEY)
            return bool(find_waiting(1))
        finally:
            self._turn.release()

    def _serve(self) -> bool:
        """False once nobody has waited for a while, True where the turn is over before."""
        began = served_at = time.monotonic()
        told_at = began - PRESENT_AGAIN_SECONDS
        self._is_serving = True
        try:
            while (now := time.monotonic()) - began < TURN_SECONDS and not self._is_ending.is_set():
                if now - told_at >= PRESENT_AGAIN_SECONDS:
                    cache.set(PRESENT_KEY, 1, timeout=PRESENT_SECONDS)
                    told_at = now
                if self._hand_on():
                    served_at = now
                    wait(self._running.values(), timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
                elif now - served_at > LINGER_SECONDS:
                    return False
                else:
                    self._is_ending.wait(POLL_SECONDS)
            return True
        finally:
            self._is_serving = False

    def _hand_on(self) -> bool:
        """What waits, to who has nothing to do. Returns whether anybody looks at anything."""
        self._running = {pk: look for pk, look in self._running.items() if not look.done()}
        free = self._threads - len(self._running)
        # Those handed on may not have been claimed yet.
        found = find_waiting(self._threads + 1) if free else []
        for pk in [pk for pk in found if pk not in self._running][:free]:
            self._running[pk] = self._pool.submit(self._look_at, pk)
        return bool(self._running)

    def _look_at(self, service_id: int) -> None:
        close_old_connections()
        try:
            self._look(service_id)
        except Exception:  # an edge: nobody reads what this thread raises
            logger.exception("service %s could not be looked at", service_id)
        finally:
            close_old_connections()
