"""What the runtime's flags do to a question, whatever dialect it came in."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inference_gateway.chat import ChatEvent, ChatRequest
from inference_gateway.codecs.fields import Fields, refuse
from inference_gateway.engines.base import Engine

_SYSTEM_ROLES = ("system", "developer")
#: Write on at the last message, which is the assistant's, instead of answering it (vLLM's field).
_CONTINUES = "continue_final_message"

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Prompting:
    """The service's own choices. ``max_rounds`` None keeps every round of a dialogue."""

    max_tokens: int
    temperature: float
    top_p: float | None = None
    top_k: int | None = None
    system_prompt: str = ""
    max_rounds: int | None = None
    uses_template: bool = True

    def apply(self, request: ChatRequest) -> ChatRequest:
        """The question as the engine shall see it. Pure; raises ChatError 400."""
        if check_continuation(request):
            # Left out, it is true for some engines, and then they refuse.
            request = replace(request, extra={**request.extra, "add_generation_prompt": False})
        request = request.with_defaults(self.max_tokens, self.temperature, self.top_p, self.top_k)
        if request.prompt is not None:
            return request
        messages = self._shorten(request.messages)
        if self.system_prompt and not any(message.get("role") in _SYSTEM_ROLES for message in messages):
            messages = [{"role": "system", "content": self.system_prompt}, *messages]
        if not self.uses_template:
            return replace(request, messages=(), prompt=_join_text(request, messages), extra=_without_template(request))
        return replace(request, messages=tuple(_rename_developer(message) for message in messages))

    def _shorten(self, messages: Messages) -> Messages:
        """System messages, and the dialogue from its last ``max_rounds`` + 1 questions on."""
        if self.max_rounds is None:
            return messages
        questions = [place for place, message in enumerate(messages) if message.get("role") == "user"]
        dropped = len(questions) - self.max_rounds - 1
        if dropped <= 0:
            return messages
        first = questions[dropped]
        systems = [message for message in messages[:first] if message.get("role") in _SYSTEM_ROLES]
        return [*systems, *messages[first:]]


def check_continuation(request: ChatRequest) -> bool:
    """Whether the last message is to be gone on with. Raises ChatError 400 where no engine can."""
    fields = Fields(request.extra)
    if not fields.read_boolean(_CONTINUES, default=False):
        return False
    if fields.read_boolean("add_generation_prompt", default=False):
        words = "continue_final_message and add_generation_prompt exclude each other. Leave the latter out."
        refuse(_CONTINUES, words, "invalid_request")
    if request.prompt is not None or not request.messages or request.messages[-1].get("role") != "assistant":
        words = "continue_final_message goes on with an assistant's message. End with one."
        refuse(_CONTINUES, words, "invalid_request")
    return True


def _join_text(request: ChatRequest, messages: Messages) -> str:
    """The bare texts, each on a line; an answer to be continued follows its question at once, as it did."""
    texts = [_read_text(message) for message in messages]
    begun = texts.pop() if request.extra.get(_CONTINUES) else ""
    return "\n".join(texts) + begun


def _without_template(request: ChatRequest) -> Mapping[str, Any]:
    return {name: value for name, value in request.extra.items() if name not in (_CONTINUES, "add_generation_prompt")}


def _rename_developer(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Models' templates know the older name of that role only."""
    return {**message, "role": "system"} if message.get("role") == "developer" else message


def _read_text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") == "text")
    return content or ""


class PromptedEngine:
    """An ``Engine`` that asks another one with ``prompting`` applied."""

    def __init__(self, engine: Engine, prompting: Prompting) -> None:
        self._engine = engine
        self._prompting = prompting

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        async with contextlib.aclosing(self._engine.generate(self._prompting.apply(request))) as events:
            async for event in events:
                yield event
