"""Engines with the real interface whose answer is written in the test, and a caller of raw ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from inference_gateway.chat import ChatError, ChatEvent, ChatRequest, Done, Text, Usage
from inference_gateway.http import Message

GREETING: tuple[ChatEvent, ...] = (
    Text("Grüß "),
    Text("dich, 世界 👋"),
    Text(' "quoted"\n'),
    Done("stop"),
    Usage(7, 5, {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}),
)


class ScriptedEngine:
    """Yields its events, then raises ``error`` or waits for ever as told. Remembers what it was asked."""

    def __init__(
        self, events: Sequence[ChatEvent] = GREETING, error: Exception | None = None, hangs: bool = False
    ) -> None:
        self._events = events
        self._error = error
        self._hangs = hangs
        self.requests: list[ChatRequest] = []
        self.is_waiting = asyncio.Event()
        self.closed = 0

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        self.requests.append(request)
        try:
            for event in self._events:
                yield event
            if self._error is not None:
                raise self._error
            if self._hangs:
                self.is_waiting.set()
                await asyncio.Event().wait()
        finally:
            self.closed += 1


BROKEN = ChatError(502, "engine_stream_broken", "The engine's answer broke off.")


class Caller:
    """The server's side of one ASGI connection: give it messages, look at what was sent."""

    def __init__(self, *messages: Message) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        for message in messages:
            self._messages.put_nowait(message)
        self.sent: list[Message] = []
        self._changed = asyncio.Event()

    async def receive(self) -> Message:
        return await self._messages.get()

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        self._changed.set()

    def give(self, message: Message) -> None:
        self._messages.put_nowait(message)

    async def wait_for(self, count: int) -> None:
        """Until so many messages were sent."""
        async with asyncio.timeout(10):
            while len(self.sent) < count:
                self._changed.clear()
                await self._changed.wait()

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def chunks(self) -> list[bytes]:
        return [message["body"] for message in self.sent[1:] if message["body"]]

    @property
    def texts(self) -> list[Any]:
        return [message["text"] for message in self.sent if message["type"] == "websocket.send"]
