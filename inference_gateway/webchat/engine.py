"""The engine of the web chat: a service that may not answer yet. A message waits for it and is not lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from inference_gateway.chat import ChatError, ChatEvent, ChatRequest
from inference_gateway.engines.base import Engine

#: What passes by itself, or once somebody starts the service. Every other error is told at once.
PASSING = frozenset({"no_healthy_upstream", "engine_unavailable", "engine_unreachable", "too_many_requests"})
RETRY_SECONDS = 0.5


class PatientEngine:
    """An ``Engine`` that asks again, every half second and without end, until its service takes the question.

    ``on_wait`` is told whenever it begins to wait. A dialogue too long for the model's context is asked again
    with the older half of its rounds left out, and ``on_shortened`` is told how many are missing by now.
    """

    def __init__(self, engine: Engine, on_wait: Callable[[], None], on_shortened: Callable[[int], None]) -> None:
        self._engine = engine
        self._on_wait = on_wait
        self._on_shortened = on_shortened

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """See ``Engine``."""
        asked = len(request.messages)
        while True:
            has_begun = False
            try:
                async with aclosing(self._engine.generate(request)) as events:
                    async for event in events:
                        has_begun = True
                        yield event
                return
            except ChatError as error:
                if has_begun:
                    raise
                shorter = shorten(request) if error.code == "context_length_exceeded" else None
                if shorter is not None:
                    request = shorter
                    self._on_shortened((asked - len(request.messages)) // 2)
                    continue
                if error.code not in PASSING:
                    raise
            self._on_wait()
            await asyncio.sleep(RETRY_SECONDS)


def shorten(request: ChatRequest) -> ChatRequest | None:
    """The same question with the older half of its rounds left out; None where there is none. Pure."""
    is_system = bool(request.messages) and request.messages[0]["role"] == "system"
    head, rest = request.messages[:is_system], request.messages[is_system:]
    rounds = (len(rest) - 1) // 2
    if rounds < 1:
        return None
    return replace(request, messages=head + rest[2 * ((rounds + 1) // 2) :])
