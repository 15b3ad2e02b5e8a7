"""The gateway: programs' requests to services, as raw ASGI ahead of every framework.

    bytes → target → service → token → decode → history → instance → engine → events → encode → bytes

``/api/predict/<service>[/path]`` speaks EAS's dialect at the service's root, OpenAI's and Anthropic's below ``/v1``;
``/v1`` alone is OpenAI's with the service in ``model``. All else below a service, and what engines have below
``/v1`` beside chat, is carried to an instance as it is. Errors speak the dialect of their path.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from django.conf import settings

from deployments.clusters.passage import Passage
from deployments.request_ids import request_id
from inference_gateway.accounted_engine import AccountedEngine
from inference_gateway.accounts import Accounts, Payer
from inference_gateway.admission import Admission
from inference_gateway.ahead import Ahead
from inference_gateway.answer import INTERNAL_ERROR
from inference_gateway.callers import Callers
from inference_gateway.calls import (
    LISTING,
    Call,
    answer_call,
    answer_preflight,
    choose_request_id,
    is_from_anthropic,
    refuse,
    render_path,
    speak_anthropic,
)
from inference_gateway.carried_session import open_passthrough_session
from inference_gateway.chat import ChatError
from inference_gateway.codecs import JSON_TYPE, anthropic, openai
from inference_gateway.codecs.naming import find_boundary, rename_json
from inference_gateway.codecs.openai_relay import read_question
from inference_gateway.codecs.xinference import needs_codec, render_list, render_model
from inference_gateway.consumers import Dialogues
from inference_gateway.counting import count_tokens
from inference_gateway.decoding import decode
from inference_gateway.descriptions import describe_model
from inference_gateway.directory import Directory, Route, ServiceEntry
from inference_gateway.discovery import describe_upstreams
from inference_gateway.engines.base import Engine
from inference_gateway.engines.openai_http import open_session
from inference_gateway.express import Express
from inference_gateway.guard import TokenGuard
from inference_gateway.handshake import CONVERSATION_HEADER, find_conversation_id, read_opening
from inference_gateway.history import History, NewTurn, RecordedEngine
from inference_gateway.http import (
    ClientGoneError,
    Receive,
    Scope,
    Send,
    cancel_and_wait,
    find_header,
    run_until_disconnect,
    send_body,
    send_json,
)
from inference_gateway.keybook import Keybook
from inference_gateway.listening import follow_hints
from inference_gateway.metering.meter import Meter
from inference_gateway.model_names import ModelNames
from inference_gateway.models import Conversation
from inference_gateway.monitoring.observers import Observers
from inference_gateway.passthrough import BodyFor, Errand, Passthrough
from inference_gateway.pressure import LOAD
from inference_gateway.recall import parameters_of, question_of, recall, system_prompt_of
from inference_gateway.relay import RELAYED, Relay
from inference_gateway.resuming.streams import is_resuming, open_streams
from inference_gateway.routed_engine import RoutedEngine
from inference_gateway.routing import NO_UPSTREAM, Lease, Router, no_upstream
from inference_gateway.screening import screen
from inference_gateway.targets import Kind, Target, no_route, parse_target
from inference_gateway.upstream import Upstream
from inference_gateway.wire import BELOW

logger = logging.getLogger(__name__)

#: How long a stop waits for turns that are still being written.
DRAIN_SECONDS = 10.0
GENERATING = {Kind.ROOT: ("GET", "HEAD", "POST"), Kind.MODELS: ("GET", "HEAD"), Kind.MODEL: ("GET", "HEAD")}
POST_ONLY = ("POST",)


class Gateway:
    """The application. ``start`` before the first request, ``stop`` after the last, in one event loop."""

    def __init__(self, directory: Directory | None = None) -> None:
        self.directory = directory or Directory()
        self.router = Router(self.directory)
        self.history = History()
        self.accounts = Accounts()
        self._observers = Observers(self.accounts, self.router.waiting)
        self.keybook = Keybook(self.directory)
        self.callers = Callers()
        self._admission = Admission(self.directory, self.keybook, self.callers)
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._exits = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Open the pools, listen to hints, look after turns under way."""
        self._session = await self._exits.enter_async_context(open_session())
        self._carrying = await self._exits.enter_async_context(open_passthrough_session())
        self._models = ModelNames(self._session)
        self._passthrough = Passthrough(self.router, self._carrying, self.accounts)
        upstream = Upstream()
        self._exits.callback(upstream.close)
        self._relay = Relay(self.router, self._models, upstream, self.accounts)
        self._express = Express(self._admission, self._relay, self._guard)
        self._meter = Meter(self.accounts, settings.SLIPWAY_DATA_DIR / "usage", settings.SLIPWAY_REDIS_URL)
        self._streams = open_streams()
        self._dialogues = Dialogues(self.make_accounted, self.history, self._streams)
        ahead = Ahead(self.history, settings.SLIPWAY_REDIS_URL)
        kept = (self.keybook, self.history, ahead, self.callers, self._observers, self._streams)
        beside = (follow_hints(self.directory, self.keybook), LOAD.watch(), *(one.keep() for one in kept))
        self._tasks = tuple(map(asyncio.create_task, beside))
        if not self._observers.is_tracing:  # that looks at calls
            BELOW.express = self._express

    async def stop(self) -> None:
        """Finish what is being written, then close. Requests have ended by now: the server waits for them."""
        BELOW.express = None
        self._express.close()
        await self._streams.close()
        await self.history.drain(DRAIN_SECONDS)
        for task in self._tasks:
            await cancel_and_wait(task, again_seconds=1.0)
        await self._meter.close()
        await self.callers.write()
        await self.keybook.write()
        await self._observers.end()
        await self._exits.aclose()

    def make_engine(self, service: ServiceEntry, on_route: Callable[[Route], None] = lambda route: None) -> Engine:
        """A service as an ``Engine``: routed and bounded in time. The web chat uses it too."""
        return RoutedEngine(self.router, self._session, self._models, service, on_route)

    def make_accounted(
        self, service: ServiceEntry, payer: Payer, on_route: Callable[[Route], None] = lambda route: None
    ) -> Engine:
        """The same, within the payer's limits and counted."""
        return AccountedEngine(self.make_engine(service, on_route), self.accounts, service, payer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request or hold one WebSocket."""
        raw_path = bytes(scope["raw_path"])
        call = Call(scope, receive, send, choose_request_id(scope), Target(None, raw_path.decode("latin-1")))
        self._observers.begin(call)
        await self._guard(call, self._open)

    async def _open(self, call: Call) -> None:
        call.target = parse_target(bytes(call.scope["raw_path"]))
        if is_from_anthropic(call):
            speak_anthropic(call)
        if call.scope["type"] == "websocket":
            await self._connect(call)
        else:
            await self._answer(call)

    async def _guard(self, call: Call, answering: Callable[[Call], Awaitable[None]]) -> None:
        """Whatever is raised becomes an answer in the dialect of the path."""
        request_id.set(call.request_id)
        try:
            await answering(call)
        except ClientGoneError:
            return
        except ChatError as error:
            self._observers.refused(call, error)
            await refuse(call, error)
        except Exception:
            logger.exception("a request failed")
            await refuse(call, INTERNAL_ERROR)

    async def _answer(self, call: Call) -> None:
        if call.method == "OPTIONS" and find_header(call.scope, b"access-control-request-method") is not None:
            await answer_preflight(call)
            return
        if call.target.is_discovery:
            await send_json(call.answer, 200, await describe_upstreams(self.directory, call.target.rest, call.scope))
            return
        kind = call.target.kind
        if kind is Kind.CLUSTER_AUTH:
            # Asked without a token: a client of Xinference's keeps its own to itself where it hears no.
            await send_json(call.answer, 200, {"auth": True})
            return
        if kind is Kind.MODELS and call.target.service is None and call.method in ("GET", "HEAD"):
            key = await self.keybook.find_presented(call)
            if key is not None:
                await self.keybook.answer_list(call, key)
                return
        service = await self._admission.admit(call)
        if is_resuming(call, service):
            await self._streams.serve(call, service)
            return
        if call.target.is_anthropic and kind is Kind.OTHER and service.traits.engine is not None:
            raise no_route(call.target)
        is_described = kind in LISTING and call.target.service is None
        is_chat = kind is not Kind.OTHER and (service.traits.engine is not None or is_described)
        if not is_chat and (call.target.service is not None or kind is Kind.OTHER):
            if service.traits.engine is not None:
                await screen(call)
            await self._passthrough.carry(self._plan(call, service), call.replay(), call.answer)
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
        elif kind is Kind.COUNT_TOKENS:
            await self._count(call, service)
        elif call.method == "POST":
            await self._generate(call, service, kind)
        elif kind is Kind.ROOT:
            await self._describe(call, service)
        else:
            service = await self._require_upstream(service)
            passage = await self.router.passages.find(service.routes[0])
            shown = service if call.group is None else replace(service, name=call.group.name)
            model = await describe_model(shown, self._models, passage)
            body = render_model(model) if kind is Kind.MODEL else render_list([model])
            await send_body(call.answer, 200, body, JSON_TYPE)

    def _plan(self, call: Call, service: ServiceEntry) -> Errand:
        """What is carried to an instance of the service, and how."""
        body_for: BodyFor | None = None
        if call.target.service is None and call.body:
            body = call.body

            async def render_body(lease: Lease, passage: Passage) -> bytes:
                name = await self._models.choose(lease.service, lease.route, passage, service.name)
                return rename_json(body, name, drops_nulls=True)

            if find_boundary(find_header(call.scope, b"content-type") or "") is None:
                body_for = render_body
        # A program that somebody wrote speaks for itself; an engine's caller reads OpenAI's errors.
        is_openai = (
            call.target.is_openai
            and not call.target.is_anthropic
            and (call.target.service is None or service.traits.engine is not None)
        )
        return Errand(service, render_path(call), call.payer, call.scope, body_for, is_openai)

    async def _generate(self, call: Call, service: ServiceEntry, kind: Kind) -> None:
        conversation_id = find_conversation_id(call.scope)
        is_flat = call.target.service is None
        if conversation_id is None and kind in RELAYED and not any(route.base_url for route in service.routes):
            question = read_question(await call.read(), is_chat=kind is Kind.CHAT_COMPLETIONS)
            if question is not None and not needs_codec(question.fields, is_flat_stream=is_flat and question.is_stream):
                relaying = partial(self._relay.answer, call, service, question)
                await (self._streams.answer(call, service, relaying) if question.is_stream else relaying())
                return
        exchange = decode(await call.read(), kind, call.scope, service)
        if is_flat and isinstance(exchange, openai.OpenAiExchange):
            exchange = replace(exchange, gathers_tool_calls=True)
        if conversation_id is None:
            engine = self.make_accounted(service, call.payer)
        else:
            await self._require_upstream(service)
            asked = exchange.request
            recorder = await self.history.open(
                NewTurn(
                    service=service,
                    conversation_id=conversation_id,
                    source=Conversation.Source.API,
                    question=question_of(asked),
                    system_prompt=system_prompt_of(asked),
                    parameters=parameters_of(asked),
                )
            )
            opened = recorder.opened
            max_rounds = service.traits.eas_defaults.max_rounds
            exchange = recall(exchange, opened.system_prompt, opened.rounds, max_rounds)
            engine = RecordedEngine(self.make_accounted(service, call.payer, recorder.note_route), recorder)
            call.headers += ((CONVERSATION_HEADER.lower().encode(), str(conversation_id).encode()),)
        answering = partial(answer_call, call, exchange, engine)
        await (self._streams.answer(call, service, answering) if exchange.is_stream else answering())

    async def _count(self, call: Call, service: ServiceEntry) -> None:
        request = anthropic.decode_count(await call.read())

        async def reply() -> None:
            usage = await count_tokens(request, self.make_accounted(service, call.payer))
            await send_body(call.answer, 200, anthropic.encode_count(usage), JSON_TYPE)

        await run_until_disconnect(reply(), call.receive)

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
        base = f"/api/predict/{call.target.service}"
        description = {
            "service": service.name,
            "status": service.status,
            "instances": len(service.routes),
            "protocols": {
                "eas": f"POST {base}",
                "websocket": base,
                "openai": f"{base}/v1",
                "anthropic": f"POST {base}/v1/messages",
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
        service = await self._admission.admit(call)
        payer, looking = call.payer, partial(self._admission.look_again, call, service)
        guard = TokenGuard(call.receive, call.answer, payer.principal, looking)
        if service.traits.engine is not None and call.target.kind in (Kind.ROOT, Kind.CHAT_COMPLETIONS):
            opening = read_opening(call.scope, call.target.kind)
            await self._require_upstream(service)
            await self._dialogues.hold(service, payer, opening, call.scope, guard)
        else:
            await self._passthrough.connect(self._plan(call, service), guard.receive, guard.send)
