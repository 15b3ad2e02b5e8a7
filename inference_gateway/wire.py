"""The caller's connection below ASGI: what our own server offers beside ``send`` and ``receive``.

An answer that only passes through costs a message, a coroutine and checks of headers that we wrote ourselves for each
piece; here it costs one write. ``server_protocols`` puts a ``Wire`` among the extensions of a request's scope. Who
begins an answer on it ends it there; ASGI's ``send`` is then not used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

#: The key among the scope's extensions.
WIRE = "slipway.wire"

Headers = Iterable[tuple[bytes, bytes]]
#: Of ASGI.
Application = Callable[[Any, Any, Any], Awaitable[None]]


class Wire(Protocol):
    """One request's connection."""

    #: Called when more waits to be sent than ought to, and when the connection can take more again.
    on_full: Callable[[], object] | None
    on_room: Callable[[], object] | None

    @property
    def is_full(self) -> bool:
        """Whether more waits to be sent than ought to: who writes stops until ``on_room``."""

    def listen(self, listener: Callable[[], object] | None) -> None:
        """Call it when the caller leaves; at once where that has happened."""

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer at once. ``headers`` hold neither its length nor line breaks."""

    def answer_lines(self, status: int, lines: bytes, body: bytes) -> None:
        """The same with the headers as lines, see ``head_lines``."""

    def begin(self, status: int, headers: Headers, data: bytes) -> None:
        """The head of an answer whose length is not known, and its first piece."""

    def write(self, data: bytes, *, is_last: bool = False) -> None:
        """The next piece of an answer begun."""

    def pass_chunk(self, chunk: bytes) -> None:
        """The same for one whole chunk of chunked coding, with its framing."""

    @property
    def transport(self) -> asyncio.WriteTransport:
        """What ``pass_chunk`` writes to, for who does that himself while an answer is under way."""


class Asked(Protocol):
    """One whole request, to be answered on its connection or handed on."""

    @property
    def scope(self) -> MutableMapping[str, Any]:
        """As ASGI has it."""

    @property
    def listen(self) -> Callable[[Callable[[], object] | None], None]:
        """As ``Wire.listen``."""

    @property
    def answer_lines(self) -> Callable[[int, bytes, bytes], None]:
        """As ``Wire.answer_lines``."""

    @property
    def start(self) -> Callable[[Application], None]:
        """Let an application answer it over ASGI instead."""


class Taker(Protocol):
    """Who may answer requests below ASGI."""

    def look(self, scope: MutableMapping[str, Any]) -> object | None:
        """With its head: what ``begin`` is to be given, where the body is worth waiting for. It holds for every request
        with this head.
        """

    def begin(self, head: Any, body: bytes, asked: Asked) -> bool:
        """With its body: whether it is answered, now or later. ``head`` is what ``look`` has said."""


@dataclass(slots=True)
class Below:
    """Of one process."""

    express: Taker | None = None


#: Whoever takes requests says so here: server and application know of each other nothing else.
BELOW = Below()


def find_wire(scope: MutableMapping[str, Any]) -> Wire | None:
    """The request's wire, where the server is ours."""
    wire: Wire | None = scope.get("extensions", {}).get(WIRE)
    return wire
