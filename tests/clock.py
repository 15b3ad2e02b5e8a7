"""A time that stands until a test sets it."""

from __future__ import annotations


class Clock:
    """Seconds, as ``time.monotonic`` gives them."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now
