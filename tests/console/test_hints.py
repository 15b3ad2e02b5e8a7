"""Hints on their way from one process to the pages of another, over the real bus."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import redis
from channels.layers import get_channel_layer
from django.conf import settings

from deployments.hints import GROUP

pytestmark = pytest.mark.backends

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


def drop_listeners(valkey: redis.Redis) -> int:
    """Cut the connections of all that listen to this Slipway's bus; how many there were."""
    clients = [one for one in valkey.client_list(_type="pubsub") if one["db"] == str(settings.SLIPWAY.redis_database)]
    for one in clients:
        valkey.client_kill_filter(_id=one["id"])
    return len(clients)


async def test_hints_come_again_once_a_lost_connection_is_back(valkey: redis.Redis) -> None:
    layer = get_channel_layer()
    assert layer is not None
    page = await layer.new_channel()
    await layer.group_add(GROUP, page)

    async def hear(number: int) -> None:
        async with asyncio.timeout(20):
            told = None
            while told != number:  # one that is sent while nobody listens is lost
                await layer.group_send(GROUP, {"type": "hint", "number": number})
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        told = (await layer.receive(page))["number"]

    await hear(1)
    assert await asyncio.to_thread(drop_listeners, valkey) >= 1
    await hear(2)
    await layer.flush()
