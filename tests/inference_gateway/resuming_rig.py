"""An engine whose answer waits in the middle, and callers who leave before it is whole."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from typing import Any

import httpx

from tests.inference_gateway.raw_engine import HEAD, Turn
from tests.inference_gateway.rig import Deployed, Server

ID = re.compile(r"gen-[0-9a-f]{32}")
QUESTION = {"model": "any", "messages": [{"role": "user", "content": "hello"}], "stream": True}
PIECES = 40


def policy(seconds: int) -> dict[str, Any]:
    return {"networking": {"gateway_policy": {"resume_seconds": seconds}}}


def event(number: int) -> bytes:
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": f"{number} 世界 👋 "}, "finish_reason": None}]}
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


END = b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
WHOLE = b"".join(map(event, range(PIECES))) + END


class Slow:
    """Writes an answer of ``PIECES`` pieces; after ``held_at`` of them it waits for ``go``."""

    def __init__(self, held_at: int = PIECES) -> None:
        self.held_at = held_at
        self.go = threading.Event()
        self.closed = threading.Event()

    async def __call__(self, turn: Turn) -> None:
        watcher = asyncio.create_task(self._watch(turn))
        await turn.send(HEAD)
        for number in range(PIECES):
            if number >= self.held_at:
                await asyncio.to_thread(self.go.wait, 30)
            await turn.send_chunk(event(number))
            await asyncio.sleep(0.005)
        await turn.send_chunk(END)
        watcher.cancel()
        await turn.send_chunk(b"")

    async def _watch(self, turn: Turn) -> None:
        await turn.wait_closed()
        self.closed.set()


def ask(service: Deployed, *, events: int, path: str = "/v1/chat/completions", **more: Any) -> tuple[str, bytes]:
    """Read so many events and leave: the generation's id, and what was read."""
    headers = service.auth | more.pop("headers", {})
    end = more.pop("end", b"\n\n")
    with httpx.stream("POST", service.url + path, json=QUESTION | more, headers=headers, timeout=20) as response:
        assert response.status_code == 200, response.read()
        got = b""
        for piece in response.iter_raw():
            got += piece
            if got.count(end) >= events:
                break
        return response.headers["x-slipway-generation"], got


def generation_url(service: Deployed, generation: str, server: Server | None = None) -> str:
    base = service.url if server is None else server.url + service.path
    return f"{base}/.slipway/generations/{generation}"


def rest_of(service: Deployed, generation: str, offset: int, server: Server | None = None) -> httpx.Response:
    return httpx.get(
        generation_url(service, generation, server), params={"offset": offset}, headers=service.auth, timeout=30
    )
