"""What a question takes from earlier turns of its conversation, and what a turn keeps of its question. Pure.

The rule for ``X-Slipway-Conversation``: whoever sends a dialogue of his own means that one; whoever sends a
single question goes on from the turns recorded so far, of which the model sees as many as the service's
``--max-round`` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from inference_gateway.chat import ChatRequest
from inference_gateway.codecs import Exchange
from inference_gateway.codecs.anthropic import AnthropicExchange
from inference_gateway.codecs.eas import EasExchange, Round
from inference_gateway.codecs.openai import OpenAiExchange

SYSTEM_ROLES = ("system", "developer")


def brings_history(exchange: Exchange) -> bool:
    """Whether the caller sent earlier rounds, an explicitly empty list of them, or no dialogue at all."""
    request = exchange.request
    if request.prompt is not None or (isinstance(exchange, EasExchange) and exchange.has_history):
        return True
    return [message["role"] for message in request.messages if message["role"] not in SYSTEM_ROLES] != ["user"]


def recall(exchange: Exchange, system_prompt: str, rounds: tuple[Round, ...], max_rounds: int) -> Exchange:
    """The same question with what was said before it. ``rounds`` are oldest first."""
    if brings_history(exchange):
        return exchange
    request = exchange.request
    told = [message for message in request.messages if message["role"] in SYSTEM_ROLES]
    if not told and system_prompt:
        told = [{"role": "system", "content": system_prompt}]
    for question, answer in rounds[max(0, len(rounds) - max_rounds) :]:
        told += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    whole = replace(request, messages=(*told, request.messages[-1]))
    if isinstance(exchange, EasExchange):
        return replace(exchange, request=whole, history=rounds)
    assert isinstance(exchange, OpenAiExchange | AnthropicExchange)
    return replace(exchange, request=whole)


def question_of(request: ChatRequest) -> str:
    """The text that a turn keeps as its question: the last message, or the prompt."""
    if request.prompt is not None:
        prompts = [request.prompt] if isinstance(request.prompt, str) else request.prompt
        return "\n".join(prompt for prompt in prompts if isinstance(prompt, str))
    return text_of(request.messages[-1])


def system_prompt_of(request: ChatRequest) -> str:
    return "\n".join(text_of(message) for message in request.messages if message["role"] in SYSTEM_ROLES)


def text_of(message: Mapping[str, Any]) -> str:
    """A message's text; of one in parts, the text parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if part.get("type") == "text")
    return content if isinstance(content, str) else ""


def parameters_of(request: ChatRequest) -> dict[str, Any]:
    """What the caller or the dialect chose, as a turn keeps it."""
    names = ("model", "max_tokens", "temperature", "top_p", "top_k", "n")
    chosen = {name: getattr(request, name) for name in names}
    return {name: value for name, value in chosen.items() if value is not None}
