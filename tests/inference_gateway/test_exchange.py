"""What a server process holds of its callers' limits, as it is found again."""

from __future__ import annotations

import pytest
import redis
from django.conf import settings

from inference_gateway.metering.exchange import Exchange
from inference_gateway.principals import Limits, Subject
from tests.inference_gateway.test_limits import KEY
from tests.waiting import wait_until_async

pytestmark = pytest.mark.backends


async def test_the_same_subjects_have_one_advance_until_it_is_forgotten(valkey: redis.Redis) -> None:
    exchange = Exchange(settings.SLIPWAY_REDIS_URL)
    some, same = (Subject(KEY, Limits(100)),), (Subject(KEY, Limits(100)),)
    changed, other = (Subject(KEY, Limits(50)),), (Subject("key:2", Limits(100)),)
    advance = exchange.find_advance(some)
    for subjects in (some, same, changed, some):
        assert exchange.find_advance(subjects) is advance
        assert advance.subjects is subjects
    assert exchange.find_advance(other) is not advance

    async def is_forgotten() -> bool:
        return exchange.find_advance(some) is not advance

    exchange.send_now()
    await wait_until_async(is_forgotten, "what is told and free is forgotten", 10)
    assert exchange.find_advance(same) is exchange.find_advance(some)
    await exchange.close()
