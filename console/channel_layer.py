"""The channel layer, which waits for messages where that of ``channels_redis`` asks for them ten times a second.

Each server process listens all the time, and each look cost it as much as carrying a few tokens.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer, RedisSingleShardConnection

logger = logging.getLogger(__name__)

#: Until it is looked whether anything is subscribed to.
UNSUBSCRIBED_SECONDS = 0.1
RETRY_SECONDS = 1.0


class _WaitingShard(RedisSingleShardConnection):  # type: ignore[misc]  # no types
    """One Redis. Replaces the loop that receives and nothing else."""

    async def _do_receiving(self) -> None:
        while True:
            try:
                if self._pubsub and self._pubsub.subscribed:
                    self._receive_message(await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=None))
                else:
                    await asyncio.sleep(UNSUBSCRIBED_SECONDS)
            except Exception:  # an edge: whatever the client raises, the next try connects and subscribes again
                logger.exception("messages are not received at present")
                await asyncio.sleep(RETRY_SECONDS)


class WaitingLayer(RedisPubSubChannelLayer):  # type: ignore[misc]  # no types
    """See ``CHANNEL_LAYERS``."""

    def _get_layer(self) -> Any:
        layer = super()._get_layer()  # of the running loop
        if not isinstance(layer._shards[0], _WaitingShard):
            layer._shards = [_WaitingShard(shard.host, layer) for shard in layer._shards]
        return layer
