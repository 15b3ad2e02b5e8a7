"""A request's ``wire.Wire`` over uvicorn's own connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from inference_gateway.head_lines import render_lines
from inference_gateway.wire import Headers


def _nothing() -> None:
    """There is nobody to tell any more."""


class Usual:
    """The lines of the headers that every answer has: uvicorn makes a new list of them each second."""

    def __init__(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._lines = b""

    def render(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        if headers is not self._headers:
            self._headers, self._lines = headers, render_lines(headers)
        return self._lines


#: One process's.
USUAL = Usual()


class CycleWire:
    """A ``wire.Wire`` over one cycle of uvicorn's: it leaves the cycle as the same messages over ASGI would."""

    __slots__ = ("_cycle", "_is_gone", "_listener", "on_full", "on_room")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._is_gone = False
        self._listener: Callable[[], object] | None = None
        self.on_full: Callable[[], object] | None = None
        self.on_room: Callable[[], object] | None = None

    @property
    def is_done(self) -> bool:
        return self._cycle.response_complete

    @property
    def is_full(self) -> bool:
        return self._cycle.flow.write_paused

    def listen(self, listener: Callable[[], object] | None) -> None:
        self._listener = listener
        if self._is_gone and listener is not None:
            listener()

    def leave(self) -> None:
        """The answer is done: leave the scope, else they would hold each other until somebody looks for cycles."""
        self._cycle.scope.pop("extensions", None)

    def tell_gone(self) -> None:
        self._is_gone = True
        if self._listener is not None:
            self._listener()

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        self.answer_lines(status, render_lines(headers), body)

    def answer_lines(self, status: int, lines: bytes, body: bytes) -> None:
        if not self._cycle.disconnected:
            head = self._render_head(status, lines)
            self._cycle.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
            self._finish()

    def begin(self, status: int, headers: Headers, data: bytes) -> None:
        if not self._cycle.disconnected:
            head = self._render_head(status, render_lines(headers))
            self._cycle.transport.write(b"%btransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (head, len(data), data))

    def write(self, data: bytes, *, is_last: bool = False) -> None:
        if self._cycle.disconnected:
            return
        piece = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        self._cycle.transport.write(piece + b"0\r\n\r\n" if is_last else piece)
        if is_last:
            self._finish()

    def pass_chunk(self, chunk: bytes) -> None:
        if not self._cycle.disconnected:
            self._cycle.transport.write(chunk)

    @property
    def transport(self) -> asyncio.Transport:
        return self._cycle.transport

    def _render_head(self, status: int, lines: bytes) -> bytes:
        cycle = self._cycle
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        return render_head(status, cycle.default_headers, lines, is_kept=cycle.keep_alive)

    def _finish(self) -> None:
        cycle = self._cycle
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        cycle.on_response = _nothing  # else a connection and its last cycle would hold each other


def render_head(status: int, usual: list[tuple[bytes, bytes]], lines: bytes, *, is_kept: bool) -> bytes:
    """All of a head but the answer's length and the end. ``usual`` are the headers of every answer."""
    head = STATUS_LINE[status] + USUAL.render(usual) + lines
    return head if is_kept else head + b"connection: close\r\n"
