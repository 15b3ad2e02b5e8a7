"""What the dialects of a WebSocket have in common: questions one after the other, and words about the connection.

A message is a question unless it is a small JSON object whose ``type`` is ``stop``, ``ping`` or ``resume``. EAS's
fields know no ``type``, so these are free in its dialect as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from inference_gateway.chat import Answer, ChatError, ChatEvent
from inference_gateway.codecs import Exchange
from inference_gateway.codecs.eas import Round
from inference_gateway.codecs.fields import parse_object

#: A longer message is a question, and is not read before its turn.
MOST_CONTROL_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Stop:
    """End the answer that is being written; with ``id`` only that question's, which may still wait."""

    id: str | None = None


@dataclass(frozen=True, slots=True)
class Ping:
    """Browsers cannot send a frame of this kind, so it may come as a message."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Send the messages of an earlier answer behind the first ``offset``; what is told of it has ``id``."""

    generation: str
    offset: int = 0
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """What was said on a connection so far."""

    system_prompt: str = ""
    rounds: tuple[Round, ...] = ()


@dataclass(frozen=True, slots=True)
class SocketTurn:
    """One question, decoded when its turn has come. ``exchange`` is None where there is nothing to generate.

    ``error`` is why, if the message could not be read. ``rounds`` is what was said before it.
    """

    exchange: Exchange | None = None
    prompt: str = ""
    rounds: tuple[Round, ...] = ()
    system_prompt: str = ""
    id: str | None = None
    error: ChatError | None = None


class TurnWriter(Protocol):
    """Writes one answer as messages. After ``fail`` or ``end`` the turn is over."""

    def encode(self, event: ChatEvent) -> tuple[str, ...]:
        """An event of a streamed answer."""

    def fold(self, answer: Answer) -> tuple[str, ...]:
        """An answer that is not streamed."""

    def fail(self, error: ChatError) -> tuple[str, ...]:
        """The turn ends with an error."""

    def begin(self, generation: str) -> tuple[str, ...]:
        """The turn begins, and can be resumed under that name."""

    def end(self, *, is_stopped: bool = False) -> tuple[str, ...]:
        """The turn ends, whole or stopped by the caller."""


class SocketDialect(Protocol):
    """One way to write questions and answers as messages."""

    def greet(self) -> tuple[str, ...]:
        """What is sent before anything is asked."""

    def decode(self, message: str | bytes, past: Past) -> SocketTurn:
        """A question; one that cannot be read has an ``error``."""

    def writer(self, turn: SocketTurn) -> TurnWriter: ...

    def pong(self) -> tuple[str, ...]:
        """The answer to a ``Ping``."""


def find_control(message: str | bytes) -> Stop | Ping | Resume | None:
    """What a message says about the connection; None for a question."""
    if not isinstance(message, str) or len(message) > MOST_CONTROL_CHARACTERS or '"type"' not in message:
        return None
    try:
        values = parse_object(message)
    except ChatError:
        return None
    match values.get("type"):
        case "stop":
            given = values.get("id")
            return Stop(given if isinstance(given, str) else None)
        case "ping":
            return Ping()
        case "resume" if isinstance(generation := values.get("generation"), str):
            offset, given = values.get("offset"), values.get("id")
            count = offset if isinstance(offset, int) and offset > 0 else 0
            return Resume(generation, count, given if isinstance(given, str) else None)
    return None
