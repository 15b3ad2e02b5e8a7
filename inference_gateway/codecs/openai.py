"""OpenAI's dialect: chat completions, completions, models, SSE, errors (eas.md §1.9).

Fields that are not named here go to the engine as they came, and what the engine says beside text,
reasoning, tool calls and usage (logprobs, timings, ...) comes back as it came.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from inference_gateway.chat import (
    ROLES,
    Answer,
    ChatError,
    ChatEvent,
    ChatRequest,
    Choice,
    Done,
    Reasoning,
    Text,
    ToolCalls,
    Usage,
    merge_tool_calls,
)
from inference_gateway.codecs import JSON_TYPE
from inference_gateway.codecs.fields import Fields, decode_text, parse_object, refuse
from inference_gateway.codecs.harm import check_fields, check_part
from inference_gateway.codecs.xinference import render_plain

STREAM_TYPE = "text/event-stream; charset=utf-8"
MOST_TOKENS = 10_000_000

#: Read here; everything else of a body is ``ChatRequest.extra``. ``stream_options`` and ``stream`` are about
#: our answer: towards an engine we always stream and always ask for usage.
_OWN_FIELDS = frozenset(
    (
        "model",
        "messages",
        "prompt",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "n",
        "stream",
        "stream_options",
    )
)

_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
}


@dataclass(frozen=True, slots=True)
class OpenAiExchange:
    """A decoded question of this dialect; an ``Exchange``. ``model`` is what answers call themselves.

    ``gathers_tool_calls``: a stream has the calls of tools whole, in the chunk with the reason to stop, without
    which Dify's plugin for Xinference throws them away (xinference-dify.md B4). ``names_functions``: the caller asked
    with ``functions``, the first form that tools had, and reads ``function_call``.
    """

    request: ChatRequest
    is_stream: bool
    is_chat: bool
    model: str
    wants_usage: bool = False
    answer_id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))
    gathers_tool_calls: bool = False
    names_functions: bool = False
    stream_type: str = STREAM_TYPE
    whole_type: str = JSON_TYPE

    def encoder(self) -> OpenAiStream:
        return OpenAiStream(self)

    def fold(self, answer: Answer) -> bytes:
        render = _render_chat_choice if self.is_chat else _render_text_choice
        body = self.render_head(is_chunk=False)
        body["choices"] = [render(index, choice) for index, choice in enumerate(answer.choices)]
        if self.names_functions:
            for choice in body["choices"]:
                _name_function(choice, "message")
        if answer.usage is not None:
            body["usage"] = answer.usage.as_json()
        return _dump(body | {key: value for key, value in answer.extra.items() if key not in body})

    def encode_error(self, error: ChatError) -> bytes:
        return encode_error(error)

    def render_head(self, is_chunk: bool) -> dict[str, Any]:
        kind = "text_completion"
        if self.is_chat:
            kind = "chat.completion.chunk" if is_chunk else "chat.completion"
        prefix = "chatcmpl-" if self.is_chat else "cmpl-"
        return {
            "id": prefix + self.answer_id,
            "object": kind,
            "created": self.created,
            "model": self.model,
        }


def encode_error(error: ChatError) -> bytes:
    """``detail`` is the one thing that Xinference's clients read (xinference-dify.md A0)."""
    return _dump(_render_error(error) | {"detail": error.message})


def encode_failure(error: ChatError) -> bytes:
    """The event that ends a stream which broke off."""
    return _data(_render_error(error))


def encode_models(names: Iterable[str], created: int, context_tokens: int) -> bytes:
    """The answer of ``/v1/models``. ``created`` is in seconds since 1970; the context's name is vLLM's."""
    beside = {"object": "model", "created": created, "owned_by": "slipway", "max_model_len": context_tokens}
    return _dump({"object": "list", "data": [{"id": name, **beside} for name in names]})


def decode_chat(body: bytes) -> OpenAiExchange:
    """A body of ``/v1/chat/completions``. Raises ChatError 400 that names the field."""
    given = parse_object(decode_text(body))
    values = render_plain(given)
    exchange = _decode(values, is_chat=True, messages=_read_messages(values.get("messages")))
    names_functions = isinstance(given.get("functions"), list) and not given.get("tools")
    return replace(exchange, names_functions=True) if names_functions else exchange


