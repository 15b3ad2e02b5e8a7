"""Going on in the middle of an answer: the model is given its own words as the beginning of its next ones.

vLLM, llama.cpp's server and this project's Transformers backend take a dialogue whose last message is the
assistant's, with ``continue_final_message`` and without ``add_generation_prompt``, and write what comes after it.
BladeLLM documents nothing of the kind and would begin anew, so there it is not offered.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from inference_gateway.chat import ChatEvent, ChatRequest, Text
from inference_gateway.engines.base import Engine
from inference_gateway.models import Turn

#: Engines by ``ServiceEngineType`` that go on.
CONTINUING = frozenset({"chat-llm", "vllm"})
_ASK = {"continue_final_message": True, "add_generation_prompt": False}


def is_continuable(turn: Turn) -> bool:
    """Whether an answer was cut off after its first words: stopped, broken off, or at the longest allowed."""
    is_whole = turn.status == Turn.Status.FINISHED and turn.finish_reason != "length"
    return bool(turn.answer.strip()) and turn.status != Turn.Status.GENERATING and not is_whole


def render_continuation(request: ChatRequest, text: str) -> ChatRequest:
    """The question with its answer so far. Pure.

    Blanks at the end are left out: models write the blank together with the word that follows, and go astray
    after one that stands alone. ``ContinuedEngine`` puts the pieces together again.
    """
    begun = {"role": "assistant", "content": text.rstrip(" ")}
    return replace(request, messages=(*request.messages, begun), extra={**request.extra, **_ASK})


class ContinuedEngine:
    """An ``Engine`` whose answer follows ``text``: blanks that ``text`` ends with are not written twice."""

    def __init__(self, engine: Engine, text: str) -> None:
        self._engine = engine
        self._blanks = len(text) - len(text.rstrip(" "))

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """See ``Engine``."""
        blanks = self._blanks
        async with aclosing(self._engine.generate(request)) as events:
            async for event in events:
                if blanks and isinstance(event, Text) and event.text:
                    rest = event.text.lstrip(" ")
                    dropped = min(blanks, len(event.text) - len(rest))
                    blanks = blanks - dropped if not rest else 0
                    event = replace(event, text=event.text[dropped:])
                yield event
