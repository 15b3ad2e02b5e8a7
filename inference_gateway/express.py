"""A question whose answer comes at once, from the caller's connection to an engine's with no task between them.

The usual one has nothing to wait for: the service is known, the token is right, some of its limits was fetched ahead, a
kept connection to an instance is free. It goes out in the turn of the event loop in which it came, and so does its
answer. ``look`` is asked with the head, ``begin`` with the body; where anything is not as usual, either says no with
nothing done or counted, and the request goes over ASGI like any other. What comes back and is no such answer (a
refusal, a lost connection, much of it) is handed on to the relay, which goes on from there in a task.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from deployments.request_ids import request_id as current_request_id
from inference_gateway.accounts import FINISHED, Account, Ending
from inference_gateway.admission import Admission, Admitted
from inference_gateway.answer import INTERNAL_ERROR
from inference_gateway.authentication import find_bearer
from inference_gateway.calls import CROSS_ORIGIN_HEADERS, Call, check_request_id, new_request_id
from inference_gateway.chat import ChatError
from inference_gateway.codecs.openai_relay import Question, find_usage, read_question
from inference_gateway.codecs.xinference import needs_codec
from inference_gateway.head_lines import read_lines, render_lines
from inference_gateway.http import Receive, Scope, Send
from inference_gateway.relay import JSON_HEADER, RELAYED, Begun, Relay, make_account
from inference_gateway.routing import Lease, took_too_long
from inference_gateway.targets import Kind, Target, parse_target
from inference_gateway.upstream import render_question
from inference_gateway.upstream_connection import Connection
from inference_gateway.wire import Application, Asked

logger = logging.getLogger(__name__)

#: A longer question is read over ASGI, which makes its sender wait where it must.
MOST_BODY_BYTES, MOST_DIGITS = 64 * 1024, 5
CHAT = Kind.CHAT_COMPLETIONS
#: With one of these a request is another one than it looks, or its server has more to do.
UNUSUAL = frozenset((b"expect", b"last-event-id", b"transfer-encoding", b"upgrade", b"x-slipway-conversation"))

#: With room for its id and for what limits tell.
LINES = render_lines((JSON_HEADER, (b"x-request-id", b"%b"), *CROSS_ORIGIN_HEADERS)) + b"%b"

Answering = Callable[[Call], Awaitable[None]]
#: Runs it, and answers with what it raises.
Guard = Callable[[Call, Answering], Awaitable[None]]


@dataclass(slots=True)
class Head:
    """What ``look`` has read. ``admitted`` is who was let in with it last, and to which service."""

    target: Target
    token: str
    request_id: str | None
    agent: bytes
    admitted: Admitted | None = None


class Express:
    """One for each process, in the gateway's event loop (``wire.Taker``)."""

    def __init__(self, admission: Admission, relay: Relay, guard: Guard) -> None:
        self._admission = admission
        self._router, self._models, self._upstream = relay.router, relay.models, relay.upstream
        self.relay = relay
        self.accounts = relay.accounts
        self.guard = guard
        self._loop = asyncio.get_running_loop()
        #: In the order of their beginnings.
        self._under_way: dict[_Exchange, None] = {}
        #: One for all: of the next that has to end, or of one that had to.
        self._timer: asyncio.TimerHandle | None = None
        self._due_at = math.inf

    def look(self, scope: Scope) -> Head | None:
        """Whether this is the head of a usual question, from somebody who may ask one."""
        if scope["method"] != "POST":
            return None
        headers = dict(scope["headers"])
        authorization, length = headers.get(b"authorization", b"").strip(), headers.get(b"content-length", b"")
        if (
            not authorization
            or len(headers) != len(scope["headers"])
            or not UNUSUAL.isdisjoint(headers)
            or not (length.isdigit() and len(length) <= MOST_DIGITS)
            or int(length) > MOST_BODY_BYTES
        ):
            return None
        try:
            target = parse_target(scope["raw_path"])
        except ChatError:
            return None
        if target.kind not in RELAYED:
            return None
        token = find_bearer(authorization)
        if token is None or (target.service is not None and self._admission.peek(target.service, token) is None):
            return None
        given = check_request_id(headers.get(b"x-request-id", b"").decode("latin-1"))
        return Head(target, token, given, headers.get(b"user-agent", b""))

    def begin(self, head: Head, body: bytes, asked: Asked) -> bool:
        """Whether the question is on its way. See ``wire.Taker``."""
        try:
            return self._begin(head, body, asked)
        except Exception:  # an edge, as the gateway's own
            logger.exception("a request failed")
            call_id = head.request_id or new_request_id()
            asked.start(
                self.apply(lambda scope, receive, send: Call(scope, receive, send, call_id, head.target), _fail)
            )
            return True

    def apply(self, make_call: Callable[[Scope, Receive, Send], Call], answering: Answering) -> Application:
        """An application that answers one call."""

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await self.guard(make_call(scope, receive, send), answering)

        return application

    def _begin(self, head: Head, body: bytes, asked: Asked) -> bool:
        is_chat = head.target.kind is CHAT
        question = read_question(body, is_chat=is_chat)
        if question is None or question.is_stream or needs_codec(question.fields, is_flat_stream=False):
            return False
        name = head.target.service
        if name is None and "model" in question.fields:
            name = question.model
        admitted = None if name is None else self._admit(name, head)
        if admitted is None or admitted.service.traits.engine is None:
            return False
        lease = self._router.take_now(admitted.service, question.find_prefix)
        if lease is None:
            return False
        connection = self._find_connection(lease)
        if connection is None:
            lease.release()
            return False
        request_id = head.request_id or new_request_id()
        account = make_account(admitted.service, admitted.principal, head.target, request_id, question)
        told = self.accounts.reserve_now(account)
        if told is None:
            self._upstream.put_back(connection)
            lease.release()
            return False
        if admitted.key is None:
            self._admission.note_agent(admitted.service, asked.scope, head.agent)
        else:
            self._admission.note_key(admitted.key)
        self.accounts.open(account)
        _Exchange(self, head.target, asked, question, account, lease, connection, told).begin()
        return True

    def _admit(self, name: str, head: Head) -> Admitted | None:
        """Who asks, by what is known; as a rule who asked with this head before."""
        last = head.admitted
        if last is None or last.service.name != name or not self._admission.stands(last, head.token):
            last = head.admitted = self._admission.peek(name, head.token)
        return last

    def close(self) -> None:
        """Stop what is under way."""
        if self._timer is not None:
            self._timer.cancel()
        for exchange in tuple(self._under_way):
            exchange.stop()

    def opened(self, exchange: _Exchange, seconds: float) -> None:
        """It may take so long."""
        ends_at = exchange.ends_at = self._loop.time() + seconds
        self._under_way[exchange] = None
        if ends_at < self._due_at:
            self._call_at(ends_at)

    def closed(self, exchange: _Exchange) -> None:
        self._under_way.pop(exchange, None)

    def seconds_left(self, exchange: _Exchange) -> float:
        return exchange.ends_at - self._loop.time()

    def _call_at(self, due_at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due_at = due_at
        self._timer = self._loop.call_at(due_at, self._end_late)

    def _end_late(self) -> None:
        self._timer, self._due_at = None, math.inf
        now = self._loop.time()
        for exchange in [one for one in self._under_way if one.ends_at <= now]:
            exchange.give_up()
        next_at = min((one.ends_at for one in self._under_way), default=math.inf)
        if next_at < math.inf:
            self._call_at(next_at)

    def render(self, lease: Lease, kind: Kind, question: Question, request_id: str) -> bytes:
        """The request for the engine."""
        route = lease.route
        body = question.render(self._models.choose_known(lease.service, route, question.model))
        return render_question(str(kind.value), (route.host, route.port), body, request_id)

    def _find_connection(self, lease: Lease) -> Connection | None:
        service, route = lease.service, lease.route
        if route.base_url or not self._models.knows(service, route):
            return None
        return self._upstream.take_idle((route.host, route.port))


@dataclass(slots=True, eq=False)
class _Exchange:
    """One question on its way. ``told`` are the lines that its limits add to the head of the answer."""

    express: Express
    target: Target
    asked: Asked
    question: Question
    account: Account
    lease: Lease
    connection: Connection
    told: bytes
    request: bytes = b""
    ends_at: float = 0.0

    def begin(self) -> None:
        express, lease = self.express, self.lease
        express.opened(self, lease.service.traits.keepalive_seconds)
        self.asked.listen(self.stop)
        self.request = express.render(lease, self.target.kind, self.question, self.account.request_id)
        self.connection.send(self.request, self._look)

    def stop(self) -> None:
        """The caller has left, or the server ends."""
        self._drop()
        self.express.accounts.close(self.account, Ending.STOPPED)

    def _look(self) -> None:
        """There is more of the answer, or there will be none."""
        connection = self.connection
        if connection.is_here and connection.status == 200:
            self._let_go()
            try:
                self._finish(connection.take())
            except Exception:  # an edge, as the gateway's own
                current_request_id.set(self.account.request_id)
                logger.exception("a request failed")
                self._refuse(INTERNAL_ERROR)
        elif connection.is_odd or connection.is_complete:
            self._let_go()
            begun = Begun(self.lease, connection, self.request, self.express.seconds_left(self))
            self._hand_on(lambda call: self.express.relay.take_over(call, self.question, self.account, begun))

    def _finish(self, body: bytes) -> None:
        account = self.account
        account.first_token_at = time.perf_counter()
        if (usage := find_usage(body)) is not None:
            account.count(usage)
        self.connection.release()
        self.lease.release()
        self.express.relay.router.judge(self.lease)
        self.express.accounts.close(account, FINISHED)
        self.asked.answer_lines(200, LINES % (account.request_id.encode("ascii"), self.told), body)

    def give_up(self) -> None:
        """Its time is over."""
        self._drop()
        self._refuse(took_too_long(self.lease.service))

    def _refuse(self, error: ChatError) -> None:
        async def refuse(call: Call) -> None:
            self.express.accounts.close(self.account, Ending.REFUSED, error)
            raise error

        self._hand_on(refuse)

    def _hand_on(self, answering: Answering) -> None:
        self.asked.start(self.express.apply(self._make_call, answering))

    def _make_call(self, scope: Scope, receive: Receive, send: Send) -> Call:
        account = self.account
        call = Call(scope, receive, send, account.request_id, self.target, body=b"")
        call.service, call.principal = account.service, account.principal
        call.tell(read_lines(self.told))
        return call

    def _drop(self) -> None:
        """Nobody waits for the engine any more."""
        self._let_go()
        self.connection.abort()
        self.lease.release()

    def _let_go(self) -> None:
        """What happens from now on is somebody else's."""
        self.connection.unwatch()
        self.asked.listen(None)
        self.express.closed(self)


async def _fail(call: Call) -> None:
    raise INTERNAL_ERROR
