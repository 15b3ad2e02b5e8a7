"""The connections to Valkey that Django's cache uses."""

from __future__ import annotations

import threading
from typing import Any

import redis


class SharedPool(redis.ConnectionPool):
    """One a process. Django makes a cache, and a pool with it, for each request: a connection a request."""

    @classmethod
    def from_url(cls, url: str, **options: Any) -> SharedPool:
        key = (url, *sorted((name, repr(value)) for name, value in options.items()))
        with _lock:
            if key not in _pools:
                _pools[key] = super().from_url(url, **options)
            return _pools[key]


_lock = threading.Lock()
_pools: dict[tuple[object, ...], SharedPool] = {}