def decode_completion(body: bytes) -> OpenAiExchange:
    """A body of ``/v1/completions``. Raises ChatError 400 that names the field."""
    values = render_plain(parse_object(decode_text(body)))
    prompt = values.get("prompt")
    if not isinstance(prompt, str | list) or not prompt:
        refuse("prompt", "prompt must be a non-empty string, or a list of strings or token ids.")
    if isinstance(prompt, list) and not _is_prompt_list(prompt):
        refuse("prompt", "prompt must hold strings only, or token ids only.")
    return _decode(values, is_chat=False, prompt=prompt)


def find_model(body: bytes) -> str | None:
    """The ``model`` that a body names, for routing. Raises ChatError 400 where it is no JSON object."""
    return Fields(parse_object(decode_text(body))).read_text("model")


def _decode(
    values: Mapping[str, Any],
    is_chat: bool,
    messages: tuple[Mapping[str, Any], ...] = (),
    prompt: str | list[Any] | None = None,
) -> OpenAiExchange:
    fields = Fields(values)
    check_fields(values)
    max_tokens = fields.read_integer("max_completion_tokens", 1, MOST_TOKENS) if is_chat else None
    if max_tokens is None:
        max_tokens = fields.read_integer("max_tokens", 1, MOST_TOKENS)
    options = values.get("stream_options")
    if options is not None and not isinstance(options, Mapping):
        refuse("stream_options", 'stream_options must be an object, such as {"include_usage": true}.')
    tools = values.get("tools")
    if tools is not None and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        refuse("tools", 'tools must be a list of objects, such as {"type": "function", "function": {"name": "f"}}.')
    model = fields.read_text("model") or "default"
    request = ChatRequest(
        messages=messages,
        prompt=prompt,
        model=model,
        max_tokens=max_tokens,
        temperature=fields.read_number("temperature", 0, 2),
        top_p=fields.read_number("top_p", 0, 1),
        top_k=fields.read_integer("top_k", -1, MOST_TOKENS),
        stop=fields.read_texts("stop"),
        n=fields.read_integer("n", 1, 128) or 1,
        extra={name: value for name, value in values.items() if name not in _OWN_FIELDS},
    )
    return OpenAiExchange(
        request=request,
        is_stream=fields.read_boolean("stream", default=False),
        is_chat=is_chat,
        model=model,
        wants_usage=Fields(options or {}).read_boolean("include_usage", default=False),
    )


def _is_prompt_list(prompt: list[Any]) -> bool:
    return any(
        all(isinstance(item, kind) and not isinstance(item, bool) for item in prompt) for kind in (str, int, list)
    )


def _read_messages(value: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list) or not value:
        refuse("messages", 'messages must be a non-empty list: [{"role": "user", "content": "Hello"}].')
    for position, message in enumerate(value):
        _check_message(f"messages[{position}]", message)
    return tuple(value)


def _check_message(where: str, message: Any) -> None:
    if not isinstance(message, dict):
        refuse(where, f"{where} must be an object with role and content.")
    role = message.get("role")
    if role not in ROLES:
        known = ", ".join(ROLES)
        refuse(f"{where}.role", f"{where}.role must be one of {known}.", "unknown_role")
    content = message.get("content")
    calls = message.get("tool_calls")
    if calls is not None and not (isinstance(calls, list) and all(isinstance(call, dict) for call in calls)):
        refuse(f"{where}.tool_calls", f"{where}.tool_calls must be a list of objects.")
    if content is None:
        if role == "assistant" and (calls or message.get("function_call")):
            return
        if role != "assistant" or "content" not in message:
            refuse(f"{where}.content", f"{where}.content is missing. Give the message's text.")
        return
    if isinstance(content, str):
        return
    if not isinstance(content, list) or not all(
        isinstance(part, dict) and isinstance(part.get("type"), str) for part in content
    ):
        refuse(f"{where}.content", f"{where}.content must be a string or a list of parts that have a type.")
    for part in content:
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            refuse(f"{where}.content", f"{where}.content has a text part whose text is no string.")
        check_part(f"{where}.content", part)


