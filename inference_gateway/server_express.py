"""uvicorn's protocol with a way past its parser, its messages and its tasks, for requests that ``wire.BELOW`` takes."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any, cast

from uvicorn._types import ASGI3Application, HTTPScope
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from inference_gateway.cycle_wire import CycleWire, render_head
from inference_gateway.heads import Heads, Known
from inference_gateway.http import Scope
from inference_gateway.wire import BELOW, WIRE, Application

#: One process's.
HEADS = Heads()
#: A timer may come that much early.
TIMER_SECONDS = 0.002


def shrink(event: asyncio.Event) -> asyncio.Event:
    """Let it keep those who wait in a list: asyncio's deque takes 680 bytes while nobody does. None may wait yet."""
    event._waiters = []  # type: ignore[assignment]
    return event


class ExpressProtocol(HttpToolsProtocol):
    """A request whose head is taken waits for its body without a task; one with a known head needs no parser.

    How long a connection is kept for its next request is watched by one timer that is seldom set: uvicorn's sets and
    cancels one for each request.
    """

    __slots__ = (
        "_data", "_held", "_is_ending", "_is_refused", "_keeping", "_known", "_may_hold", "_next_by", "_wires",
    )  # fmt: skip

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._is_ending = self._is_refused = self._may_hold = False
        #: What was said to the head of a request whose body is awaited.
        self._held: object | None = None
        #: Being parsed, where a request begins with it.
        self._data: bytes | None = None
        #: The last head that needed no parser.
        self._known: Known | None = None
        #: Of the requests that are not answered, of which all but the first wait for their turn.
        self._wires: tuple[CycleWire | _KnownCycle, ...] = ()
        #: When the next request has to be here, and what looks whether it is.
        self._next_by = math.inf
        self._keeping: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        shrink(self.flow._is_writable_event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._held = None
        self._keep_no_more()
        super().connection_lost(exc)

    def _unset_keepalive_if_required(self) -> None:
        self._next_by = math.inf

    def _await_next(self) -> None:
        self._next_by = self.loop.time() + self.timeout_keep_alive
        if self._keeping is None:
            self._keeping = self.loop.call_later(self.timeout_keep_alive, self._look_at_time)

    def _look_at_time(self) -> None:
        self._keeping = None
        left = self._next_by - self.loop.time()
        if left <= TIMER_SECONDS:
            self.timeout_keep_alive_handler()
        elif left < math.inf:
            self._keeping = self.loop.call_later(left, self._look_at_time)

    def _keep_no_more(self) -> None:
        self._next_by = math.inf
        if self._keeping is not None:
            self._keeping.cancel()
            self._keeping = None

    def on_response_complete(self) -> None:
        if self._wires:
            left = []
            for wire in self._wires:
                if wire.is_done:
                    wire.leave()
                else:
                    left.append(wire)
            self._wires = tuple(left)
        # From here on as uvicorn's, but for the timer.
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._next_by = math.inf
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._await_next()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self._may_hold and BELOW.express is not None and cycle.scope["http_version"] == "1.1":
            self._held = BELOW.express.look(cast(dict[str, Any], cycle.scope))
            if self._held is not None:
                return
        super()._start_asgi_task(cycle, app)

    def _begin_held(self) -> None:
        """The body is here."""
        held, self._held = self._held, None
        cycle, express, scope = self.cycle, BELOW.express, cast(Scope, self.scope)
        is_forwarded = any(name == b"x-forwarded-for" for name, _ in scope["headers"])
        if is_forwarded:
            self._place_client(scope)
        wire, start = cast(CycleWire, self._wires[-1]), partial(super()._start_asgi_task, cycle)
        if express is None or not express.begin(held, bytes(cycle.body), _Held(wire, scope, start)):
            start(self.app)
        elif self._data is not None and cycle.keep_alive:
            HEADS.remember(self._data, scope, (held, is_forwarded))

    def _take_known(self, data: bytes) -> bool:
        """Whether this was a request whose head is known, and is on its way; else it is for the parser."""
        express, before = BELOW.express, self.cycle
        if (
            express is None
            or self._is_refused
            or self._is_ending
            or (before is not None and not before.response_complete)
        ):
            return False
        known = self._known
        body = None if known is None else known.find_body(data)
        if known is None or body is None:
            known = HEADS.find(data)
            body = None if known is None else known.find_body(data)
            if known is None or body is None:
                return False
            self._known = known
        cycle = _KnownCycle(self, known, len(body))
        self.cycle, self._wires = cast(RequestResponseCycle, cycle), (cycle,)
        if not express.begin(known.kept[0], body, cycle):
            cycle.leave()
            self.cycle, self._wires = before, ()
            return False
        if not cycle.response_complete:
            self._next_by = math.inf
        return True

    def make_scope(self, known: Known, length: int) -> Scope:
        """Of a request with this head."""
        scope = known.make_scope(length)
        scope["server"], scope["client"], scope["scheme"] = self.server, self.client, self.scheme
        scope["state"] = self.app_state.copy()
        if known.kept[1]:
            self._place_client(scope)
        return scope

    def start_known(self, known_cycle: _KnownCycle, scope: Scope, application: Application) -> None:
        """Make of a request with a known head one over ASGI."""
        cycle = RequestResponseCycle(
            cast(HTTPScope, scope),
            self.transport,
            self.flow,
            self.logger,
            self.access_logger,
            self.access_log,
            self.server_state.default_headers,
            shrink(asyncio.Event()),
            expect_100_continue=False,
            keep_alive=known_cycle.keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.more_body, cycle.disconnected = False, known_cycle.disconnected
        scope["extensions"] = {WIRE: (wire := CycleWire(cycle))}
        if known_cycle.disconnected:
            wire.tell_gone()
        self._wires = tuple([wire if one is known_cycle else one for one in self._wires])
        if self.cycle is cast(object, known_cycle):
            self.cycle = cycle
        super()._start_asgi_task(cycle, application)

    def _place_client(self, scope: Scope) -> None:
        """The address that proxies tell, where these are trusted: by uvicorn's own rule, which waits for nothing."""
        if isinstance(self.app, ProxyHeadersMiddleware):
            reading = copy(self.app)
            reading.app = _do_nothing
            with contextlib.suppress(StopIteration):
                reading(cast(HTTPScope, scope), cast(Any, None), cast(Any, None)).send(None)


class _Held:
    """A request that the parser has read (``wire.Asked``)."""

    __slots__ = ("answer_lines", "listen", "scope", "start")

    def __init__(self, wire: CycleWire, scope: Scope, start: Callable[[Application], None]) -> None:
        self.scope = scope
        self.start = start
        self.listen, self.answer_lines = wire.listen, wire.answer_lines


class _KnownCycle:
    """A request with a known head: uvicorn's cycle, as far as its protocol looks at one, and ``wire.Asked``.

    uvicorn's own, the scope and what belongs to them are made only where it goes over ASGI after all.
    """

    __slots__ = (
        "_known", "_length", "_listener", "_server", "disconnected", "keep_alive", "response_complete",
        "response_started",
    )  # fmt: skip

    #: Nobody waits for more of a request that is whole.
    message_event = asyncio.Event()
    #: Nothing is poured on it.
    on_full: Callable[[], object] | None = None
    on_room: Callable[[], object] | None = None

    def __init__(self, server: ExpressProtocol, known: Known, length: int) -> None:
        self._server: ExpressProtocol | None = server
        self._known = known
        self._length = length
        self._listener: Callable[[], object] | None = None
        self.disconnected = self.response_started = self.response_complete = False
        self.keep_alive = True

    @property
    def is_done(self) -> bool:
        return self.response_complete

    @property
    def scope(self) -> Scope:
        assert self._server is not None
        return self._server.make_scope(self._known, self._length)

    def start(self, application: Application) -> None:
        server, self._listener = self._server, None
        assert server is not None
        server.start_known(self, self.scope, application)
        self._server = None

    def listen(self, listener: Callable[[], object] | None) -> None:
        self._listener = listener
        if self.disconnected and listener is not None:
            listener()

    def leave(self) -> None:
        """Else the connection and its last request would hold each other."""
        self._server = None

    def tell_gone(self) -> None:
        self.disconnected = True
        if self._listener is not None:
            self._listener()

    def answer_lines(self, status: int, lines: bytes, body: bytes) -> None:
        server = self._server
        if server is None or self.disconnected:
            return
        head = render_head(status, server.server_state.default_headers, lines, is_kept=self.keep_alive)
        server.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        self.response_started = self.response_complete = True
        if not self.keep_alive:
            server.transport.close()
        server.on_response_complete()


async def _do_nothing(scope: object, receive: object, send: object) -> None:
    """An application that is never asked for an answer."""
