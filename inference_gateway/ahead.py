"""The text of the web chat's answers in Valkey, a tenth of a second old at most; rows are saved more seldom.

Whoever takes a turn for lost puts the text that lies here into its row. Without Valkey the row's own text counts.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import redis
import redis.asyncio
from redis.exceptions import RedisError

from inference_gateway.history import History, TurnRecorder

logger = logging.getLogger(__name__)

WRITE_EVERY_SECONDS = 0.1
RETRY_SECONDS = 1.0
#: How long a text lies there after its last piece: a server that was killed may be away for a while.
RETAIN_SECONDS = 3600
TIMEOUT_SECONDS = 2.0


class Ahead:
    """One for each process; run ``keep`` beside the requests."""

    def __init__(self, history: History, url: str) -> None:
        self._history = history
        history.find_texts = self.find_texts
        options: dict[str, Any] = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
        self._writing = redis.asyncio.Redis.from_url(url, **options)
        self._reading = redis.Redis.from_url(url, **options)
        #: Characters and bytes of each turn's text that lie there, by its generation.
        self._written: dict[uuid.UUID, tuple[int, int]] = {}

    async def keep(self) -> None:
        """Until cancelled: store what is new of the answers under way."""
        try:
            while True:
                await self._history.has_ahead.wait()
                await asyncio.sleep(WRITE_EVERY_SECONDS)
                recorders = [one for one in self._history.under_way if one.is_ahead]
                if not recorders:
                    self._written.clear()
                    self._history.has_ahead.clear()
                    continue
                try:
                    await self._write(recorders)
                except (RedisError, OSError) as error:
                    logger.debug("texts under way are not stored at present: %s", type(error).__name__)
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            await self._writing.aclose()

    async def _write(self, recorders: Iterable[TurnRecorder]) -> None:
        pipe = self._writing.pipeline(transaction=False)
        written: dict[uuid.UUID, tuple[int, int]] = {}
        for one in recorders:
            generation, text = one.opened.generation, one.answer.text
            characters, size = self._written.get(generation, (0, 0))
            if len(text) > characters:
                piece = text[characters:].encode("utf-8", "replace")
                # At its place and not at the end: a piece that is sent twice is there once.
                pipe.setrange(_key(generation), size, piece)
                pipe.expire(_key(generation), RETAIN_SECONDS)
                size += len(piece)
            written[generation] = (len(text), size)
        await pipe.execute()
        self._written = written

    def find_texts(self, generations: Iterable[uuid.UUID]) -> Mapping[uuid.UUID, str]:
        """What lies there of turns; nothing of those that it does not know, and while Valkey is away."""
        asked = list(generations)
        try:
            found: Any = self._reading.mget([_key(one) for one in asked])
        except (RedisError, OSError) as error:
            logger.warning("texts of interrupted turns could not be read: %s", type(error).__name__)
            return {}
        # Only whole characters: the last piece may be cut.
        return {key: data.decode("utf-8", "ignore") for key, data in zip(asked, found, strict=True) if data}


def _key(generation: uuid.UUID) -> str:
    return f"slipway:turn:{generation}:text"