def _render_chat_choice(index: int, choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text}
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
    if choice.tool_calls:
        message["tool_calls"] = [_without_index(call) for call in choice.tool_calls]
        message["content"] = choice.text or None
    message |= {key: value for key, value in choice.delta.items() if key not in message}
    return {
        "index": index,
        "message": message,
        "logprobs": None,
        "finish_reason": choice.finish_reason or "stop",
    } | choice.extra


def _render_text_choice(index: int, choice: Choice) -> dict[str, Any]:
    return {
        "index": index,
        "text": choice.text,
        "logprobs": None,
        "finish_reason": choice.finish_reason or "stop",
    } | choice.extra


def _name_function(choice: dict[str, Any], where: str) -> None:
    """Put the first call of a tool as the call of a function: there was but one then."""
    calls = choice[where].pop("tool_calls", None)
    if calls:
        choice[where]["function_call"] = calls[0]["function"]
        choice["finish_reason"] = "function_call"


def _without_index(call: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in call.items() if key != "index"}


def _render_error(error: ChatError) -> dict[str, Any]:
    default = "server_error" if error.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": error.message,
            "type": _ERROR_TYPES.get(error.status, default),
            "param": error.field,
            "code": error.code,
        }
    }


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _data(value: Any) -> bytes:
    return b"data: " + _dump(value) + b"\n\n"


class OpenAiStream:
    """Writes SSE chunks and ``[DONE]``; a ``StreamEncoder``.

    Usage comes as a chunk of its own without choices, only where the caller asked for it.
    """

    def __init__(self, exchange: OpenAiExchange) -> None:
        self._exchange = exchange
        self._head = exchange.render_head(is_chunk=True)
        self._begun: set[int] = set()
        self._gathers = exchange.gathers_tool_calls or exchange.names_functions
        self._gathered: dict[int, list[dict[str, Any]]] = {}

    def encode(self, event: ChatEvent) -> bytes:
        carried = event.carried
        if self._gathers and isinstance(event, ToolCalls):
            merge_tool_calls(self._gathered.setdefault(event.index, []), event.deltas)
            if carried is None:
                return b""
        beside = dict(carried.answer) if carried is not None else {}
        if isinstance(event, Usage):
            if not self._exchange.wants_usage:
                return b""
            return _data({**beside, **self._head, "choices": [], "usage": event.as_json()})
        choice = self._render_choice(event)
        if carried is not None:
            choice |= carried.choice
            if self._exchange.is_chat:
                choice["delta"] = {**carried.delta, **choice["delta"]}
        return _data({**beside, **self._head, "choices": [choice]})

    def finish(self) -> bytes:
        # What an engine left without a reason to stop is not lost either.
        left = b"".join(self.encode(Done("tool_calls", index=index)) for index in tuple(self._gathered))
        return left + b"data: [DONE]\n\n"

    def fail(self, error: ChatError) -> bytes:
        return encode_failure(error)

    def _render_choice(self, event: ChatEvent) -> dict[str, Any]:
        reason = event.finish_reason if isinstance(event, Done) else None
        if not self._exchange.is_chat:
            text = event.text if isinstance(event, Text) else ""
            return {"index": event.index, "text": text, "logprobs": None, "finish_reason": reason}
        delta: dict[str, Any] = {}
        if event.index not in self._begun:
            self._begun.add(event.index)
            delta["role"] = "assistant"
        match event:
            case Text():
                delta["content"] = event.text
            case Reasoning():
                delta["reasoning_content"] = event.text
            case ToolCalls() if not self._gathers:
                delta["tool_calls"] = list(event.deltas)
            case Done() if calls := self._gathered.pop(event.index, None):
                delta["tool_calls"] = calls
        choice = {"index": event.index, "delta": delta, "finish_reason": reason}
        if self._exchange.names_functions:
            _name_function(choice, "delta")
        return choice
