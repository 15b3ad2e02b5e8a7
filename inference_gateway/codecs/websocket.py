"""EAS's WebSocket dialogue as messages: eas.md §1.6.

A question is a JSON object with the fields of §1.3, or a bare prompt. An answer is raw text, incremental,
in TEXT messages, and ends with a message that is exactly ``<EOS>``. An error is a JSON object with ``code``
and ``message``, then ``<EOS>``.
"""

from __future__ import annotations

from inference_gateway.chat import Answer, ChatError, ChatEvent, Text
from inference_gateway.codecs.dialogue import Past, SocketTurn
from inference_gateway.codecs.eas import (
    PAGE_DEFAULTS,
    EasDefaults,
    EasExchange,
    Round,
    decode_fields,
    encode_error,
)
from inference_gateway.codecs.fields import decode_text, parse_object

END_OF_ROUND = "<EOS>"


def decode(
    message: str | bytes,
    history: tuple[Round, ...] = (),
    system_prompt: str = "",
    defaults: EasDefaults = PAGE_DEFAULTS,
) -> EasExchange:
    """One question of a dialogue whose rounds so far are ``history``.

    A prompt may be empty: such a round has no answer, only its end. ``system_prompt`` is the dialogue's,
    used where the message has none. Raises ChatError 400.
    """
    text = message if isinstance(message, str) else decode_text(message)
    values = parse_object(text) if text.lstrip().startswith("{") else {"prompt": text}
    if values.get("system_prompt") is None and system_prompt:
        values["system_prompt"] = system_prompt
    return decode_fields(values, defaults, history=history, needs_prompt=False)


def encode(event: ChatEvent) -> tuple[str, ...]:
    """The messages of one event; none where there is nothing to send."""
    if not isinstance(event, Text) or event.index != 0 or not event.text:
        return ()
    # A model that writes the mark itself must not end the round.
    return ("<EOS", ">") if event.text == END_OF_ROUND else (event.text,)


def encode_failure(error: ChatError) -> str:
    return encode_error(error).decode("utf-8")


class EasWriter:
    """A ``TurnWriter``: whatever happens, the round ends with ``<EOS>``, once."""

    def begin(self, generation: str) -> tuple[str, ...]:
        return ()  # a message that is no answer would be taken for a piece of one

    def encode(self, event: ChatEvent) -> tuple[str, ...]:
        return encode(event)

    def fold(self, answer: Answer) -> tuple[str, ...]:
        return (answer.text,)

    def fail(self, error: ChatError) -> tuple[str, ...]:
        return (encode_failure(error), END_OF_ROUND)

    def end(self, *, is_stopped: bool = False) -> tuple[str, ...]:
        return (END_OF_ROUND,)


class EasDialect:
    """A ``SocketDialect``."""

    def __init__(self, defaults: EasDefaults = PAGE_DEFAULTS) -> None:
        self._defaults = defaults

    def greet(self) -> tuple[str, ...]:
        return ()

    def decode(self, message: str | bytes, past: Past) -> SocketTurn:
        try:
            exchange = decode(message, past.rounds, past.system_prompt, self._defaults)
        except ChatError as error:
            return SocketTurn(error=error, rounds=past.rounds, system_prompt=past.system_prompt)
        return SocketTurn(
            exchange if exchange.prompt.strip() else None,
            exchange.prompt,
            exchange.history,
            exchange.system_prompt or past.system_prompt,
        )

    def writer(self, turn: SocketTurn) -> EasWriter:
        return EasWriter()

    def pong(self) -> tuple[str, ...]:
        # A message that is no answer would be taken for a piece of one.
        return ()
