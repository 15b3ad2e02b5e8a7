"""How often somebody may try a password: a few times a minute, counted before the password is looked at.

On the sign-in page and over HTTP Basic alike. A right password takes its own try back, so that many people and
programs behind one address do not lock each other out.

The counters live in the cache under the minute they belong to, so they need no cleaning up. Without the cache
nobody is throttled: a broken Valkey must not lock the operator out.
"""

from __future__ import annotations

import hashlib
import logging
import time

from django.core.cache import cache
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)
WINDOW_SECONDS = 60
TRIES_A_NAME_AND_ADDRESS = 5
TRIES_AN_ADDRESS = 30
TRIES_A_NAME = 60


def claim_try(name: str, address: str) -> int:
    """Count one try. Returns 0, or the seconds to wait when there were too many in this minute."""
    now = time.time()
    window = int(now // WINDOW_SECONDS)
    limits = {
        f"{name.lower()}\0{address}": TRIES_A_NAME_AND_ADDRESS,
        f"\0{address}": TRIES_AN_ADDRESS,
        f"{name.lower()}\0": TRIES_A_NAME,
    }
    try:
        too_many = [count(key, window) > limit for key, limit in limits.items()]
    except (OSError, RedisError) as error:
        logger.warning("sign-in is not throttled: %s", error)
        return 0
    return int((window + 1) * WINDOW_SECONDS - now) + 1 if any(too_many) else 0


def forget_tries(name: str, address: str) -> None:
    """After a right password: this pair's tries are counted from zero, and this one counts for nobody."""
    window = int(time.time() // WINDOW_SECONDS)
    try:
        cache.delete(cache_key(f"{name.lower()}\0{address}", window))
        for key in (f"\0{address}", f"{name.lower()}\0"):
            cache.decr(cache_key(key, window))
    except ValueError:
        return  # the minute has turned, and its counters with it
    except (OSError, RedisError) as error:
        logger.warning("sign-in tries were not forgotten: %s", error)


def count(key: str, window: int) -> int:
    name = cache_key(key, window)
    cache.add(name, 0, timeout=2 * WINDOW_SECONDS)
    return cache.incr(name)


def cache_key(key: str, window: int) -> str:
    return f"slipway:sign-in:{window}:{hashlib.sha256(key.encode()).hexdigest()}"
