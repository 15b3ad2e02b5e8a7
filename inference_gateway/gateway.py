"""The gateway: programs' requests to services, as raw ASGI ahead of every framework.

    bytes → target → service → token → decode → history → instance → engine → events → encode → bytes

``/api/predict/<service>[/path]`` speaks EAS's dialect at the service's root and OpenAI's below ``/v1``;
``/v1`` alone is OpenAI's with the service in ``model``. All else below a service is carried to an instance
as it is. Errors speak the dialect of their path.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable

from inference_gateway.answer import INTERNAL_ERROR, answer_exchange
from inference_gateway.authentication import (
    check_token,
    find_authorization,
    find_bearer,
    is_signature,
)
from inference_gateway.callers import Callers
from inference_gateway.calls import Call, answer_preflight, choose_request_id, refuse, render_path
from inference_gateway.chat import ChatError
from inference_gateway.codecs import JSON_TYPE, Exchange, eas, openai
from inference_gateway.consumers import hold_dialogue
from inference_gateway.directory import Directory, Route, ServiceEntry
from inference_gateway.engines.base import Engine
from inference_gateway.engines.openai_http import open_session
from inference_gateway.history import History, NewTurn, RecordedEngine
from inference_gateway.http import (
    ClientGoneError,
    Message,
    Receive,
    Scope,
    Send,
    cancel_and_wait,
    find_header,
    send_body,
    send_json,
)
from inference_gateway.models import Conversation
from inference_gateway.passthrough import Passthrough, open_passthrough_session
from inference_gateway.recall import parameters_of, question_of, recall, system_prompt_of
from inference_gateway.routing import NO_UPSTREAM, ModelNames, RoutedEngine, Router, no_service, no_upstream
from inference_gateway.targets import Kind, Target, parse_target

logger = logging.getLogger(__name__)

CONVERSATION_HEADER = "X-Slipway-Conversation"
#: How long a stop waits for turns that are still being written.
DRAIN_SECONDS = 10.0
GENERATING = {Kind.ROOT: ("GET", "HEAD", "POST"), Kind.MODELS: ("GET", "HEAD")}
POST_ONLY = ("POST",)


class Gateway:
    """The application. ``start`` before the first request, ``stop`` after the last, in one event loop."""

    def __init__(self) -> None:
        self.directory = Directory()
        self.router = Router(self.directory)
        self.history = History()
        self.callers = Callers()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._exits = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Open the pools, listen to hints, look after turns under way."""
        self._session = await self._exits.enter_async_context(open_session())
        self._carrying = await self._exits.enter_async_context(open_passthrough_session())
        self._models = ModelNames(self._session)
        self._passthrough = Passthrough(self.router, self._carrying)
        self._tasks = (
            asyncio.create_task(self.directory.follow_hints()),
            asyncio.create_task(self.history.keep()),
            asyncio.create_task(self.callers.keep()),
        )

    async def stop(self) -> None:
        """Finish what is being written, then close. Requests have ended by now: the server waits for them."""
        await self.history.drain(DRAIN_SECONDS)
        for task in self._tasks:
            await cancel_and_wait(task, again_seconds=1.0)
        await self.callers.write()
        await self._exits.aclose()

    def make_engine(self, service: ServiceEntry, on_route: Callable[[Route], None] = lambda route: None) -> Engine:
        """A service as an ``Engine``: routed, limited and bounded in time. The web chat uses it too."""
        return RoutedEngine(self.router, self._session, self._models, service, on_route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request or hold one WebSocket."""
        raw_path = bytes(scope["raw_path"])
        call = Call(scope, receive, send, choose_request_id(scope), Target(None, raw_path.decode("latin-1")))
        try:
            call.target = parse_target(raw_path)
            if scope["type"] == "websocket":
                await self._connect(call)
            else:
                await self._answer(call)
        except ClientGoneError:
            return
        except ChatError as error:
            await refuse(call, error)
        except Exception:
            logger.exception("request %s failed", call.request_id)
            await refuse(call, INTERNAL_ERROR)

    async def _answer(self, call: Call) -> None:
        if call.method == "OPTIONS" and find_header(call.scope, b"access-control-request-method") is not None:
            await answer_preflight(call)
            return
        service = await self._admit(call)
        kind = call.target.kind
        is_chat = service.traits.engine is not None and kind is not Kind.OTHER
        if not is_chat and call.target.service is not None:
            path = render_path(call)
            await self._passthrough.carry(
                service.name, path, call.request_id, call.scope, self._replay(call), call.answer
            )
            return
        if not is_chat:
            raise ChatError(
                404,
                "model_not_found",
                f"{service.name} serves no language model. Call it under /api/predict/{service.name}.",
                "model",
            )
        await self._answer_chat(call, service, kind)

    async def _answer_chat(self, call: Call, service: ServiceEntry, kind: Kind) -> None:
        methods = GENERATING.get(kind, POST_ONLY)
        if call.method == "OPTIONS":
            call.headers += ((b"allow", ", ".join((*methods, "OPTIONS")).encode("ascii")),)
            await send_body(call.answer, 200, b"", JSON_TYPE)
        elif call.method not in methods:
            call.headers += ((b"allow", ", ".join(methods).encode("ascii")),)
            message = f"{call.method} is not answered here. Use {' or '.join(methods)}."
            raise ChatError(405, "method_not_allowed", message)
        elif call.method == "POST":
            await self._generate(call, service, kind)
        elif kind is Kind.ROOT:
            await self._describe(call, service)
        else:
            await self._require_upstream(service)
            body = openai.encode_models([service.name], int(time.time()))
            await send_body(call.answer, 200, body, JSON_TYPE)

    async def _admit(self, call: Call) -> ServiceEntry:
        """The service that is called, its token checked. Raises ChatError 404, 401 and what ``read`` does."""
        authorization = find_authorization(call.scope)
        if call.target.service is None:
            name = await self._find_flat_name(call, find_bearer(authorization))
        else:
            name = call.target.service
        service = await self.directory.find(name)
        if service is None:
            service = await self.directory.find_again(name)
        if service is None:
            if call.target.service is None:
                message = f"There is no service {name!r}. Put a service's name into model."
                raise ChatError(404, "model_not_found", message, "model")
            raise no_service(name)
        body = await call.read() if is_signature(authorization) else b""
        try:
            check_token(call.scope, service.token, body)
        except ChatError:
            # It may have been rotated a moment ago. A flood of wrong ones gets one look for all of them.
            service = await self.directory.find_again(name)
            if service is None:
                raise no_service(name) from None
            check_token(call.scope, service.token, body)
        self.callers.note(service.id, call.scope)
        return service

    async def _find_flat_name(self, call: Call, bearer: str | None) -> str:
        """The service that a request under ``/v1`` is for: its ``model``, or for the list its token's own."""
        kind = call.target.kind
        if kind not in (Kind.CHAT_COMPLETIONS, Kind.COMPLETIONS, Kind.MODELS):
            message = f"{call.target.rest} is not served. /v1/chat/completions, /v1/completions and /v1/models are."
            raise ChatError(404, "path_not_found", message)
        if bearer is None and find_authorization(call.scope) is None:
            check_token(call.scope, None)  # raises 401 before any body is read
        if call.method == "POST" and kind is not Kind.MODELS:
            name = openai.find_model(await call.read())
            if not name:
                message = "model is missing. Put the service's name there."
                raise ChatError(400, "model_missing", message, "model")
            return name
        service = None if bearer is None else await self.directory.find_by_token(bearer)
        if service is None:
            check_token(call.scope, None)
            raise AssertionError("unreachable")
        return service.name

    async def _generate(self, call: Call, service: ServiceEntry, kind: Kind) -> None:
        conversation_id = find_conversation_id(call.scope)
        exchange = decode(await call.read(), kind, call.scope, service)
        if conversation_id is None:
            engine = self.make_engine(service)
        else:
            await self._require_upstream(service)
            question = exchange.request
            recorder = await self.history.open(
                NewTurn(
                    service=service,
                    conversation_id=conversation_id,
                    source=Conversation.Source.API,
                    question=question_of(question),
                    system_prompt=system_prompt_of(question),
                    parameters=parameters_of(question),
                )
            )
            opened = recorder.opened
            max_rounds = service.traits.eas_defaults.max_rounds
            exchange = recall(exchange, opened.system_prompt, opened.rounds, max_rounds)
            engine = RecordedEngine(self.make_engine(service, recorder.note_route), recorder)
            call.headers += ((CONVERSATION_HEADER.lower().encode(), str(conversation_id).encode()),)
        await answer_exchange(exchange, engine, call.receive, call.answer)

    async def _describe(self, call: Call, service: ServiceEntry) -> None:
        """GET on a service's root: quick, and what Alibaba's SDK asks until it is ready (eas.md §2.4)."""
        try:
            service = await self._require_upstream(service)
        except ChatError as error:
            # The SDK compares the whole body with these words, so the reason goes beside it.
            reason = error.message.encode("ascii", "replace").replace(b"\n", b" ").replace(b"\r", b" ")
            headers = ((b"x-slipway-reason", reason[:500]),)
            await send_body(call.answer, error.status, NO_UPSTREAM.encode(), "text/plain; charset=utf-8", headers)
            return
        base = f"/api/predict/{service.name}"
        description = {
            "service": service.name,
            "status": service.status,
            "instances": len(service.routes),
            "protocols": {
                "eas": f"POST {base}",
                "websocket": base,
                "openai": f"{base}/v1",
            },
        }
        await send_json(call.answer, 200, description)

    async def _require_upstream(self, service: ServiceEntry) -> ServiceEntry:
        """The service with at least one instance that takes requests, or ChatError 503."""
        if not service.routes:
            service = await self.router.get_service(service.name, max_age_seconds=0)
        if not service.routes:
            raise no_upstream(service)
        return service

    async def _connect(self, call: Call) -> None:
        """A WebSocket: everything that can be refused is refused before it is accepted."""
        if call.target.service is None:
            raise ChatError(
                404, "path_not_found", "There is no WebSocket here. Use /api/predict/ and a service's name."
            )
        await call.receive()  # websocket.connect
        service = await self._admit(call)
        if service.traits.engine is not None and call.target.kind is Kind.ROOT:
            conversation_id = find_conversation_id(call.scope)
            await self._require_upstream(service)
            await hold_dialogue(service, self.make_engine, self.history, conversation_id, call.receive, call.answer)
        else:
            path = render_path(call)
            await self._passthrough.connect(service.name, path, call.request_id, call.scope, call.receive, call.answer)

    def _replay(self, call: Call) -> Receive:
        """``receive`` for a body that may have been read to check a signature over it."""
        if call.body is None:
            return call.receive
        pending = [{"type": "http.request", "body": call.body, "more_body": False}]

        async def receive() -> Message:
            return pending.pop() if pending else await call.receive()

        return receive


def find_conversation_id(scope: Scope) -> uuid.UUID | None:
    """The conversation that the caller names. Raises ChatError 400 for what is no UUID."""
    given = find_header(scope, CONVERSATION_HEADER.lower().encode())
    if given is None:
        return None
    try:
        if len(given) != 36:
            raise ValueError
        return uuid.UUID(given)
    except ValueError:
        message = f"{CONVERSATION_HEADER} must be a UUID, such as {uuid.uuid4()}."
        raise ChatError(400, "invalid_conversation", message, CONVERSATION_HEADER) from None


def decode(body: bytes, kind: Kind, scope: Scope, service: ServiceEntry) -> Exchange:
    """The question in the dialect of its path. Raises ChatError 400."""
    if kind is Kind.CHAT_COMPLETIONS:
        return openai.decode_chat(body)
    if kind is Kind.COMPLETIONS:
        return openai.decode_completion(body)
    return eas.decode(body, find_header(scope, b"content-type") or "", service.traits.eas_defaults)
