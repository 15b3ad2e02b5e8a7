"""uvicorn's protocols, where they fall short: offers to change the protocol, refused handshakes, ends, pings.

Java's HttpClient offers HTTP/2 with its first request (``Upgrade: h2c``). A server may pass such an offer over
and must then answer the request as it is (RFC 9110 §7.8). httptools ends a message with its headers where
``Upgrade`` is among them, so uvicorn would answer it without its body.
"""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass, field
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from inference_gateway import pressure
from inference_gateway.cycle_wire import CycleWire
from inference_gateway.http import Scope
from inference_gateway.patience import MOST_HEAD_BYTES, MOST_HEADERS, Pace, StallGuard, measure_unsent
from inference_gateway.pressure import LOAD, find_dialect, read_simple_post, refusal_for
from inference_gateway.server_express import ExpressProtocol, shrink
from inference_gateway.wire import BELOW, WIRE, Headers

#: The name of a ``Restart`` among a scope's extensions.
RESTART = "slipway.restart"
#: Clients ping every 2 s (eas.md §1.6). Answers to so many fit into a socket's buffer.
MOST_PINGS = 500
PING_WINDOW_SECONDS = 10.0
#: What says where a body ends.
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))


def render_refusal(headers: Headers, status: int, code: str, message: str) -> bytes:
    """A whole answer to what never came to be a request; the connection ends with it. Pure."""
    told = json.dumps({"error": {"message": message, "type": "invalid_request_error", "code": code}}).encode("ascii")
    lines = [b"%b: %b\r\n" % header for header in headers]
    head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(told)
    return b"".join((STATUS_LINE[status], *lines, head, told))


class _HeadTooLargeError(Exception):
    """Ends the parser's work."""


class _Waiting(list[tuple[RequestResponseCycle, Any]]):
    """Requests behind the one that is answered: nearly always none, which costs a deque 600 bytes a connection."""

    def appendleft(self, one: tuple[RequestResponseCycle, Any]) -> None:
        self.insert(0, one)


