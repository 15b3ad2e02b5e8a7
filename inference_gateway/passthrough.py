"""Requests that the gateway only carries: any path and method that is no chat dialect's, streamed both ways.

The instance gets the request as it came, less what belongs to the way here: hop-by-hop headers, the token,
and the console's own cookies, which a program that somebody deployed must neither see nor set.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Iterable

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from inference_gateway.chat import ChatError
from inference_gateway.http import Message, Receive, Scope, Send, cancel_and_wait, find_header
from inference_gateway.routing import Lease, Router, took_too_long

logger = logging.getLogger(__name__)

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"expect",  # the server has answered it by the time that the body is read
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
#: What we say ourselves, about whom we speak for.
FORWARDED = frozenset(
    (b"host", b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-prefix")
)
#: Cookies of the console (session, CSRF, language) begin with this.
OWN_COOKIES = "slipway_"
CONNECT_TIMEOUT_SECONDS = 5.0
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
WEBSOCKET_HEADERS = frozenset(
    (
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-extensions",
        b"sec-websocket-protocol",
        b"content-length",
    )
)


def open_passthrough_session() -> aiohttp.ClientSession:
    """Connections are not kept: a body that has been streamed could not be sent again on a stale one."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_SECONDS),
    )


def render_request_headers(scope: Scope, prefix: str, request_id: str) -> CIMultiDict[str]:
    """The headers for the instance. Pure."""
    named = connection_named(scope["headers"])
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in scope["headers"]:
        if name in HOP_BY_HOP or name in FORWARDED or name in named or name in (b"authorization", b"x-request-id"):
            continue
        text = bytes(value).decode("latin-1")
        if name == b"cookie":
            text = without_own_cookies(text)
        if text or name != b"cookie":
            headers.add(bytes(name).decode("latin-1"), text)
    headers["X-Forwarded-For"] = scope["client"][0] if scope.get("client") else "unknown"
    headers["X-Forwarded-Proto"] = "https" if scope["scheme"] in ("https", "wss") else "http"
    headers["X-Forwarded-Host"] = find_header(scope, b"host") or ""
    headers["X-Forwarded-Prefix"] = prefix
    headers["X-Request-Id"] = request_id
    return headers


