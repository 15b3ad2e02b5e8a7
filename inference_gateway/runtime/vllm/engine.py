"""What is peculiar about vLLM's server: several greedy answers, fields that it passes over, its words for errors.

Everything else of OpenAI's API it reads itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import replace

from inference_gateway.chat import ChatError, ChatEvent, ChatRequest
from inference_gateway.codecs.fields import Fields, refuse
from inference_gateway.engines.base import Engine
from inference_gateway.runtime.llama_engine import check_fields

#: Fields of other backends that it would answer without. ``tools`` want a parser for the model's own way to call.
_UNKNOWN = ("tools", "functions", "grammar", "json_schema")


def check_question(request: ChatRequest) -> None:
    """Raise ChatError 400 for what it would pass over, or refuse in the words of its own code. Pure."""
    check_fields(request)
    for name in _UNKNOWN:
        if request.extra.get(name) not in (None, False, [], {}):
            refuse(name, f"{name} is not known to the vLLM backend. Leave it out.", "invalid_request")
    fields = Fields(request.extra)
    fields.read_integer("seed", -(2**63), 2**63 - 1)
    fields.read_number("presence_penalty", -2, 2)
    fields.read_number("frequency_penalty", -2, 2)
    fields.read_number("repetition_penalty", 0.01, 10)
    fields.read_boolean("ignore_eos", default=False)
    for message in request.messages:
        content = message.get("content")
        if isinstance(content, list) and any(part.get("type") != "text" for part in content):
            # Looking for a model's way to see took it 21 s, in which nobody else was answered.
            refuse("messages", "This runtime reads text only, no image and no sound.", "invalid_request")


class VllmEngine:
    """An ``Engine`` that asks vLLM's. ``context_tokens`` is of one dialogue."""

    def __init__(self, engine: Engine, context_tokens: int) -> None:
        self._engine = engine
        self._context_tokens = context_tokens

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        check_question(request)
        async with contextlib.aclosing(self._engine.generate(_adapt(request))) as events:
            try:
                async for event in events:
                    yield event
            except ChatError as error:
                raise self._reword(error) from error

    def _reword(self, error: ChatError) -> ChatError:
        if error.code == "context_length_exceeded":
            message = (
                f"The prompt is longer than the model's context, which holds {self._context_tokens} tokens. "
                "Shorten the prompt or the history."
            )
            return ChatError(400, error.code, message, "messages")
        if "chat template" in error.message and "provide" in error.message.lower():
            message = (
                "This model has no chat template: it continues text. Start it with --no-template, or ask "
                "/v1/completions."
            )
            return ChatError(400, "no_chat_template", message)
        return error


def _adapt(request: ChatRequest) -> ChatRequest:
    """Always the likeliest token, said otherwise: with temperature 0 it gives one answer only."""
    if request.n > 1 and request.temperature == 0:
        return replace(request, temperature=1.0, top_k=1)
    return request
