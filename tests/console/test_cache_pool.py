"""The cache's connections to Valkey are made once."""

from __future__ import annotations

import threading

import pytest
import redis
from django.core.cache import cache

pytestmark = pytest.mark.backends


def test_threads_take_over_each_other_s_connections(valkey: redis.Redis) -> None:
    cache.set("known", 1)
    before = int(valkey.info()["total_connections_received"])
    found: list[object] = []
    for _ in range(10):
        thread = threading.Thread(target=lambda: found.append(cache.get("known")))
        thread.start()
        thread.join()
    assert found == [1] * 10
    assert int(valkey.info()["total_connections_received"]) - before <= 1
