"""A whole service as one engine: each question goes to an instance that the router chooses, once to another one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from functools import partial

import aiohttp

from inference_gateway.accounts import Payer
from inference_gateway.chat import ChatError, ChatEvent, ChatRequest
from inference_gateway.directory import Route, ServiceEntry
from inference_gateway.engines.base import Engine
from inference_gateway.engines.openai_http import OpenAiEngine
from inference_gateway.model_names import ModelNames
from inference_gateway.placing import PREFIX_CHARACTERS, prefix_of
from inference_gateway.routing import NOT_BEGUN, Lease, Router, choose_told, took_too_long

#: Makes the engine of a service; the last argument is ``on_route``.
EngineMaker = Callable[[ServiceEntry, Payer, Callable[[Route], None]], Engine]


class RoutedEngine:
    """An ``Engine`` that is a whole service: each question goes to an instance of its own choosing.

    ``deadline_seconds`` (eas.md §2.4, 408) counts from when the question is asked, waiting included.
    ``on_route`` is told which instance answers.
    """

    def __init__(
        self,
        router: Router,
        session: aiohttp.ClientSession,
        models: ModelNames,
        service: ServiceEntry,
        on_route: Callable[[Route], None] = lambda route: None,
    ) -> None:
        self._router = router
        self._session = session
        self._models = models
        self._service = service
        self._on_route = on_route

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """See ``Engine``; the codes of ``OpenAiEngine`` and ``Router.acquire``, and ``request_timeout``."""
        deadline = asyncio.get_running_loop().time() + self._service.traits.keepalive_seconds
        passed_over: frozenset[str] = frozenset()
        first: ChatError | None = None
        beginning = partial(beginning_of, request)
        while True:
            try:
                lease = await self._router.acquire(self._service.name, passed_over, beginning=beginning)
            except ChatError as error:
                raise choose_told(first, error) from None
            has_begun = False
            try:
                self._on_route(lease.route)
                async with contextlib.aclosing(self._ask(lease, request)) as events:
                    while (event := await self._next(events, deadline)) is not None:
                        if not has_begun:
                            has_begun = True
                            self._router.judge(lease)
                        yield event
                return
            except ChatError as error:
                if not has_begun:
                    self._router.judge(lease, error)
                if has_begun or first is not None or error.code not in NOT_BEGUN:
                    raise
                first = error
                if error.code == "cluster_refuses":
                    await self._router.passages.renew(lease.route)
                else:
                    passed_over = frozenset({lease.route.instance})
            finally:
                lease.release()

    async def _ask(self, lease: Lease, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        passage = await self._router.passages.find(lease.route)
        model = await self._models.choose(lease.service, lease.route, passage, request.model)
        engine = OpenAiEngine(self._session, lease.route.address, model, passage=passage)
        async with contextlib.aclosing(engine.generate(request)) as events:
            async for event in events:
                yield event

    async def _next(self, events: AsyncGenerator[ChatEvent, None], deadline: float) -> ChatEvent | None:
        """The next event, None at the end, or ChatError 408 once ``deadline`` (the loop's time) has passed.

        Only the waiting for the engine is bounded: a timeout around a ``yield`` would strike in the caller's
        code.
        """
        try:
            async with asyncio.timeout_at(deadline):
                return await anext(events, None)
        except TimeoutError as error:
            raise took_too_long(self._service) from error


def beginning_of(request: ChatRequest) -> str:
    return prefix_of(request.messages) or str(request.prompt or "")[:PREFIX_CHARACTERS]
