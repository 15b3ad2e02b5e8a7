"""Requests that the gateway only carries: any path and method that is no chat dialect's, streamed both ways.

The instance gets the request as it came, less what belongs to the way here: hop-by-hop headers, the token,
and the console's own cookies, which a program that somebody deployed must neither see nor set.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
from yarl import URL

from deployments.clusters.passage import Lost, Passage
from inference_gateway.accounts import Account, Accounts, Ending, Payer
from inference_gateway.carried_counts import Tail
from inference_gateway.carried_headers import (
    WEBSOCKET_HEADERS,
    check_method,
    render_request_headers,
    render_response_headers,
    render_way_headers,
)
from inference_gateway.carried_sockets import exchange_messages
from inference_gateway.chat import ChatError
from inference_gateway.codecs.engine_errors import render_openai_error
from inference_gateway.directory import ServiceEntry
from inference_gateway.engines.openai_http import MAX_ERROR_BYTES, read_error_body
from inference_gateway.engines.refusals import lost_error, parse_wait
from inference_gateway.handshake import choose_own, offers_for_program
from inference_gateway.http import Receive, Scope, Send, cancel_and_wait, find_header, send_body
from inference_gateway.routing import Lease, Router, took_too_long

logger = logging.getLogger(__name__)

#: So much of a body is kept until an instance answers, for another one if this one does not get it.
MOST_REPEATED_BYTES = 1024 * 1024
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
Got = TypeVar("Got")


#: A whole body as one instance is to get it.
BodyFor = Callable[[Lease, Passage], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Errand:
    """One request to carry. ``path`` is below the service, encoded as it came, with its query.

    ``body_for`` gives the body where it was read whole; else it streams as it comes. ``is_openai``: what the
    instance refuses is told in OpenAI's shape.
    """

    service: ServiceEntry
    path: str
    payer: Payer
    scope: Scope
    body_for: BodyFor | None = None
    is_openai: bool = False


class LostError(Exception):
    """The request came to no instance that answers. ``told`` is what the caller learns if it goes to no other."""

    def __init__(self, told: ChatError, lost: Lost = Lost.UNREACHED) -> None:
        super().__init__(told.message)
        self.told = told
        self.lost = lost


class _Upload:
    """The caller's body on its way to the instance, and a watch on whether the caller is still there."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._is_wanted = True
        self._taken: list[bytes | None] = []
        self._taken_bytes = 0

    @property
    def can_repeat(self) -> bool:
        """Whether all that was taken is still here, for another instance."""
        return self._taken_bytes <= MOST_REPEATED_BYTES

    async def watch(self) -> None:
        """Read until the caller leaves; returns then. Reading waits for whoever takes the pieces."""
        while (message := await self._receive())["type"] != "http.disconnect":
            piece = message.get("body", b"")
            if piece and self._is_wanted:
                await self._pieces.put(piece)
            if not message.get("more_body", False) and self._is_wanted:
                await self._pieces.put(None)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body. Again from its beginning while ``can_repeat``."""
        for piece in tuple(self._taken):
            if piece is None:
                return
            yield piece
        while (piece := await self._take()) is not None:
            yield piece

    async def _take(self) -> bytes | None:
        piece = await self._pieces.get()
        self._taken_bytes += len(piece or b"")
        if self.can_repeat:
            self._taken.append(piece)
        else:
            self._taken.clear()
        return piece

    def drop(self) -> None:
        """The instance has answered without the rest: what still comes is read and forgotten."""
        self._is_wanted = False
        while not self._pieces.empty():
            self._pieces.get_nowait()


@dataclass(frozen=True, slots=True)
class _Opened:
    """An answer of an instance, of which ``head`` was read already."""

    response: aiohttp.ClientResponse
    passage: Passage
    head: bytes = b""

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        if self.head:
            yield self.head
        async for piece in self.response.content.iter_any():
            yield piece

    async def read_error(self) -> bytes | None:
        """The body where it is short and plain; None, with nothing lost, for any other."""
        length = self.response.content_length
        if "Content-Encoding" in self.response.headers or self.response.method == "HEAD":
            return None
        if length is not None and length > MAX_ERROR_BYTES:
            return None
        return self.head or await read_error_body(self.response)


class Passthrough:
    """Carries one request or connection to an instance of a service."""

    def __init__(self, router: Router, session: aiohttp.ClientSession, accounts: Accounts) -> None:
        self._router = router
        self._session = session
        self._accounts = accounts

    async def carry(self, errand: Errand, receive: Receive, send: Send) -> None:
        """Carry an HTTP request.

        Raises ChatError only while nothing has been sent. A caller who leaves cancels, which closes the
        connection to the instance.
        """
        account = self._accounts.open(
            Account(errand.service, errand.payer.principal, errand.payer.operation, errand.payer.request_id)
        )
        try:
            await self._accounts.reserve(account, errand.payer.on_headers)
            await self._carry(errand, account, receive, send)
        except ChatError as error:
            self._accounts.close(account, Ending.REFUSED, error)
            raise
        finally:
            # What has ended otherwise stays so: this is for a caller who left.
            self._accounts.close(account, Ending.STOPPED)

    async def _carry(self, errand: Errand, account: Account, receive: Receive, send: Send) -> None:
        check_method(errand.scope["method"])
        upload = _Upload(receive)
        if errand.body_for is not None:
            upload.drop()  # it has been read
        watcher = asyncio.ensure_future(upload.watch())
        reply = asyncio.ensure_future(self._reply(errand, account, upload, send))
        try:
            await asyncio.wait({watcher, reply}, return_when=asyncio.FIRST_COMPLETED)
            if watcher.done() and not reply.done():
                await watcher  # it ends by itself only when the caller has left
                return
            await reply
        finally:
            await cancel_and_wait(reply)
            await cancel_and_wait(watcher)

    async def _reply(self, errand: Errand, account: Account, upload: _Upload, send: Send) -> None:
        lease, opened = await self._open(errand, upload)
        try:
            deadline = asyncio.get_running_loop().time() + lease.service.traits.keepalive_seconds
            async with asyncio.timeout_at(deadline):
                given = render_response_headers(opened.response.raw_headers)
                headers, restorer = opened.passage.restore(given)
                status = account.status = opened.response.status
                tail = Tail(opened.response.content_type)
                if errand.is_openai and status >= 400 and (body := await opened.read_error()) is not None:
                    told = render_openai_error(status, body, errand.path.partition("?")[0])
                    kept = [one for one in headers if one[0] not in (b"content-length", b"content-type")]
                    self._accounts.close(account, Ending.FINISHED)
                    await send_body(send, status, told, headers=kept)
                    return
                await send({"type": "http.response.start", "status": status, "headers": list(headers)})
                async for piece in opened.pieces():
                    if account.first_token_at is None:
                        account.first_token_at = time.perf_counter()
                    tail.feed(piece)
                    if restored := restorer.feed(piece):
                        await send({"type": "http.response.body", "body": restored, "more_body": True})
                if (usage := tail.find_usage()) is not None:
                    account.count(usage)
                self._accounts.close(account, Ending.FINISHED)
                await send({"type": "http.response.body", "body": restorer.end()})
        except (aiohttp.ClientError, TimeoutError) as error:
            # Returning with the answer unfinished makes the server drop the connection, so the caller sees
            # that it broke off. An end that looks clean would hide it.
            logger.warning("service %s: an answer broke off: %s", errand.service.name, type(error).__name__)
            self._accounts.close(account, Ending.FAILED)
        finally:
            upload.drop()
            opened.response.close()
            lease.release()

    async def _open(self, errand: Errand, upload: _Upload) -> tuple[Lease, _Opened]:
        """Send the request and wait for the answer's head."""
        service, scope = errand.service.name, errand.scope
        headers = render_request_headers(scope, f"/api/predict/{service}", errand.payer.request_id)
        body_for = errand.body_for
        if body_for is not None:
            headers.popall("Content-Length", None)  # the engine's own name may be longer than ours
        has_body = "Content-Length" in headers or find_header(scope, b"transfer-encoding") is not None

        async def request(lease: Lease, passage: Passage) -> _Opened:
            try:
                async with asyncio.timeout(lease.service.traits.keepalive_seconds):
                    data = upload.pieces() if has_body else None
                    response = await self._session.request(
                        scope["method"],
                        URL(lease.route.address + errand.path, encoded=True),
                        headers=render_way_headers(headers, passage),
                        data=data if body_for is None else await body_for(lease, passage),
                        allow_redirects=False,
                        **passage.client_options,
                    )
                    opened = await open_answer(response, passage)
                    self._router.judge_status(lease, response.status)
                    return opened
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                raise LostError(unreachable(service)) from error
            except TimeoutError as error:
                raise took_too_long(lease.service) from error
            except aiohttp.ClientError as error:
                raise no_answer(service) from error

        return await self._reach(service, errand.path, request, upload)

    async def _reach(
        self,
        service: str,
        path: str,
        ask: Callable[[Lease, Passage], Awaitable[Got]],
        upload: _Upload | None = None,
    ) -> tuple[Lease, Got]:
        """Ask an instance, and once another if the first got nothing of the request.

        Whoever gets the lease releases it. ``upload`` is None for a WebSocket.
        """
        passed_over: frozenset[str] = frozenset()
        is_again = False
        while True:
            lease = await self._router.acquire(service, passed_over)
            try:
                passage = await self._router.passages.find(lease.route)
                if (why := passage.refuse_path(path, is_upgrade=upload is None)) is not None:
                    raise ChatError(400, "path_invalid", why)
                return lease, await ask(lease, passage)
            except LostError as error:
                lease.release()
                if error.lost is Lost.BROKEN or is_again or not (upload is None or upload.can_repeat):
                    raise error.told from error
                is_again = True
                if error.lost is Lost.REFUSED:
                    await self._router.passages.renew(lease.route)
                else:
                    self._router.suspect(lease.route)
                    passed_over = frozenset({lease.route.instance})
            except ChatError as error:
                self._router.judge(lease, error)
                lease.release()
                raise
            except BaseException:
                lease.release()
                raise

    async def connect(self, errand: Errand, receive: Receive, send: Send) -> None:
        """Carry a WebSocket: opened there first, so that a refusal there is one here.

        Raises ChatError only while the handshake is open.
        """
        service, path, scope = errand.service.name, errand.path, errand.scope
        headers = render_request_headers(scope, f"/api/predict/{service}", errand.payer.request_id)
        for name in WEBSOCKET_HEADERS:
            headers.popall(name.decode(), None)

        async def handshake(lease: Lease, passage: Passage) -> aiohttp.ClientWebSocketResponse:
            offered = [name for name in offers_for_program(scope) if passage.takes_subprotocol(name)]
            try:
                return await self._session.ws_connect(
                    URL(lease.route.address + path, encoded=True),
                    headers=render_way_headers(headers, passage),
                    protocols=offered,
                    max_msg_size=MAX_MESSAGE_BYTES,
                    autoping=True,
                    **passage.client_options,
                )
            except aiohttp.WSServerHandshakeError as error:
                failure = passage.read_refused_upgrade(error.status, error.headers or {})
                if failure is not None:
                    raise LostError(lost_error(failure), failure.lost) from error
                message = f"The instance refused the WebSocket with {error.status}."
                refused = ChatError(error.status if error.status >= 400 else 502, "handshake_refused", message)
                refused.wait_seconds = parse_wait(error.headers.get("Retry-After") if error.headers else None)
                raise refused from error
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                raise LostError(unreachable(service)) from error
            except (aiohttp.ClientError, TimeoutError) as error:
                raise no_answer(service) from error

        account = self._accounts.open(
            Account(errand.service, errand.payer.principal, errand.payer.operation, errand.payer.request_id)
        )
        try:
            await self._accounts.reserve(account, errand.payer.on_headers)
            lease, upstream = await self._reach(service, path, handshake)
        except ChatError as error:
            self._accounts.close(account, Ending.REFUSED, error)
            raise
        except BaseException:
            self._accounts.close(account, Ending.STOPPED)
            raise
        try:
            await send({"type": "websocket.accept", "subprotocol": upstream.protocol or choose_own(scope)})
            await exchange_messages(upstream, receive, send)
        finally:
            self._accounts.close(account, Ending.FINISHED)
            await upstream.close()
            lease.release()


async def open_answer(response: aiohttp.ClientResponse, passage: Passage) -> _Opened:
    """An answer whose head has come. Raises LostError where it is not the instance's own."""
    if not passage.may_be_failure(response.status, response.headers):
        return _Opened(response, passage)
    try:
        body = await response.read()
    except BaseException:
        response.close()
        raise
    failure = passage.read_failure(response.status, body)
    if failure is None:
        return _Opened(response, passage, body)
    response.close()
    raise LostError(lost_error(failure), failure.lost)


def no_answer(service: str) -> ChatError:
    message = f"The instance of {service} did not answer in HTTP. Its log may say why."
    return ChatError(502, "instance_broke_off", message)


def unreachable(service: str) -> ChatError:
    message = f"No instance of {service} accepts a connection. It may be starting or stopping; try again soon."
    return ChatError(503, "no_healthy_upstream", f"no healthy upstream: {message}")
