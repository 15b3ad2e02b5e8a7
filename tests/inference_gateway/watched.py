"""The product with a path beside that tells which tasks its event loop has, for tests of what leaves some behind."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx

from console.asgi import Receive, Scope, Send
from console.asgi import application as product
from inference_gateway.http import send_json
from tests.inference_gateway.rig import Server

TASKS = "/.tasks"


class WatchedServer(Server):
    """Tells its tasks."""

    application = "tests.inference_gateway.watched:application"

    def count_tasks(self) -> Counter[str]:
        """How many there are of each coroutine, less the one that answers this."""
        return Counter(httpx.get(self.url + TASKS, timeout=30).json())


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http" or scope["path"] != TASKS:
        await product(scope, receive, send)
        return
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await send_json(send, 200, [getattr(one.get_coro(), "__qualname__", str(one.get_coro())) for one in others])
