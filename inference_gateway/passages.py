"""What requests to instances carry on their way, remembered for a moment: to find it out may take reading files."""

from __future__ import annotations

import asyncio
import logging
import time

from deployments.clusters import find_passage
from deployments.clusters.base import ClusterError
from deployments.clusters.passage import DIRECT, Passage
from deployments.words import join
from inference_gateway.chat import ChatError
from inference_gateway.directory import Route

logger = logging.getLogger(__name__)

#: Credentials are renewed well before they expire; what is taken back meanwhile is refused, and asked for anew.
FRESH_SECONDS = 10.0
MAX_REMEMBERED = 5000


class Passages:
    """Of one process. Instances that are reached directly cost nothing here."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[float, Passage]] = {}
        self._looks: dict[str, asyncio.Task[Passage]] = {}

    async def find(self, route: Route) -> Passage:
        """Raises ChatError 503 ``engine_unreachable`` where there are no credentials for the way."""
        if not route.base_url:
            return DIRECT
        found_at, passage = self._found.get(route.base_url, (-FRESH_SECONDS, DIRECT))
        if time.monotonic() - found_at < FRESH_SECONDS:
            return passage
        look = self._looks.get(route.base_url)
        if look is None:
            look = self._looks[route.base_url] = asyncio.create_task(self._look(route.base_url))
        return await asyncio.shield(look)

    async def renew(self, route: Route) -> None:
        """The server on the way did not take our credentials: look for others, for every instance behind it."""
        _, refused = self._found.get(route.base_url, (0.0, DIRECT))
        self._found.clear()
        await self._look(route.base_url, refused)

    async def _look(self, base_url: str, refused: Passage | None = None) -> Passage:
        try:
            passage = await asyncio.to_thread(find_passage, base_url, refused)
        except ClusterError as error:
            logger.error("the way to %s is not known: %s", base_url, error.message)
            raise ChatError(503, "engine_unreachable", join(error.message, error.cure)) from error
        finally:
            self._looks.pop(base_url, None)
        if len(self._found) > MAX_REMEMBERED:
            self._found.clear()
        self._found[base_url] = time.monotonic(), passage
        return passage
