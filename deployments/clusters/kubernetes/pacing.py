"""How often this process may ask the API server: a token bucket that an answer's Retry-After can close for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pacer:
    """``rate`` requests a second on average and ``burst`` of them at once, shared by a process's threads.

    ``clock`` and ``sleep`` are given by tests.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._tokens = float(burst)
        self._counted_at = clock()
        self._closed_until = 0.0

    def wait(self, most_seconds: float) -> bool:
        """Wait for a turn and take it. False, at once and without one, where that would take longer."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._counted_at) * self._rate)
            self._counted_at = now
            # Turns are given in advance, below zero, so that threads wait in the order they came and none starves.
            seconds = max((1.0 - self._tokens) / self._rate, self._closed_until - now, 0.0)
            if seconds > most_seconds:
                return False
            self._tokens -= 1.0
        if seconds > 0:
            self._sleep(seconds)
        return True

    def close_for(self, seconds: float) -> None:
        """Let nobody through for so long: the API server asked for it."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock() + seconds)
