"""Waiting in tests: poll until it is so, or fail with what was seen last.

Timeouts are what a machine with nothing else to do must keep; ``stretch`` says how much more a busy one may take, so
that a limit that people would notice stays tight and a neighbour's work fails no test. Times are measured in ``bench``.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")

MOST = 6.0
#: Where checks run by themselves, neighbours take time that this machine's load does not show.
LEAST = 2.0 if os.environ.get("CI") else 1.0


def stretch() -> float:
    """How many times longer than on an idle machine things may take now: the processes that want each core."""
    return min(MOST, max(LEAST, os.getloadavg()[0] / (os.cpu_count() or 1)))


def noticed_ms(milliseconds: float) -> float:
    """A limit of what people would notice, for Playwright, as this machine can keep it now."""
    return milliseconds * stretch()


def wait_until(probe: Callable[[], Found | None], what: str, timeout_seconds: float = 30.0) -> Found:
    """Call ``probe`` until it returns something true, and return that."""
    began = time.monotonic()
    while True:
        found = probe()
        if found:
            return found
        if (waited := time.monotonic() - began) > timeout_seconds * stretch():
            raise AssertionError(f"after {waited:.0f} s still not: {what}; seen last: {found!r}")
        time.sleep(0.02)


async def wait_until_async(
    probe: Callable[[], Awaitable[Found | None]], what: str, timeout_seconds: float = 30.0
) -> Found:
    """``wait_until`` for coroutines."""
    began = time.monotonic()
    while True:
        found = await probe()
        if found:
            return found
        if (waited := time.monotonic() - began) > timeout_seconds * stretch():
            raise AssertionError(f"after {waited:.0f} s still not: {what}; seen last: {found!r}")
        await asyncio.sleep(0.02)
