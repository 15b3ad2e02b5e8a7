"""Waiting in tests: poll until it is so, or fail with what was seen last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait_until(probe: Callable[[], Found | None], what: str, timeout_seconds: float = 30.0) -> Found:
    """Call ``probe`` until it returns something true, and return that."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout_seconds:g} s still not: {what}; seen last: {found!r}")
        time.sleep(0.02)


async def wait_until_async(
    probe: Callable[[], Awaitable[Found | None]], what: str, timeout_seconds: float = 30.0
) -> Found:
    """``wait_until`` for coroutines."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        found = await probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout_seconds:g} s still not: {what}; seen last: {found!r}")
        await asyncio.sleep(0.02)
