"""What is peculiar about llama.cpp's server: its progress, asked for so that leaving stops it, its 500s, and
fields of OpenAI's API that it passes over without a word.

While it reads a prompt it looks for a closed connection only after a second without any result, and the
tokens of other dialogues are results too: beside one busy dialogue a prompt of thousands of tokens was read
to its end for nobody. Asked to report its progress it writes after every step, and a write to a connection
that is closed ends the request.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import replace

from inference_gateway.chat import Carried, ChatEvent, ChatRequest, Text
from inference_gateway.codecs.fields import Fields, refuse
from inference_gateway.engines.base import Engine

_ASK, _ANSWER = "return_progress", "prompt_progress"

#: How its errors begin where a question cannot be read; it answers them with 500, like its own failures.
_REFUSALS = (
    "Failed to parse",
    "image input is not supported",
    "audio input is not supported",
    "video input is not supported",
    "Unknown reasoning format",
    "Cannot use ",
)


def is_refusal(message: str) -> bool:
    """Whether an error of llama.cpp's server is about the question, not about itself. Pure."""
    return message.startswith(_REFUSALS)


def check_fields(request: ChatRequest) -> None:
    """Raise ChatError 400 for what the engine would pass over, or answer with its whole vocabulary. Pure.

    The bounds are OpenAI's: 5 alternatives for each token of a completion, 20 for each of a chat.
    """
    fields = Fields(request.extra)
    if request.prompt is not None:
        if fields.read_boolean("echo", default=False):
            refuse("echo", "echo is not supported: the answer never repeats the prompt. Leave it out.", "unsupported")
        if fields.read_text("suffix"):
            refuse("suffix", "suffix is not supported: this model only continues a text. Leave it out.", "unsupported")
        if fields.read_integer("best_of", 1, 128) not in (None, 1, request.n):
            refuse("best_of", "best_of is not supported. Leave it out; n gives several answers.", "unsupported")
    if not isinstance(request.extra.get("logprobs"), bool):
        fields.read_integer("logprobs", 0, 5)
    fields.read_integer("top_logprobs", 0, 20)
    fields.read_integer("n_probs", 0, 20)


class LlamaEngine:
    """An ``Engine`` that asks llama.cpp's for its progress, and passes that on only if the caller asked too."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        check_fields(request)
        is_wanted = bool(request.extra.get(_ASK))
        asked = replace(request, extra={**request.extra, _ASK: True})
        async with contextlib.aclosing(self._engine.generate(asked)) as events:
            async for event in events:
                if is_wanted:
                    yield event
                elif (kept := without_progress(event)) is not None:
                    yield kept


def without_progress(event: ChatEvent) -> ChatEvent | None:
    """The event less its report of progress; None where that was its news. Pure."""
    carried = event.carried
    if carried is None or _ANSWER not in carried.answer:
        return event
    if isinstance(event, Text) and not event.text:
        return None
    answer = {name: value for name, value in carried.answer.items() if name != _ANSWER}
    return replace(event, carried=Carried(carried.delta, carried.choice, answer))