class UpgradeBlindProtocol(StallGuard, ExpressProtocol):
    """Answers a request that offers a protocol we do not speak as one without the offer.

    A request's scope has a ``wire.Wire`` among its extensions. Heads are bounded (431), and so is the time that a
    request takes to come (408) and an answer to be read (``patience``). When the server ends, a connection that is
    kept takes one more request: uvicorn's would close it under one that is on its way.
    """

    linger_seconds = 1
    #: How long the server's end waits at most until the other side has what was sent, and how often it looks.
    taken_seconds = 30.0
    look_seconds = 0.1
    head_seconds = 20.0
    body_seconds = 20.0
    least_bytes = 1024

    # Beside the dictionary: with more than thirty names in it, it would be one of its own for each connection.
    __slots__ = (
        "_head_bytes", "_is_admitted", "_is_in_head", "_is_in_request", "_is_repeating", "_pace", "_taken_by",
        "_told_bytes",
    )  # fmt: skip

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.pipeline = _Waiting()  # type: ignore[assignment]
        self._is_in_request = self._is_in_head = self._is_repeating = self._is_admitted = False
        self._pace: Pace | None = None
        #: Of a head: what has come in pieces, and what the parser has told of.
        self._head_bytes = self._told_bytes = 0
        self._taken_by = math.inf

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin_pace()

    def data_received(self, data: bytes) -> None:
        """As uvicorn's, but what follows the headers of an unknown offer is read as the body that it is."""
        if not self._is_in_request and (self._refuse_busy(data) if LOAD.is_high else self._take_known(data)):
            self._end_pace()
            return
        self._unset_keepalive_if_required()
        if self._is_refused:
            return
        self._data = None if self._is_in_request else data
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _HeadTooLargeError):
                self._refuse_head()
            else:
                self._refuse(400, "http_invalid", "What came is no HTTP request.")
            return
        except httptools.HttpParserUpgrade as pause:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._read_on()
                self.data_received(data[pause.args[0] :])
            return
        self._data = None  # else it would lie here as long as the answer takes
        if self._is_in_request:
            self._keep_pace(len(data))
        elif self._pace is not None:
            self._end_pace()

    def handle_websocket_upgrade(self) -> None:
        """A handshake has no body: what follows one that says so would be read as frames, or as nothing for ever."""
        if any(name in _FRAMING and value.strip() != b"0" for name, value in self.headers):
            self._refuse(400, "http_invalid", "A WebSocket's handshake has no body.")
            return
        self.headers[:] = [header for header in self.headers if header[0] not in _FRAMING]
        self._end_pace()
        self._keep_no_more()
        super().handle_websocket_upgrade()

    def shutdown(self) -> None:
        """The server ends; called once for each connection. An answer that has not begun says that it is the last."""
        self._is_ending = True
        self._keep_no_more()
        self.timeout_keep_alive = self.linger_seconds
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = cycle.keep_alive and cycle.response_started
        elif not self._is_in_request:
            self._await_next()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that waits for its next request. When the server ends, only once the other side has all of
        the last answer: what the kernel still holds ends with a container's network, and nobody is told.
        """
        if self._is_ending and not self.transport.is_closing() and measure_unsent(self.transport):
            now = self.loop.time()
            self._taken_by = min(self._taken_by, now + self.taken_seconds)
            if now < self._taken_by:
                self.timeout_keep_alive = self.look_seconds  # type: ignore[assignment]
                self._await_next()
                return
        super().timeout_keep_alive_handler()

    def _refuse_busy(self, data: bytes) -> bool:
        """Under pressure: whether what came was a question, refused without any further work."""
        if self.cycle is not None and not self.cycle.response_complete:
            return False
        path = read_simple_post(data)
        answer = None if path is None else refusal_for(path)
        if answer is None:
            return False
        if LOAD.admits(self.loop):
            self._is_admitted = True
            return False
        self.transport.write(answer)
        self._await_next()
        return True

    def _begin_pace(self) -> None:
        self._pace = Pace(
            self.loop,
            self.head_seconds,
            self.body_seconds,
            self.least_bytes,
            lambda: self.flow.read_paused,
            self._give_up,
        )

    def _end_pace(self) -> None:
        if self._pace is not None:
            self._pace.end()
            self._pace = None

    def _keep_pace(self, size: int) -> None:
        """So much has come of a request that is not whole."""
        if self._pace is None:
            self._begin_pace()
        assert self._pace is not None
        self._pace.note(size)
        self._pace.is_in_head = self._is_in_head
        if self._is_in_head:
            self._head_bytes += size
            if self._head_bytes > 2 * MOST_HEAD_BYTES:  # the parser has told of no header yet
                self._refuse_head()

    def _give_up(self) -> None:
        if self._is_in_request:
            self._refuse(408, "request_timeout", "The request came too slowly. Send it again.")
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse_head(self) -> None:
        self._refuse(431, "headers_too_large", f"Headers are over {MOST_HEAD_BYTES // 1024} KiB or {MOST_HEADERS}.")

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer instead of the application, where no answer is under way, and end the connection.

        What follows is not read: it may be part of a request, or one that somebody hid.
        """
        self._end_pace()
        is_between, cycle = self._is_in_head or not self._is_in_request, self.cycle
        self._is_in_request, self._is_refused = False, True
        if self.transport.is_closing():
            return
        if cycle is not None and not cycle.response_complete and is_between:
            cycle.keep_alive = False  # it answers the request before, and then closes
            return
        if cycle is not None and not is_between and (cycle.response_started or self.pipeline):
            if cycle.response_complete:
                self.transport.close()
            else:
                self.transport.abort()  # an end that looks clean would hide it
            return
        self.transport.write(render_refusal(self.server_state.default_headers, status, code, message))
        self.transport.close()

    def _read_on(self) -> None:
        """Put a parser in place that stands where the old one stopped: behind these headers, before the body."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        framing = [name + b": " + value + b"\r\n" for name, value in self.headers if name in _FRAMING]
        self._is_repeating = True
        try:
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(framing) + b"\r\n")
        finally:
            self._is_repeating = False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_pace()
        super().connection_lost(exc)
        wires, self._wires = self._wires, ()
        for wire in wires:
            wire.tell_gone()

    def pause_writing(self) -> None:
        super().pause_writing()
        for wire in self._wires:
            if wire.on_full is not None:
                wire.on_full()

    def resume_writing(self) -> None:
        super().resume_writing()
        for wire in self._wires:
            if wire.on_room is not None:
                wire.on_room()

    def on_message_begin(self) -> None:
        if not self._is_repeating:
            self._is_in_request = self._is_in_head = True
            self._head_bytes = self._told_bytes = 0
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._is_repeating:
            super().on_url(url)
            if len(self.url) > MOST_HEAD_BYTES:
                raise _HeadTooLargeError

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_repeating:
            self._told_bytes += len(name) + len(value)
            super().on_header(name, value)
            if self._told_bytes > MOST_HEAD_BYTES or len(self.headers) > MOST_HEADERS:
                raise _HeadTooLargeError

    def on_headers_complete(self) -> None:
        if self._is_repeating:
            return
        self._is_in_head = False
        before = self.cycle
        if LOAD.is_high:
            self._begin_pressed()
        else:
            self._may_hold = BELOW.express is not None
            super().on_headers_complete()
            self._may_hold = False
        cycle = self.cycle
        if self._is_ending and cycle is not None and cycle is not before:
            cycle.keep_alive = False
        if cycle is not None and cycle is not before and self.scope["http_version"] == "1.1":
            shrink(cycle.message_event)
            wire = CycleWire(cycle)
            self._wires = (*self._wires, wire)
            # uvicorn's own type has dictionaries only.
            self.scope["extensions"] = {WIRE: wire}  # type: ignore[dict-item]

    def _begin_pressed(self) -> None:
        """Under pressure: what could not be refused before it was parsed."""
        is_question = self.parser.get_method() == b"POST" and find_dialect(self.url) is not None
        is_admitted, self._is_admitted = self._is_admitted, False
        served = self.app
        if is_question and not is_admitted and not LOAD.admits(self.loop):
            self.app = pressure.refuse
        try:
            super().on_headers_complete()
        finally:
            self.app = served

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade() or self._should_upgrade():
            self._is_in_request = False
            super().on_message_complete()
            if self._held is not None:
                self._begin_held()


@dataclass(slots=True)
class Restart:
    """Under ``RESTART`` in a WebSocket's scope: who takes it closes the connection itself once ``is_near``."""

    is_near: asyncio.Event = field(default_factory=asyncio.Event)
    is_taken: bool = False


