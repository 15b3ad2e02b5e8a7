"""The product with a path beside that tells which questions were taken below ASGI, for tests of just that way."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from typing import Any

from console.asgi import Receive, Scope, Send
from console.asgi import application as product
from inference_gateway.http import send_json
from inference_gateway.wire import BELOW, Taker
from tests.inference_gateway.rig import Server

COUNTS = "/.taken"


class Counting:
    """Counts heads that were looked at (only a parser tells them), and questions that were begun."""

    def __init__(self, taker: Taker) -> None:
        self._taker = taker
        self.counts = Counter[str]()

    def look(self, scope: Any) -> object | None:
        self.counts["looked"] += scope["method"] == "POST"
        return self._taker.look(scope)

    def begin(self, *arguments: Any) -> bool:
        is_begun = self._taker.begin(*arguments)
        self.counts["begun"] += is_begun
        return is_begun


class CountedServer(Server):
    """Tells what was taken."""

    application = "tests.inference_gateway.counted:application"
    #: A machine may be busy with others for longer than uvicorn's five seconds.
    options = ("--timeout-keep-alive", "75")
    #: Kept: to open one for each look would take longer than what is looked at lasts.
    _asking: http.client.HTTPConnection | None = None

    def count(self) -> tuple[int, int]:
        """Questions that were begun below ASGI, and heads that were parsed."""
        if self._asking is None:
            self._asking = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        self._asking.request("GET", COUNTS)
        counts = json.load(self._asking.getresponse())
        return counts.get("begun", 0), counts.get("looked", 0)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if BELOW.express is not None and not isinstance(BELOW.express, Counting):
        BELOW.express = Counting(BELOW.express)
    if scope["type"] != "http" or scope["path"] != COUNTS:
        await product(scope, receive, send)
    else:
        await send_json(send, 200, BELOW.express.counts if isinstance(BELOW.express, Counting) else {})
