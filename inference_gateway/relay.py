"""OpenAI's questions on the short way: the engine's bytes are the caller's, less what must not pass.

    body → top-level fields → instance → engine's bytes → whole events → caller

Nothing is read of an answer but its count of tokens and its end. A question that needs more (a recorded conversation,
a field in an unusual form, an instance behind an API server) takes the long way, over ``engines`` and ``codecs``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable
from dataclasses import dataclass

from deployments.clusters.passage import DIRECT
from inference_gateway.accounts import Account, Accounts, Ending
from inference_gateway.calls import Call
from inference_gateway.chat import ChatError
from inference_gateway.codecs import JSON_TYPE, openai
from inference_gateway.codecs.openai_relay import Question, Stream, find_likeness, find_usage
from inference_gateway.directory import ServiceEntry
from inference_gateway.engines.openai_http import MAX_ERROR_BYTES
from inference_gateway.engines.refusals import broken, read_refusal, unreachable
from inference_gateway.http import UNBUFFERED, run_watched, send_body
from inference_gateway.model_names import ModelNames
from inference_gateway.principals import Principal
from inference_gateway.routing import NOT_BEGUN, Lease, Router, choose_told, took_too_long
from inference_gateway.targets import Kind, Target
from inference_gateway.trace_context import outgoing
from inference_gateway.upstream import Upstream, render_request
from inference_gateway.upstream_connection import Answer, Connection, UnreachableError, UpstreamError, find_data
from inference_gateway.wire import Wire, find_wire

logger = logging.getLogger(__name__)

RELAYED = (Kind.CHAT_COMPLETIONS, Kind.COMPLETIONS)
#: So much of an answer at once is waited for before it is sent.
MOST_HELD_BYTES = 1024 * 1024
EVENT_STREAM = b"text/event-stream"
JSON_HEADER = (b"content-type", JSON_TYPE.encode("ascii"))
STREAM_HEADERS = ((b"content-type", openai.STREAM_TYPE.encode("ascii")), *UNBUFFERED)


@dataclass(frozen=True, slots=True)
class Begun:
    """A question that was sent to an instance already. ``seconds`` are left of its time."""

    lease: Lease
    connection: Connection
    request: bytes
    seconds: float


class Relay:
    """One for each process."""

    def __init__(self, router: Router, models: ModelNames, upstream: Upstream, accounts: Accounts) -> None:
        self.router = router
        self.models = models
        self.upstream = upstream
        self.accounts = accounts

    async def answer(self, call: Call, service: ServiceEntry, question: Question) -> None:
        """Answer one question. Raises ChatError while nothing was sent; the codes of ``OpenAiEngine.generate``,
        ``Router.acquire``, and ``request_timeout``. A caller who leaves stops the engine.
        """
        assert call.principal is not None
        account = make_account(service, call.principal, call.target, call.request_id, question)
        await self._answer(call, question, self.accounts.open(account))

    async def take_over(self, call: Call, question: Question, account: Account, begun: Begun) -> None:
        """The same of a question whose account is open and whose limits are set aside."""
        await self._answer(call, question, account, begun)

    async def _answer(self, call: Call, question: Question, account: Account, begun: Begun | None = None) -> None:
        service = account.service
        tab = _Tab(self.accounts, account, question)
        reply = _Reply(self, call, question, tab, begun)
        seconds = service.traits.keepalive_seconds if begun is None else begun.seconds
        try:
            if begun is None and account.principal.limited:
                await self.accounts.reserve(account, call.tell)
            await run_watched(reply.run(), call.scope, call.receive, seconds)
        except TimeoutError:
            await reply.fail(took_too_long(service))
        except ChatError as error:
            tab.close(Ending.REFUSED, error)
            raise
        finally:
            # What has ended otherwise stays so: this is for a caller who left.
            tab.close(Ending.STOPPED)

    async def open(
        self, call: Call, service: ServiceEntry, question: Question, begun: Begun | None
    ) -> tuple[Lease, Answer]:
        """The head of an instance's answer; of another one's, once, where the first has not begun."""
        passed_over: frozenset[str] = frozenset()
        first: ChatError | None = None
        while True:
            if begun is not None:
                lease, asking = begun.lease, self.upstream.hear(begun.connection, begun.request)
                begun = None
            else:
                try:
                    lease = await self.router.acquire(service.name, passed_over, service, question.find_prefix)
                except ChatError as error:
                    raise choose_told(first, error) from None
                asking = self._ask(lease, call, question)
            try:
                answer = await _check(asking)
                self.router.judge(lease)
                return lease, answer
            except ChatError as error:
                self.router.judge(lease, error)
                lease.release()
                if first is not None or error.code not in NOT_BEGUN:
                    raise
                first = error
                passed_over = frozenset({lease.route.instance})
            except BaseException:
                lease.release()
                raise

    async def _ask(self, lease: Lease, call: Call, question: Question) -> Answer:
        model = await self.models.choose(lease.service, lease.route, DIRECT, question.model)
        address = (lease.route.host, lease.route.port)
        path, headers = str(call.target.kind.value), (("x-request-id", call.request_id), *outgoing.get().items())
        return await self.upstream.ask(address, render_request(path, address, question.render(model), headers))


async def _check(asking: Awaitable[Answer]) -> Answer:
    """An answer that has begun well. Raises ChatError for any other."""
    try:
        answer = await asking
    except UnreachableError as error:
        raise unreachable() from error
    except UpstreamError as error:
        raise broken(str(error)) from error
    if answer.status == 200:
        return answer
    try:
        body = await _read_error(answer)
        retry_after = (answer.find(b"retry-after") or b"").decode("latin-1")
        raise read_refusal(answer.status, body, retry_after=retry_after)
    finally:
        answer.close()


def make_account(
    service: ServiceEntry, principal: Principal, target: Target, request_id: str, question: Question
) -> Account:
    """To be opened by who asks."""
    most = None if question.max_tokens is None else question.max_tokens * question.choices
    # Without names: with them it takes half as long again.
    return Account(service, principal, target.operation, request_id, question.is_stream, question.measure, most)


async def _read_error(answer: Answer) -> bytes:
    body = b""
    try:
        while len(body) < MAX_ERROR_BYTES and (piece := await answer.read()):
            body += piece
    except UpstreamError:
        pass  # the status alone says enough
    return body


class _Tab:
    """The account of a question, and the stream that counts for it."""

    def __init__(self, accounts: Accounts, account: Account, question: Question) -> None:
        self._accounts = accounts
        self.account = account
        self.stream = Stream(hides_usage=not question.wants_usage)

    def begin(self) -> None:
        """The first bytes of the answer are here."""
        self.account.first_token_at = time.perf_counter()

    def count(self, body: bytes) -> None:
        """A whole answer, or the end of a long one."""
        if (usage := find_usage(body)) is not None:
            self.account.count(usage)

    def close(self, ending: Ending, error: ChatError | None = None) -> None:
        account = self.account
        if account.ending is None:
            account.pieces = self.stream.pieces
            if self.stream.usage is not None:
                account.count(self.stream.usage)
            self._accounts.close(account, ending, error)


class _Reply:
    """One question on its way. ``run`` answers it; where it returns early, the server drops the connection."""

    def __init__(self, relay: Relay, call: Call, question: Question, tab: _Tab, begun: Begun | None) -> None:
        self._relay = relay
        self._call = call
        self._service = tab.account.service
        self._question = question
        self._tab = tab
        self._begun = begun

    async def run(self) -> None:
        lease, answer = await self._relay.open(self._call, self._service, self._question, self._begun)
        try:
            if not self._question.is_stream:
                await self._pass_body(answer)
                return
            if not (answer.find(b"content-type") or b"").startswith(EVENT_STREAM):
                raise UpstreamError("what it sent is no stream of events")
            self._question.forget()
            self._call.body = b""
            wire = find_wire(self._call.scope)
            pouring = self._pass_stream(answer) if wire is None else _Pouring(self._call, wire, answer, self._tab).run()
            await pouring
        except UpstreamError as error:
            await self.fail(broken(str(error)))
        finally:
            answer.close()
            lease.release()

    async def fail(self, error: ChatError) -> None:
        """As an answer, or behind what was sent as an event."""
        call = self._call
        self._tab.close(Ending.FAILED if call.has_begun else Ending.REFUSED, error)
        if not call.has_begun:
            raise error
        logger.warning("service %s: an answer broke off: %s", self._service.name, error.code)
        if self._question.is_stream:
            told = openai.encode_failure(error)
            wire = find_wire(call.scope)
            if wire is None:
                await call.send({"type": "http.response.body", "body": told})
            else:
                wire.write(told, is_last=True)

    async def _pass_body(self, answer: Answer) -> None:
        """An answer at once. One of usual length is whole before anything of it is sent."""
        call, body = self._call, b""
        while piece := await answer.read():
            body += piece
            if answer.is_whole and not call.has_begun and (wire := find_wire(call.scope)) is not None:
                body += await answer.read()
                self._close(body)
                wire.answer(200, call.dress(200, (JSON_HEADER,)), body)
                return
            if len(body) > MOST_HELD_BYTES:
                if not call.has_begun:
                    await call.answer({"type": "http.response.start", "status": 200, "headers": [JSON_HEADER]})
                await call.send({"type": "http.response.body", "body": body, "more_body": True})
                body = b""
        self._close(body)
        if call.has_begun:
            await call.send({"type": "http.response.body", "body": body})
        else:
            await send_body(call.answer, 200, body, JSON_TYPE)

    def _close(self, body: bytes) -> None:
        """It is all here."""
        self._tab.begin()
        self._tab.count(body)
        self._tab.close(Ending.FINISHED)

    async def _pass_stream(self, answer: Answer) -> None:
        """Over ASGI. The status goes out with the first event: until then an error is an answer of its own."""
        call, stream = self._call, self._tab.stream
        is_over = False
        while not is_over:
            piece = await answer.read()
            is_over = not piece or answer.is_whole
            out = stream.feed(piece) if piece else b""
            if is_over:
                out += end_of(stream)
                self._tab.close(Ending.FINISHED)
            if not call.has_begun and (out or is_over):
                self._tab.begin()
                await call.answer({"type": "http.response.start", "status": 200, "headers": list(STREAM_HEADERS)})
            if out or is_over:
                await call.send({"type": "http.response.body", "body": out, "more_body": not is_over})


class _Pouring:
    """A stream from the engine's connection to the caller's, piece by piece without a turn of the event loop between.

    Who does not read makes the engine wait.
    """

    __slots__ = ("_answer", "_call", "_is_over", "_stream", "_tab", "_wire")

    def __init__(self, call: Call, wire: Wire, answer: Answer, tab: _Tab) -> None:
        self._call = call
        self._wire = wire
        self._answer = answer
        self._tab = tab
        self._stream = tab.stream
        self._is_over = False

    async def run(self) -> None:
        self._wire.on_full, self._wire.on_room = self._answer.pause, self._answer.resume
        try:
            await self._answer.pour(self._take, self._take_chunk)
            self._note_repeats()
            if not self._is_over:
                self._send(end_of(self._stream), is_last=True)
        finally:
            self._note_repeats()
            self._wire.on_full = self._wire.on_room = None

    def _note_repeats(self) -> None:
        """Before the stream is asked for anything: chunks that it has not seen count for it, too."""
        self._stream.note_repeats(self._answer.take_repeats())

    def _take(self, piece: bytes) -> None:
        self._note_repeats()
        out = self._stream.feed(piece)
        self._is_over = self._answer.is_whole and self._stream.is_over and not self._stream.has_rest
        if out or self._is_over:
            self._send(out, is_last=self._is_over)
        if self._wire.is_full:
            self._answer.pause()

    def _take_chunk(self, chunk: bytes) -> bool:
        """The usual piece, one whole event in a chunk of its own, goes on as it is; more of its like go on by
        themselves.
        """
        start = find_data(chunk)
        if not start or not self._call.has_begun:
            return False
        self._note_repeats()
        if not self._stream.passes(chunk, start):
            return False
        self._wire.pass_chunk(chunk)
        self._answer.repeat(find_likeness(chunk, start), self._wire.transport)
        return True

    def _send(self, data: bytes, *, is_last: bool) -> None:
        if is_last:
            self._tab.close(Ending.FINISHED)
        if self._call.has_begun:
            self._wire.write(data, is_last=is_last)
            return
        self._tab.begin()
        if is_last:
            headers = self._call.dress(200, STREAM_HEADERS)
            self._wire.answer(200, headers, data)
        else:
            self._wire.begin(200, self._call.dress(200, STREAM_HEADERS), data)
            self._call.headers = ()  # told; the stream may be held for long


def end_of(stream: Stream) -> bytes:
    """What is left to tell once the engine has closed. Raises UpstreamError where the answer is not whole."""
    rest = stream.end()
    if not stream.is_complete:
        raise UpstreamError("it closed the connection")
    return rest
