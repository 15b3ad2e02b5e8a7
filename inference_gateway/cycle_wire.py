"""A request's ``wire.Wire`` over uvicorn's own connection."""

from __future__ import annotations

from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from inference_gateway.wire import Headers


def _nothing() -> None:
    """There is nobody to tell any more."""


class CycleWire:
    """A ``wire.Wire`` over one cycle of uvicorn's: it leaves the cycle as the same messages over ASGI would."""

    __slots__ = ("_cycle", "_is_gone", "_listener", "on_room")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._is_gone = False
        self._listener: Callable[[], object] | None = None
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
        if not self._cycle.disconnected:
            head = self._render_head(status, headers, b"content-length: %d\r\n\r\n" % len(body))
            self._cycle.transport.write(head + body)
            self._finish()

    def begin(self, status: int, headers: Headers, data: bytes) -> None:
        if not self._cycle.disconnected:
            head = self._render_head(status, headers, b"transfer-encoding: chunked\r\n\r\n")
            self._cycle.transport.write(b"%b%x\r\n%b\r\n" % (head, len(data), data))

    def write(self, data: bytes, *, is_last: bool = False) -> None:
        if self._cycle.disconnected:
            return
        piece = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        self._cycle.transport.write(piece + b"0\r\n\r\n" if is_last else piece)
        if is_last:
            self._finish()

    def pass_chunk(self, chunk: bytes) -> bool:
        cycle = self._cycle
        if cycle.disconnected:
            return False
        cycle.transport.write(chunk)
        return cycle.flow.write_paused

    def _render_head(self, status: int, headers: Headers, framing: bytes) -> bytes:
        cycle = self._cycle
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        lines = [b"%b: %b\r\n" % header for header in (*cycle.default_headers, *headers)]
        if not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        return b"%b%b%b" % (STATUS_LINE[status], b"".join(lines), framing)

    def _finish(self) -> None:
        cycle = self._cycle
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        cycle.on_response = _nothing  # else a connection and its last cycle would hold each other
