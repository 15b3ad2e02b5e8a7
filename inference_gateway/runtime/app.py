"""The runtime's paths as one raw ASGI application.

``/`` speaks EAS's dialect and WebSocket, ``/v1`` OpenAI's, ``/health`` is 200 once the model is loaded, ``/metrics``
is Prometheus'.
There is no authentication here: the gateway in front has it, and the address is this machine's by default.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inference_gateway.answer import answer_exchange
from inference_gateway.chat import ChatError
from inference_gateway.codecs import Exchange, eas, openai
from inference_gateway.codecs.websocket import EasDialect
from inference_gateway.engines.base import Engine
from inference_gateway.http import (
    ClientGoneError,
    Receive,
    Scope,
    Send,
    find_header,
    read_body,
    send_body,
    send_json,
    send_refusal,
)
from inference_gateway.runtime.gpus import Gpus
from inference_gateway.runtime.load_progress import Loaded
from inference_gateway.runtime.metrics import CONTENT_TYPE, Tally, render
from inference_gateway.websocket import Dialogue, Manner

logger = logging.getLogger(__name__)

_PAGE_FOLDER = Path(__file__).with_name("page")
_PAGE_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/webui/chat.js": ("chat.js", "text/javascript; charset=utf-8"),
    "/webui/chat.css": ("chat.css", "text/css; charset=utf-8"),
}
_PAGE_HEADERS = (
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)
#: The page's own way to the model, which stays when the API is switched off.
_PAGE_CHAT = "/webui/chat"
_API_PATHS = {
    "/v1/chat/completions": ("POST",),
    "/v1/completions": ("POST",),
    "/v1/models": ("GET", "HEAD"),
}


class Way(enum.StrEnum):
    """How a question came in."""

    EAS = "eas"
    OPENAI = "openai"
    WEBSOCKET = "websocket"
    WEBUI = "webui"


@dataclass(frozen=True, slots=True)
class Served:
    """The model as callers know it; ``context_tokens`` is of one dialogue."""

    name: str
    context_tokens: int


class RuntimeApp:
    """Serves one model. ``is_ready`` is asked at every request; ``draining`` is set once, at the end.

    ``look_at_load`` says how far loading is, None where that is not known; it may take a moment, in a thread.

    ``engine_of`` gives the engine for questions that come in one way; it is asked once for each way.
    """

    def __init__(
        self,
        engine_of: Callable[[Way], Engine],
        served: Served,
        defaults: eas.EasDefaults,
        is_ready: Callable[[], bool],
        look_at_load: Callable[[], Loaded | None],
        tally: Tally,
        *,
        has_page: bool,
        has_api: bool,
    ) -> None:
        self._engines = {way: engine_of(way) for way in Way}
        self._served = served
        self._defaults = defaults
        self._is_ready = is_ready
        self._look_at_load = look_at_load
        self._tally = tally
        self._gpus = Gpus()
        self._has_page = has_page
        self._has_api = has_api
        self._created = int(time.time())
        self._working = 0
        self.draining = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve_http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)

    async def _serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        try:
            await self._route(scope, path, receive, send)
        except ChatError as error:
            await _refuse(scope, receive, send, error)
        except ClientGoneError:
            return

    async def _route(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        method = scope["method"]
        if path == "/health":
            _check_method(method, ("GET", "HEAD"))
            await self._send_health(send)
        elif path == "/metrics":
            _check_method(method, ("GET", "HEAD"))
            told = render(self._tally, self._served.name, await self._gpus.look())
            await send_body(send, 200, told.encode(), CONTENT_TYPE)
        elif path in _PAGE_FILES and method in ("GET", "HEAD"):
            await self._send_page(path, send)
        elif path == _PAGE_CHAT and self._has_page:
            _check_method(method, ("POST",))
            _check_is_json(scope)
            await self._answer(scope, receive, send, openai.decode_chat, Way.WEBUI)
        elif path != "/" and path not in _API_PATHS:
            raise ChatError(404, "path_not_found", f"There is nothing at {path}. GET / names what there is.")
        elif not self._has_api:
            raise ChatError(404, "api_disabled", "This service was started with --no-api: it has a page only.")
        else:
            _check_method(method, _API_PATHS.get(path, ("GET", "HEAD", "POST")))
            await self._serve_api(scope, path, receive, send)

    async def _serve_api(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        if path == "/v1/models":
            self._check_is_serving()
            await send_body(
                send, 200, openai.encode_models([self._served.name], self._created, self._served.context_tokens)
            )
        elif path == "/v1/chat/completions":
            await self._answer(scope, receive, send, openai.decode_chat, Way.OPENAI)
        elif path == "/v1/completions":
            await self._answer(scope, receive, send, openai.decode_completion, Way.OPENAI)
        else:
            content_type = find_header(scope, b"content-type") or ""

            def decode(body: bytes) -> Exchange:
                return eas.decode(body, content_type, self._defaults)

            await self._answer(scope, receive, send, decode, Way.EAS)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, decode: Callable[[bytes], Exchange], way: Way
    ) -> None:
        self._check_is_serving()
        with self._counted():
            exchange = decode(await read_body(scope, receive))
            await answer_exchange(exchange, self._engines[way], receive, send)

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        try:
            if scope["path"] != "/":
                raise ChatError(404, "path_not_found", "The dialogue is at /.")
            if not self._has_api:
                raise ChatError(404, "api_disabled", "This service was started with --no-api: it has a page only.")
            self._check_is_serving()
        except ChatError as error:
            await _refuse(scope, receive, send, error)
            return
        dialogue = Dialogue(
            receive,
            send,
            self._engines[Way.WEBSOCKET],
            EasDialect(self._defaults),
            manner=Manner(draining=self.draining),
            on_busy=self._count,
        )
        await dialogue.run()

    async def _send_health(self, send: Send) -> None:
        if self.draining.is_set():
            await send_json(send, 503, {"status": "draining"})
        elif not self._is_ready():
            loaded = await asyncio.to_thread(self._look_at_load)
            known = {} if loaded is None else {"loaded_bytes": loaded.bytes, "weights_bytes": loaded.of_bytes}
            await send_json(send, 503, {"status": "loading", **known})
        else:
            await send_json(send, 200, {"status": "ok", "model": self._served.name})

    async def _send_page(self, path: str, send: Send) -> None:
        if self._has_page:
            name, content_type = _PAGE_FILES[path]
            body = (_PAGE_FOLDER / name).read_bytes()
            await send_body(send, 200, body, content_type, _PAGE_HEADERS)
        elif path == "/":
            routes = ["/", "/health", "/metrics", *_API_PATHS]
            await send_json(send, 200, {"model": self._served.name, "routes": routes, "websocket": "/"})
        else:
            raise ChatError(404, "path_not_found", "This service was started without a page.")

    def _check_is_serving(self) -> None:
        if self.draining.is_set():
            raise ChatError(503, "service_stopping", "This instance is stopping. Try again in a moment.")
        if not self._is_ready():
            raise ChatError(503, "model_loading", "The model is still loading. Try again in a moment.")

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._count(True)
        try:
            yield
        finally:
            self._count(False)

    def _count(self, is_more: bool) -> None:
        self._working += 1 if is_more else -1
        if self._working:
            self.idle.clear()
        else:
            self.idle.set()


async def _refuse(scope: Scope, receive: Receive, send: Send, error: ChatError) -> None:
    """Answer with an error in the dialect of the path, as the gateway does."""
    path = scope["path"]
    is_openai = path == "/v1" or path.startswith("/v1/")
    body = openai.encode_error(error) if is_openai else eas.encode_error(error)
    await send_refusal(scope, receive, send, error, body, _error_headers(error, path))


def _check_method(method: str, allowed: tuple[str, ...]) -> None:
    if method not in allowed:
        raise ChatError(405, "method_not_allowed", f"{method} is not allowed here. Use {' or '.join(allowed)}.")


def _check_is_json(scope: Scope) -> None:
    """A page of another site can send a form or text without asking, JSON it cannot."""
    if not (find_header(scope, b"content-type") or "").startswith("application/json"):
        raise ChatError(415, "json_required", "Send the question as application/json.")


def _error_headers(error: ChatError, path: str) -> list[tuple[bytes, bytes]]:
    # The rest of a body that was not read would be taken for the next request.
    headers = [(b"connection", b"close")] if error.status in (413, 503) else []
    if error.status == 405:
        allowed = _API_PATHS.get(path, ("GET", "HEAD") if path in ("/health", "/metrics") else ("GET", "HEAD", "POST"))
        headers.append((b"allow", ", ".join(allowed).encode("ascii")))
    return headers
