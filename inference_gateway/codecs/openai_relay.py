"""OpenAI's chat completions and completions as bytes that pass through: what a relay reads of them, and no more.

A question is taken apart at its top level only, and put together again from the same bytes, so that gateway and
engine agree on which of two fields of one name counts. Of an answer, whole server-sent events pass as they came; the
one with the usage is looked at, and those that close a stream. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from inference_gateway.chat import ROLES, Usage
from inference_gateway.codecs.harm import REFUSED_FIELDS, TEMPLATE_FIELD
from inference_gateway.codecs.openai_bodies import (
    AskedMessage,
    Chunk,
    Fields,
    encode,
    read_asked,
    read_chunk,
    read_counted,
    read_fields,
)
from inference_gateway.likeness import Likeness, share
from inference_gateway.placing import PREFIX_CHARACTERS, prefix_of

#: An event that long is none; what there is of it goes on as it came, so that memory stays bounded.
MOST_HELD_BYTES = 64 * 1024
DONE = b"data: [DONE]"
#: A question with one of these is looked at more closely.
UNRELAYED = frozenset((*REFUSED_FIELDS, TEMPLATE_FIELD))
#: What stands before an event's text: of ``content`` and ``reasoning_content``, of a completion, of ``reasoning``.
TEXT_MARKS = (b'content":', b'text":', b'reasoning":')


@dataclass(slots=True)
class Question:
    """One question for the relay. ``fields`` are its top level, each value as it came."""

    fields: Fields
    model: str
    is_stream: bool
    wants_usage: bool
    max_tokens: int | None
    choices: int
    messages: list[AskedMessage] | None = None
    prompt: str | None = None
    _size: tuple[int, int] | None = None

    def forget(self) -> None:
        """An instance answers: what was asked need not lie here as long as the answer takes. Its size stays known."""
        self._size = self.measure()
        self.fields, self.messages, self.prompt = {}, None, None

    def measure(self) -> tuple[int, int]:
        """Characters of the prompt, and messages."""
        if self._size is not None:
            return self._size
        if self.messages is None:
            return len(self.prompt or ""), 1
        characters = 0
        for one in self.messages:  # a generator takes twice as long
            characters += len(one.content if isinstance(one.content, str) else one.text)
        return characters, len(self.messages)

    def find_prefix(self) -> str:
        """How it begins, for who chooses an instance by that."""
        if self.messages is None:
            return (self.prompt or "")[:PREFIX_CHARACTERS]
        return prefix_of({"role": message.role, "content": message.text} for message in self.messages)

    def render(self, model: str | None) -> bytes:
        """The body for the engine: asked for under ``model`` where that is given, and always for the usage."""
        changed: dict[str, Any] = {}
        if model is not None and model != self.model:
            changed["model"] = model
        if self.is_stream and not self.wants_usage:
            given = self.fields.get("stream_options")
            options = None if given is None else msgspec.json.decode(given)
            changed["stream_options"] = {**(options or {}), "include_usage": True}
        return encode({**self.fields, **changed} if changed else self.fields)


def read_question(body: bytes, *, is_chat: bool) -> Question | None:
    """None for what is unusual or wrong: ``codecs.openai`` knows every form of it, and says what is wrong."""
    try:
        question = read_asked(body)
        fields = read_fields(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not UNRELAYED.isdisjoint(fields) or not (is_chat or question.prompt):
        return None
    if is_chat and not (question.messages and all(map(_is_usual, question.messages))):
        return None
    return Question(
        fields=fields,
        model=question.model or "default",
        is_stream=bool(question.stream),
        wants_usage=question.stream_options is not None and question.stream_options.include_usage,
        max_tokens=question.max_completion_tokens or question.max_tokens,
        choices=question.n or 1,
        messages=question.messages,
        prompt=question.prompt,
    )


def _is_usual(message: AskedMessage) -> bool:
    if message.role not in ROLES or message.role == "function" or message.function_call is not None:
        return False
    if message.role == "tool" and not message.tool_call_id:
        return False
    return message.content is not None or (message.role == "assistant" and bool(message.tool_calls))


def find_usage(body: bytes) -> Usage | None:
    """What an answer, or an event's data, counts; None where it counts nothing."""
    try:
        counts = read_counted(body).usage
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if counts is None:
        return None
    return Usage(counts.prompt_tokens or 0, counts.completion_tokens or 0, {})


