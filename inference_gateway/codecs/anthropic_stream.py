"""Anthropic's streamed answers: ``message_start``, blocks one after the other, ``message_delta``, ``message_stop``.

One block is open at a time, while an engine may mix the pieces of several tool calls: those of a later call wait
until the arguments of the one under way are whole.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from inference_gateway.chat import ChatError, ChatEvent, Done, Reasoning, Text, ToolCalls, Usage

_ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
PING = b'event: ping\ndata: {"type":"ping"}\n\n'

#: ``stop_reason`` and ``stop_sequence`` by the engine's reason, what it says beside, and whether tools are called.
StopChooser = Callable[[str | None, Mapping[str, Any], bool], tuple[str, str | None]]


def dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def encode_failure(error: ChatError) -> bytes:
    """The event that ends a stream which broke off."""
    return b"event: error\ndata: " + dump(render_error(error)) + b"\n\n"


def render_error(error: ChatError) -> dict[str, Any]:
    """``code`` is ours, stable, and beside what the dialect knows."""
    default = "api_error" if error.status >= 500 else "invalid_request_error"
    kind = _ERROR_TYPES.get(error.status, default)
    return {"type": "error", "error": {"type": kind, "message": error.message, "code": error.code}}


def render_usage(usage: Usage | None) -> dict[str, Any]:
    """Anthropic counts what was read from a cache apart from ``input_tokens``."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    details = usage.fields.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    cached = min(cached, usage.prompt_tokens) if isinstance(cached, int) else 0
    counted = {"input_tokens": usage.prompt_tokens - cached, "output_tokens": usage.completion_tokens}
    return counted | ({"cache_creation_input_tokens": 0, "cache_read_input_tokens": cached} if cached else {})


def choose_tool_id(given: Any) -> str:
    return given if isinstance(given, str) and given else "toolu_" + secrets.token_hex(12)


class AnthropicStream:
    """Writes one answer; a ``StreamEncoder``. ``head`` is the message before anything is in it."""

    def __init__(self, head: Mapping[str, Any], shows_thinking: bool, choose_stop: StopChooser) -> None:
        self._head = head
        self._shows_thinking = shows_thinking
        self._choose_stop = choose_stop
        self._has_begun = False
        self._blocks = 0
        self._kind: str | None = None  # of the block that is open
        self._calls: dict[int, _Call] = {}
        self._current: _Call | None = None
        self._finish_reason: str | None = None
        self._beside: dict[str, Any] = {}
        self._usage: Usage | None = None

    def encode(self, event: ChatEvent) -> bytes:
        pieces = self._begin()
        if event.carried is not None:
            self._beside |= event.carried.choice
        if event.index != 0 and not isinstance(event, Usage):
            return b"".join(pieces)  # the dialect has one answer
        match event:
            case Text() if event.text:
                pieces += self._write("text", {"type": "text", "text": ""}, "text_delta", "text", event.text)
            case Reasoning() if event.text and self._shows_thinking:
                block = {"type": "thinking", "thinking": "", "signature": ""}
                pieces += self._write("thinking", block, "thinking_delta", "thinking", event.text)
            case ToolCalls():
                for delta in event.deltas:
                    pieces += self._take(delta)
            case Done():
                self._finish_reason = event.finish_reason
                pieces += self._end_calls()
                pieces += self._close()
            case Usage():
                self._usage = event
        return b"".join(pieces)

    def finish(self) -> bytes:
        pieces = [*self._begin(), *self._end_calls(), *self._close()]
        reason, sequence = self._choose_stop(self._finish_reason, self._beside, bool(self._calls))
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        pieces.append(_event("message_delta", {"delta": delta, "usage": render_usage(self._usage)}))
        pieces.append(_event("message_stop", {}))
        return b"".join(pieces)

    def fail(self, error: ChatError) -> bytes:
        return encode_failure(error)

    def _begin(self) -> list[bytes]:
        if self._has_begun:
            return []
        self._has_begun = True
        return [_event("message_start", {"message": self._head}), PING]

    def _open(self, kind: str, block: Mapping[str, Any]) -> list[bytes]:
        pieces = self._close()
        self._kind = kind
        return [*pieces, _event("content_block_start", {"index": self._blocks, "content_block": block})]

    def _close(self) -> list[bytes]:
        if self._kind is None:
            return []
        self._kind = None
        self._blocks += 1
        return [_event("content_block_stop", {"index": self._blocks - 1})]

    def _write(self, kind: str, block: Mapping[str, Any], delta: str, field: str, text: str) -> list[bytes]:
        pieces = self._end_calls() if self._current is not None else []
        if self._kind != kind:
            pieces += self._open(kind, block)
        pieces.append(_event("content_block_delta", {"index": self._blocks, "delta": {"type": delta, field: text}}))
        return pieces

    def _take(self, delta: Mapping[str, Any]) -> list[bytes]:
        """A piece of a tool call: written at once where its call is the one under way, else kept."""
        position = delta.get("index")
        if not isinstance(position, int):
            position = len(self._calls)
        call = self._calls.setdefault(position, _Call())
        text = call.take(delta)
        if call is not self._current:
            return self._go_on()
        pieces = self._write_arguments(text)
        return pieces + (self._go_on() if any(one.is_waiting for one in self._calls.values()) else [])

    def _go_on(self) -> list[bytes]:
        """Begin the next call that waits, once the one under way is whole."""
        pieces: list[bytes] = []
        while self._current is None or self._current.is_whole:
            waiting = next((call for call in self._calls.values() if call.is_waiting and call.name), None)
            if waiting is None:
                break
            pieces += self._start(waiting)
        return pieces

    def _start(self, call: _Call) -> list[bytes]:
        self._current = call
        call.is_waiting = False
        block = {"type": "tool_use", "id": choose_tool_id(call.id), "name": call.name, "input": {}}
        return [*self._open("tool_use", block), *self._write_arguments(call.arguments)]

    def _write_arguments(self, text: str) -> list[bytes]:
        if not text:
            return []
        delta = {"type": "input_json_delta", "partial_json": text}
        return [_event("content_block_delta", {"index": self._blocks, "delta": delta})]

    def _end_calls(self) -> list[bytes]:
        """What still waits, whole or not: nothing more of it will come."""
        pieces: list[bytes] = []
        for call in self._calls.values():
            if call.is_waiting:
                pieces += self._start(call)
        self._current = None
        return pieces


class _Call:
    """One tool call as far as it has come."""

    def __init__(self) -> None:
        self.id: str | None = None
        self.name = ""
        self.arguments = ""
        self.is_waiting = True

    def take(self, delta: Mapping[str, Any]) -> str:
        """Add a piece; the arguments in it."""
        if isinstance(delta.get("id"), str):
            self.id = delta["id"]
        function = delta.get("function")
        function = function if isinstance(function, Mapping) else {}
        self.name += str(function.get("name") or "")
        text = str(function.get("arguments") or "")
        self.arguments += text
        return text

    @property
    def is_whole(self) -> bool:
        """Whether nothing can follow. Of a call that has no arguments yet, some may still come."""
        try:
            return isinstance(json.loads(self.arguments), dict)
        except (ValueError, RecursionError):
            return False


def _event(kind: str, fields: Mapping[str, Any]) -> bytes:
    return b"event: " + kind.encode("ascii") + b"\ndata: " + dump({"type": kind, **fields}) + b"\n\n"
