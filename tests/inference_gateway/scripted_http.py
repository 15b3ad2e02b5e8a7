"""An engine's server whose answers are written in the test: chunks as an engine streams them, over real HTTP."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.inference_gateway.serving_thread import AppThread
from tests.ports import free_port

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def chunk(finish_reason: str | None = None, beside: dict[str, Any] | None = None, **delta: Any) -> dict[str, Any]:
    """One chunk of a chat completion; ``beside`` lies in the choice."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, **(beside or {})}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "served", "choices": [choice]}


def call(number: int, arguments: str, call_id: str | None = None, name: str | None = None) -> dict[str, Any]:
    """A chunk with a piece of a tool call, as vLLM cuts them."""
    function: dict[str, Any] = {"arguments": arguments} | ({"name": name} if name else {})
    piece: dict[str, Any] = {"index": number, "function": function}
    return chunk(tool_calls=[piece | ({"id": call_id, "type": "function"} if call_id else {})])


def with_usage(*chunks: dict[str, Any]) -> list[dict[str, Any]]:
    return [*chunks, {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": USAGE}]


class ScriptedHttpEngine(AppThread):
    """Streams ``chunks``, or answers ``whole``; ``asked`` keeps the bodies. ``breaks``: the connection ends too early.

    ``refusal``: status and body of an answer instead.
    """

    def __init__(self, served: str = "served") -> None:
        super().__init__(free_port())
        self.served = served
        self.chunks: list[dict[str, Any]] = with_usage(chunk(content="Hi"), chunk("stop"))
        self.whole: dict[str, Any] | None = None
        self.breaks = False
        self.refusal: tuple[int, dict[str, Any]] | None = None
        self.asked: list[dict[str, Any]] = []

    def make_app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._generate)
        app.router.add_get("/v1/models", self._list)
        return app

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self.served, "max_model_len": 4096}]})

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        if self.refusal is not None:
            return web.json_response(self.refusal[1], status=self.refusal[0])
        if not body.get("stream"):
            assert self.whole is not None, "nothing is scripted for a whole answer"
            return web.json_response(self.whole)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for one in self.chunks:
            await response.write(b"data: " + json.dumps(one).encode() + b"\n\n")
        if self.breaks:
            assert request.transport is not None
            request.transport.abort()
        else:
            await response.write(b"data: [DONE]\n\n")
        return response