def render_response_headers(raw: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers for the caller, repeated ones kept apart. Pure."""
    given = [(name.lower(), value) for name, value in raw]
    named = connection_named(given)
    return [
        (name, value)
        for name, value in given
        if name not in HOP_BY_HOP
        and name not in named
        and name not in (b"x-request-id", b"date")  # Both are ours; a second Date would be no date at all.
        and not (name == b"set-cookie" and value.strip().lower().startswith(OWN_COOKIES.encode()))
    ]


def connection_named(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """Headers that ``Connection`` names are hop-by-hop too."""
    values = [bytes(value) for name, value in headers if name == b"connection"]
    return frozenset(word.strip().lower() for value in values for word in value.split(b","))


def without_own_cookies(cookies: str) -> str:
    kept = [pair for pair in cookies.split(";") if not pair.strip().lower().startswith(OWN_COOKIES)]
    return ";".join(kept).strip()


class _Upload:
    """The caller's body on its way to the instance, and a watch on whether the caller is still there."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._is_wanted = True

    async def watch(self) -> None:
        """Read until the caller leaves; returns then. Reading waits for whoever takes the pieces."""
        while (message := await self._receive())["type"] != "http.disconnect":
            piece = message.get("body", b"")
            if piece and self._is_wanted:
                await self._pieces.put(piece)
            if not message.get("more_body", False) and self._is_wanted:
                await self._pieces.put(None)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        while (piece := await self._pieces.get()) is not None:
            yield piece

    def drop(self) -> None:
        """The instance has answered without the rest: what still comes is read and forgotten."""
        self._is_wanted = False
        while not self._pieces.empty():
            self._pieces.get_nowait()


class Passthrough:
    """Carries one request or connection to an instance of a service."""

    def __init__(self, router: Router, session: aiohttp.ClientSession) -> None:
        self._router = router
        self._session = session

    async def carry(self, service: str, path: str, request_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry an HTTP request; ``path`` is below the service, encoded as it came, with its query.

        Raises ChatError only while nothing has been sent. A caller who leaves cancels, which closes the
        connection to the instance.
        """
        upload = _Upload(receive)
        watcher = asyncio.ensure_future(upload.watch())
        reply = asyncio.ensure_future(self._reply(service, path, request_id, scope, upload, send))
        try:
            await asyncio.wait({watcher, reply}, return_when=asyncio.FIRST_COMPLETED)
            if watcher.done() and not reply.done():
                await watcher  # it ends by itself only when the caller has left
                return
            await reply
        finally:
            await cancel_and_wait(reply)
            await cancel_and_wait(watcher)

    async def _reply(self, service: str, path: str, request_id: str, scope: Scope, upload: _Upload, send: Send) -> None:
        lease, response = await self._open(service, path, request_id, scope, upload)
        try:
            deadline = asyncio.get_running_loop().time() + lease.service.traits.keepalive_seconds
            async with asyncio.timeout_at(deadline):
                headers = render_response_headers(response.raw_headers)
                await send({"type": "http.response.start", "status": response.status, "headers": headers})
                async for piece in response.content.iter_any():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except (aiohttp.ClientError, TimeoutError) as error:
            # Returning with the answer unfinished makes the server drop the connection, so the caller sees
            # that it broke off. An end that looks clean would hide it.
            logger.warning("service %s: an answer broke off: %s", service, type(error).__name__)
        finally:
            upload.drop()
            response.close()
            lease.release()

    async def _open(
        self, service: str, path: str, request_id: str, scope: Scope, upload: _Upload
    ) -> tuple[Lease, aiohttp.ClientResponse]:
        """Send the request and wait for the answer's head; another instance once, if the first refuses."""
        passed_over: frozenset[str] = frozenset()
        headers = render_request_headers(scope, f"/api/predict/{service}", request_id)
        has_body = "Content-Length" in headers or find_header(scope, b"transfer-encoding") is not None
        while True:
            lease = await self._router.acquire(service, passed_over)
            try:
                async with asyncio.timeout(lease.service.traits.keepalive_seconds):
                    response = await self._session.request(
                        scope["method"],
                        URL(lease.route.address + path, encoded=True),
                        headers=headers,
                        data=upload.pieces() if has_body else None,
                        allow_redirects=False,
                    )
            except aiohttp.ClientConnectorError as error:
                lease.release()
                self._router.suspect(lease.route)
                if passed_over:
                    raise unreachable(service) from error
                passed_over = frozenset({lease.route.instance})
            except TimeoutError as error:
                lease.release()
                raise took_too_long(lease.service) from error
            except aiohttp.ClientError as error:
                lease.release()
                message = f"The instance of {service} did not answer in HTTP. Its log may say why."
                raise ChatError(502, "instance_broke_off", message) from error
            except BaseException:
                lease.release()
                raise
            else:
                return lease, response

    async def connect(
        self, service: str, path: str, request_id: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Carry a WebSocket: opened there first, so that a refusal there is one here.

        Raises ChatError only while the handshake is open.
        """
        lease = await self._router.acquire(service)
        try:
            headers = render_request_headers(scope, f"/api/predict/{service}", request_id)
            for name in WEBSOCKET_HEADERS:
                headers.popall(name.decode(), None)
            upstream = await self._session.ws_connect(
                URL(lease.route.address + path, encoded=True),
                headers=headers,
                protocols=scope.get("subprotocols", ()),
                max_msg_size=MAX_MESSAGE_BYTES,
                autoping=True,
            )
        except aiohttp.WSServerHandshakeError as error:
            lease.release()
            message = f"The instance refused the WebSocket with {error.status}."
            raise ChatError(error.status if error.status >= 400 else 502, "handshake_refused", message) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            lease.release()
            self._router.suspect(lease.route)
            raise unreachable(service) from error
        except BaseException:
            lease.release()
            raise
        try:
            await send({"type": "websocket.accept", "subprotocol": upstream.protocol})
            await _exchange_messages(upstream, receive, send)
        finally:
            await upstream.close()
            lease.release()


def unreachable(service: str) -> ChatError:
    message = f"No instance of {service} accepts a connection. It may be starting or stopping; try again soon."
    return ChatError(503, "no_healthy_upstream", f"no healthy upstream: {message}")


async def _exchange_messages(upstream: aiohttp.ClientWebSocketResponse, receive: Receive, send: Send) -> None:
    """Carry messages both ways until either side closes; the other is then closed with the same code."""

    async def carry_up() -> None:
        while (message := await receive())["type"] == "websocket.receive":
            if message.get("text") is not None:
                await upstream.send_str(message["text"])
            else:
                await upstream.send_bytes(message.get("bytes") or b"")
        await upstream.close(code=sendable_code(message), message=(message.get("reason") or "").encode())

    async def carry_down() -> None:
        async for message in upstream:
            if message.type is aiohttp.WSMsgType.TEXT:
                await send({"type": "websocket.send", "text": message.data})
            elif message.type is aiohttp.WSMsgType.BINARY:
                await send({"type": "websocket.send", "bytes": message.data})
        code = sendable_code({"code": upstream.close_code})
        with contextlib.suppress(OSError, RuntimeError):  # the caller may have closed first
            await send({"type": "websocket.close", "code": code})

    tasks = {asyncio.ensure_future(carry_up()), asyncio.ensure_future(carry_down())}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if (error := task.exception()) is not None:
                logger.warning("A carried WebSocket broke off: %s", type(error).__name__)
    finally:
        for task in tasks:
            await cancel_and_wait(task)


def sendable_code(message: Message) -> int:
    """The close code to pass on; codes that may not be sent (1005, 1006, 1015, none) become fitting ones."""
    code = message.get("code")
    if code is None or code == 1005:
        return 1000
    return 1011 if code in (1006, 1015) else int(code)