def take_restart(scope: Scope) -> asyncio.Event:
    """Take it: the event that is set when the server ends. One that is never set where the server knows none."""
    restart = scope.get("extensions", {}).get(RESTART)
    if not isinstance(restart, Restart):
        return asyncio.Event()
    restart.is_taken = True
    return restart.is_near


class RefusableProtocol(StallGuard, WebSocketsSansIOProtocol):
    """uvicorn's, with what it lacks.

    - A handshake that cannot be read is answered. uvicorn's waits for ever.
    - A handshake that was answered with a refusal is answered. uvicorn's logs an error for each ("returned without
      completing handshake") until the connection is gone.
    - Whoever takes ``Restart`` is told that the server ends, and says goodbye in its own words; uvicorn drops the
      connection in mid-answer.
    - Pings are answered within bounds. uvicorn's gathers the answers to a caller who reads none.
    - Who reads nothing is cut off (``patience``).
    """

    _restart: Restart | None = None
    _pings = 0
    _pings_since = 0.0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated and not self.transport.is_closing():  # the whole of it was given at once
            refusal = render_refusal(self.default_headers, 400, "http_invalid", "What came is no handshake.")
            self.transport.write(refusal)
            self.transport.close()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:  # the task that it made has not begun
            self._restart = Restart()
            self.scope["extensions"][RESTART] = self._restart  # type: ignore[assignment]

    def shutdown(self) -> None:
        """The server ends; called once for each connection."""
        restart = self._restart
        if restart is not None and restart.is_taken and self.handshake_complete and not self.close_sent:
            self.stop_keepalive()
            restart.is_near.set()
        else:
            super().shutdown()

    def handle_ping(self) -> None:
        """Answer one, or close a connection that sends more of them than anybody needs."""
        now = self.loop.time()
        if now - self._pings_since > PING_WINDOW_SECONDS:
            self._pings, self._pings_since = 0, now
        self._pings += 1
        if self.close_sent:
            return
        if self._pings > MOST_PINGS:
            self.conn.send_close(1008, "Too many pings.")
            self.handle_parser_exception()
        else:
            super().handle_ping()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True
