"""What resuming has to know of the dialects: where an event may say its id, and how an answer ends that was cut off.

Pure.
"""

from __future__ import annotations

import enum
import json

from inference_gateway.chat import ChatError
from inference_gateway.codecs import anthropic_stream, openai
from inference_gateway.codecs.eas import encode_error
from inference_gateway.resuming.naming import render_event_id

#: An event that long goes on without an id, so that memory stays bounded.
MOST_HELD_BYTES = 64 * 1024


class Dialect(enum.StrEnum):
    """How the bytes of a streamed answer are framed."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    EAS = "eas"
    EAS_DELTA = "eas-delta"
    #: Messages of a WebSocket, which ends its rounds itself.
    SOCKET = "socket"


class EventIds:
    """Gives each server-sent event an id: the offset behind it, to ask from there on. Fed in order, cut anywhere."""

    def __init__(self, generation: str) -> None:
        self._generation = generation
        self._offset = 0
        self._held = b""
        self._is_long = False

    def feed(self, piece: bytes, *, is_last: bool) -> bytes:
        *events, self._held = (self._held + piece).split(b"\n\n")
        out = bytearray()
        for event in events:
            out += self._name(event + b"\n\n", len(out))
        if len(self._held) > MOST_HELD_BYTES or (is_last and self._held):
            out += self._held
            self._held, self._is_long = b"", True
        self._offset += len(out)
        return bytes(out)

    def _name(self, event: bytes, before: int) -> bytes:
        if self._is_long:  # its beginning has gone out
            self._is_long = False
            return event
        # The id counts itself: one digit more moves the offset by one.
        offset = self._offset + before + len(event)
        while True:
            line = f"id: {render_event_id(self._generation, offset)}\n".encode("ascii")
            end = self._offset + before + len(line) + len(event)
            if end == offset:
                return line + event
            offset = end


def render_ending(dialect: Dialect, tail: bytes, error: ChatError) -> bytes:
    """What a reader gets behind the text of an answer that has no end of its own. ``tail`` is the last of that text."""
    if dialect is Dialect.OPENAI:
        return openai.encode_failure(error)
    if dialect is Dialect.ANTHROPIC:
        return anthropic_stream.encode_failure(error)
    try:
        frame = json.loads(tail.rstrip(b"\0").rpartition(b"\0")[2])
    except ValueError:
        return encode_error(error) + b"\0"
    if dialect is Dialect.EAS_DELTA:
        frame["response"] = ""
    frame["error"] = {"code": error.code, "message": error.message}
    return json.dumps(frame, ensure_ascii=False).encode("utf-8", "replace") + b"\0"
