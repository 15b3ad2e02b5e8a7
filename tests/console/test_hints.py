"""Hints on their way from one process to the pages of another, over the real bus."""

from __future__ import annotations

import asyncio
import contextlib

import redis
from channels.layers import get_channel_layer

from deployments.hints import GROUP

ROUNDS = 200


async def test_a_hint_reaches_a_page_though_another_closes_at_that_moment(valkey: redis.Redis) -> None:
    """A form's post closes the tab's own connection, and that is when it makes a hint for the others."""
    layer = get_channel_layer()
    assert layer is not None
    lost = 0
    for number in range(ROUNDS):
        leaving, staying = await layer.new_channel(), await layer.new_channel()
        closes, stays = asyncio.create_task(layer.receive(leaving)), asyncio.create_task(layer.receive(staying))
        await layer.group_add(GROUP, leaving)
        await layer.group_add(GROUP, staying)
        sending = asyncio.create_task(layer.group_send(GROUP, {"type": "hint", "number": number}))
        await asyncio.sleep(number % 20 / 10_000)  # up to 2 ms: before, while and after it arrives
        closes.cancel()
        await sending
        with contextlib.suppress(asyncio.CancelledError):
            await closes
        try:
            assert (await asyncio.wait_for(stays, 2))["number"] == number
        except TimeoutError:
            lost += 1
        await layer.group_discard(GROUP, leaving)
        await layer.group_discard(GROUP, staying)
    await layer.flush()
    assert lost == 0
