"""uvicorn's protocol with a way past its parser, its messages and its tasks, for requests that ``wire.BELOW`` takes."""

from __future__ import annotations

import asyncio
import contextlib
from copy import copy
from functools import partial
from typing import Any, cast

from uvicorn._types import ASGI3Application, HTTPScope
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from inference_gateway.cycle_wire import CycleWire
from inference_gateway.heads import Heads
from inference_gateway.wire import BELOW, WIRE

#: One process's.
HEADS = Heads()


class ExpressProtocol(HttpToolsProtocol):
    """A request whose head is taken waits for its body without a task; one with a known head needs no parser."""

    __slots__ = ("_data", "_held", "_is_ending", "_is_refused", "_may_hold", "_wires")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._is_ending = self._is_refused = self._may_hold = False
        #: What was said to the head of a request whose body is awaited.
        self._held: object | None = None
        #: Being parsed, where a request begins with it.
        self._data: bytes | None = None
        #: Of the requests that are not answered, of which all but the first wait for their turn.
        self._wires: tuple[CycleWire, ...] = ()

    def connection_lost(self, exc: Exception | None) -> None:
        self._held = None
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self._may_hold and BELOW.express is not None and cycle.scope["http_version"] == "1.1":
            self._held = BELOW.express.look(cast(dict[str, Any], cycle.scope))
            if self._held is not None:
                return
        super()._start_asgi_task(cycle, app)

    def _begin_held(self) -> None:
        """The body is here."""
        held, self._held = self._held, None
        cycle, express, scope = self.cycle, BELOW.express, cast(dict[str, Any], self.scope)
        is_forwarded = any(name == b"x-forwarded-for" for name, _ in scope["headers"])
        if is_forwarded:
            self._place_client(scope)
        start = partial(super()._start_asgi_task, cycle)
        if express is None or not express.begin(held, scope, bytes(cycle.body), self._wires[-1], start):
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
        found = HEADS.find(data)
        if found is None:
            return False
        scope, (head, is_forwarded), body = found
        scope |= {"server": self.server, "client": self.client, "scheme": self.scheme, "state": self.app_state.copy()}
        cycle = RequestResponseCycle(
            cast(HTTPScope, scope),
            self.transport,
            self.flow,
            self.logger,
            self.access_logger,
            self.access_log,
            self.server_state.default_headers,
            asyncio.Event(),
            expect_100_continue=False,
            keep_alive=True,
            on_response=self.on_response_complete,
        )
        cycle.more_body = False
        if is_forwarded:
            self._place_client(scope)
        wire = CycleWire(cycle)
        scope["extensions"] = {WIRE: wire}
        self.cycle, self._wires = cycle, (wire,)
        if not express.begin(head, scope, body, wire, partial(super()._start_asgi_task, cycle)):
            wire.leave()
            self.cycle, self._wires = before, ()
            return False
        self._unset_keepalive_if_required()
        return True

    def _place_client(self, scope: dict[str, Any]) -> None:
        """The address that proxies tell, where these are trusted: by uvicorn's own rule, which waits for nothing."""
        if isinstance(self.app, ProxyHeadersMiddleware):
            reading = copy(self.app)
            reading.app = _do_nothing
            with contextlib.suppress(StopIteration):
                reading(cast(HTTPScope, scope), cast(Any, None), cast(Any, None)).send(None)


async def _do_nothing(scope: object, receive: object, send: object) -> None:
    """An application that is never asked for an answer."""
