"""Hints from the bus, for what keeps looks at the database: they say which of them count no more.

Without the bus everything is as right, only a little slower: no look is used for longer than half a second.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

from channels.layers import get_channel_layer

from deployments.hints import GROUP

logger = logging.getLogger(__name__)

#: Redis forgets a group's member after a day.
REJOIN_SECONDS = 3600.0
BUS_RETRY_SECONDS = 1.0


class Doubting(Protocol):
    """Keeps looks at the database."""

    def doubt(self, topic: str) -> None:
        """A hint came: looks from before now at what it names no longer count. Other topics are ignored."""

    def doubt_all(self) -> None:
        """Hints may have been missed."""


async def follow_hints(*listeners: Doubting) -> None:
    """Pass hints on until cancelled."""
    has_failed = False
    while True:
        try:
            await _listen(listeners)
        except Exception as error:  # an edge: whatever the bus's client raises, the next try may work
            if not has_failed:
                logger.warning("Hints are not heard, looking at the database instead: %s", error)
            has_failed = True
            await asyncio.sleep(BUS_RETRY_SECONDS)
        else:
            has_failed = False


async def _listen(listeners: tuple[Doubting, ...]) -> None:
    """Join the group and pass hints on; returns when it is time to join again."""
    layer = get_channel_layer()
    if layer is None:
        raise RuntimeError("no channel layer is configured")
    channel = await layer.new_channel("gateway")
    await layer.group_add(GROUP, channel)
    for listener in listeners:
        listener.doubt_all()
    rejoin_at = time.monotonic() + REJOIN_SECONDS
    try:
        while (left := rejoin_at - time.monotonic()) > 0:
            # Not wait_for, which in Python 3.11 loses a cancellation that comes together with a message.
            async with asyncio.timeout(left):
                message = await layer.receive(channel)
            for listener in listeners:
                listener.doubt(str(message.get("topic", "")))
    except TimeoutError:
        return
    finally:
        await layer.group_discard(GROUP, channel)
