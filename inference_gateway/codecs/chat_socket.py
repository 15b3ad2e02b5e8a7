"""The JSON dialogue of a WebSocket, in OpenAI's words, for pages in a browser (docs/gateway.md, "From a page").

Every message is an object with a ``type``. The page sends ``ask``, with the fields of a chat completion or just
``content``, ``stop``, ``ping`` and ``resume``. It gets ``session`` first; for each question, in order, ``generation``
where its answer can be resumed, ``chunk``s that hold chat.completion.chunk objects (or one ``completion``), then
``done`` or ``error``; and ``pong``. What is about a question has the question's ``id``.
"""

from __future__ import annotations

import json
from typing import Any

from inference_gateway.chat import Answer, ChatError, ChatEvent, Done, Usage
from inference_gateway.codecs import openai
from inference_gateway.codecs.dialogue import Past, SocketTurn
from inference_gateway.codecs.fields import Fields, decode_text, parse_object, refuse
from inference_gateway.recall import question_of, recall, system_prompt_of

MOST_ID_CHARACTERS = 128


class ChatDialect:
    """A ``SocketDialect``. ``session`` is what the page is told of its connection."""

    def __init__(self, session: dict[str, str], max_rounds: int) -> None:
        self._session = session
        self._max_rounds = max_rounds

    def greet(self) -> tuple[str, ...]:
        return (_message("session", None, **self._session),)

    def decode(self, message: str | bytes, past: Past) -> SocketTurn:
        key: str | None = None
        try:
            values = parse_object(message if isinstance(message, str) else decode_text(message))
            fields = Fields(values)
            key = _read_id(fields)
            if values.pop("type", None) != "ask":
                refuse("type", "type must be ask, stop, ping or resume.")
            values.pop("id", None)
            content = values.pop("content", None)
            if content is not None and not fields.has("messages"):
                values["messages"] = [{"role": "user", "content": content}]
            values.setdefault("stream", True)
            asked = openai.decode_chat(json.dumps(values).encode())
        except ChatError as error:
            return SocketTurn(id=key, error=error, rounds=past.rounds, system_prompt=past.system_prompt)
        exchange = recall(asked, past.system_prompt, past.rounds, self._max_rounds)
        system_prompt = system_prompt_of(asked.request) or past.system_prompt
        return SocketTurn(exchange, question_of(asked.request), past.rounds, system_prompt, key)

    def writer(self, turn: SocketTurn) -> ChatWriter:
        return ChatWriter(turn)

    def pong(self) -> tuple[str, ...]:
        return (_message("pong", None),)


class ChatWriter:
    """A ``TurnWriter``."""

    def __init__(self, turn: SocketTurn) -> None:
        self._id = turn.id
        self._exchange = turn.exchange
        self._stream = None if turn.exchange is None else turn.exchange.encoder()
        self._finish_reason: str | None = None
        self._usage: dict[str, Any] | None = None

    def begin(self, generation: str) -> tuple[str, ...]:
        return (_message("generation", self._id, generation=generation),)

    def encode(self, event: ChatEvent) -> tuple[str, ...]:
        self._note(event)
        frame = b"" if self._stream is None else self._stream.encode(event)
        if not frame:
            return ()
        chunk = frame.removeprefix(b"data: ").rstrip().decode("utf-8")
        head = _message("chunk", self._id)
        return (f'{head[:-1]}, "chunk": {chunk}}}',)

    def fold(self, answer: Answer) -> tuple[str, ...]:
        assert self._exchange is not None
        self._finish_reason = answer.finish_reason
        self._usage = None if answer.usage is None else answer.usage.as_json()
        whole = json.loads(self._exchange.fold(answer))
        return (_message("completion", self._id, completion=whole),)

    def fail(self, error: ChatError) -> tuple[str, ...]:
        return (_message("error", self._id, **json.loads(openai.encode_error(error))),)

    def end(self, *, is_stopped: bool = False) -> tuple[str, ...]:
        reason = "stopped" if is_stopped else self._finish_reason or "stop"
        return (_message("done", self._id, finish_reason=reason, usage=self._usage),)

    def _note(self, event: ChatEvent) -> None:
        if isinstance(event, Done) and event.index == 0:
            self._finish_reason = event.finish_reason
        elif isinstance(event, Usage):
            self._usage = event.as_json()


def _read_id(fields: Fields) -> str | None:
    key = fields.read_text("id")
    if key is not None and len(key) > MOST_ID_CHARACTERS:
        refuse("id", f"id may have {MOST_ID_CHARACTERS} characters.")
    return key


def _message(kind: str, key: str | None, **fields: Any) -> str:
    named = {} if key is None else {"id": key}
    return json.dumps({"type": kind, **named, **fields}, ensure_ascii=False)