class Stream:
    """Server-sent events on their way through, cut anywhere: whole ones go on as they came.

    ``usage`` is the last count seen. ``hides_usage`` leaves out the event that only counts, for a caller that did not
    ask for it. Line ends are LF whatever the engine writes: some clients know no other (xinference-dify.md B6).
    """

    __slots__ = ("_before", "_held", "_hides_usage", "_is_long", "_last", "is_over", "pieces", "usage")

    def __init__(self, *, hides_usage: bool) -> None:
        self._hides_usage = hides_usage
        self._held = b""
        self._is_long = False
        self._last = self._before = b""
        self.is_over = False
        #: Events so far: of an answer that was cut off, about its tokens.
        self.pieces = 0
        self.usage: Usage | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the answer came to its end: some engines leave out ``[DONE]`` and only finish their choices."""
        return self.is_over or _has_finished(self._before + self._last)

    @property
    def has_rest(self) -> bool:
        """Whether a part of an event waits for its end."""
        return bool(self._held)

    def feed(self, piece: bytes) -> bytes:
        """The whole events that this piece completes, as bytes to send; often ``piece`` itself."""
        if self._held:
            piece, self._held = self._held + piece, b""
        if b"\r" in piece:
            if piece.endswith(b"\r"):
                piece, self._held = piece[:-1], b"\r"
            piece = piece.replace(b"\r\n", b"\n")
        if not piece.endswith(b"\n\n"):
            piece = self._hold_rest(piece)
        if b'"usage":' in piece:
            piece = self._look_at_usage(piece)
        if piece:
            self.pieces += piece.count(b"\n\n")
            self._before, self._last = self._last, piece
            if DONE in piece:
                self.is_over = True
        return piece

    def passes(self, chunk: bytes, start: int) -> bool:
        """Whether what a chunk of chunked coding holds from ``start`` on is just what ``feed`` would give back; then
        it is taken note of. Never where an event counts tokens or is the last.
        """
        if (
            self._held
            or self._is_long
            or not chunk.startswith(b"data:", start)
            or not chunk.endswith(b"\n\n\r\n")
            or chunk.count(b"\r") != 2  # those of the chunk itself
            or b'"usage":' in chunk
            or DONE in chunk
        ):
            return False
        self.pieces += chunk.count(b"\n\n")
        self._before, self._last = self._last, chunk
        return True

    def note_repeats(self, count: int) -> None:
        """So many chunks passed unseen, each with ``find_likeness``'s likeness to the one that passed last."""
        if count:
            self.pieces += count
            self._before = self._last  # as far as they tell of an end, they are one

    def end(self) -> bytes:
        """What is left when the engine has closed: an event without the blank line behind it."""
        rest, self._held = self._held, b""
        if not rest.strip():
            return b""
        return self.feed(rest.rstrip() + b"\n\n")

    def _hold_rest(self, piece: bytes) -> bytes:
        cut = piece.rfind(b"\n\n") + 2
        if self._is_long and cut < 2:
            return piece
        self._is_long = False
        if cut < 2:
            cut = 0
        rest = piece[cut:]
        if len(rest) > MOST_HELD_BYTES:
            self._is_long = True
            return piece
        self._held = rest + self._held
        return piece[:cut]

    def _look_at_usage(self, piece: bytes) -> bytes:
        """Read the count, and take out the events with nothing else where nobody asked for them."""
        kept = []
        is_changed = False
        for event in piece.split(b"\n\n"):
            if b'"usage":' in event and event.startswith(b"data:"):
                try:
                    chunk = read_chunk(event[5:])
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    chunk = Chunk()
                if chunk.usage is not None:
                    self.usage = Usage(chunk.usage.prompt_tokens or 0, chunk.usage.completion_tokens or 0, {})
                    if self._hides_usage and chunk.choices == []:
                        is_changed = True
                        continue
            kept.append(event)
        return b"\n\n".join(kept) if is_changed else piece


def find_likeness(chunk: bytes, start: int) -> Likeness | None:
    """What all that is like a chunk that passed has in common with it; None where its one event has no plain text."""
    at = next((at + len(mark) for mark in TEXT_MARKS if (at := chunk.find(mark, start)) > 0), 0)
    if not at or chunk.find(b"\n\n") != len(chunk) - 4:
        return None
    text_at = chunk.find(b'"', at) + 1
    end = chunk.find(b'"', text_at)
    if not 0 < text_at <= at + 2 or end < 0 or chunk[end - 1 : end] == b"\\" or chunk.startswith(b'":', end):
        return None
    return Likeness(chunk[start - 2 : text_at], start - 2, text_at, share(chunk[end:]))


def _has_finished(events: bytes) -> bool:
    """Whether the last event that says so says that its choice is finished."""
    for event in reversed(events.split(b"\n\n")):
        _, found, rest = event.partition(b'"finish_reason":')
        if found:
            return not rest.lstrip().startswith(b"null")
    return False
