"""Which instance answers: the least busy of those that are ready, within the service's limit.

An instance that cannot be reached is passed over for a moment and the request goes to another one, once and
only before the first byte. Counts are of this process; so is a service's concurrency limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from deployments.clusters.passage import Passage
from deployments.words import join, say
from inference_gateway.chat import ChatError, ChatEvent, ChatRequest
from inference_gateway.directory import Directory, Route, ServiceEntry
from inference_gateway.engines.base import Engine
from inference_gateway.engines.openai_http import OpenAiEngine
from inference_gateway.passages import Passages

#: How long an instance that refused a connection is passed over while there are others.
SUSPECT_SECONDS = 2.0
#: Answers of an engine that mean "I have not begun": another instance may be asked.
NOT_BEGUN = frozenset({"engine_unreachable", "engine_unavailable", "cluster_refuses"})
MODELS_TIMEOUT = aiohttp.ClientTimeout(total=5)
MAX_MODELS_REMEMBERED = 1000
NO_UPSTREAM = "no healthy upstream"


@dataclass(slots=True)
class Lease:
    """A place on one instance. ``release`` gives it back; twice is fine."""

    service: ServiceEntry
    route: Route
    _router: Router = field(repr=False)
    _is_held: bool = True

    def release(self) -> None:
        if self._is_held:
            self._is_held = False
            self._router.give_back(self)


class Router:
    """Counts what is under way. One for each process."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.passages = Passages()
        self._by_service: Counter[str] = Counter()
        self._by_route: Counter[tuple[str, str]] = Counter()
        self._suspect_until: dict[str, float] = {}

    async def acquire(self, name: str, passed_over: frozenset[str] = frozenset()) -> Lease:
        """A place on the least busy ready instance that is not ``passed_over``.

        Raises ChatError 404 ``service_not_found``, 429 ``too_many_requests`` over the service's limit, and 503
        ``no_healthy_upstream`` with the reason. Who gets a lease releases it.
        """
        service = await self.get_service(name)
        if all(route.instance in passed_over for route in service.routes):
            service = await self.get_service(name, max_age_seconds=0)
        routes = [route for route in service.routes if route.instance not in passed_over]
        limit = service.traits.concurrency_limit
        if limit is not None and self._by_service[service.uid] >= limit:
            message = say(
                "%(name)s answers %(limit)s requests at once, its concurrency limit. Try again in a moment.",
                name=name,
                limit=limit,
            )
            raise ChatError(429, "too_many_requests", message)
        if not routes:
            raise no_upstream(service)
        route = min(routes, key=lambda route: self._load(service, route))
        self._by_service[service.uid] += 1
        self._by_route[service.uid, route.instance] += 1
        return Lease(service, route, self)

    async def get_service(self, name: str, max_age_seconds: float | None = None) -> ServiceEntry:
        """The service, or ChatError 404."""
        service = await (
            self.directory.find(name) if max_age_seconds is None else self.directory.find(name, max_age_seconds)
        )
        if service is None:
            raise no_service(name)
        return service

    def give_back(self, lease: Lease) -> None:
        """What ``Lease.release`` does."""
        uid, instance = lease.service.uid, lease.route.instance
        self._by_service -= Counter({uid: 1})  # this drops what has come to 0
        self._by_route -= Counter({(uid, instance): 1})

    def suspect(self, route: Route) -> None:
        """The instance refused a connection: others first, for a moment."""
        now = time.monotonic()
        self._suspect_until = {key: until for key, until in self._suspect_until.items() if until > now}
        self._suspect_until[route.address] = now + SUSPECT_SECONDS

    def in_flight(self, service: ServiceEntry) -> int:
        """Requests to the service under way in this process."""
        return self._by_service[service.uid]

    def _load(self, service: ServiceEntry, route: Route) -> tuple[bool, int, float]:
        is_suspect = self._suspect_until.get(route.address, 0.0) > time.monotonic()
        return is_suspect, self._by_route[service.uid, route.instance], random.random()  # noqa: S311


def no_service(name: str) -> ChatError:
    told = "There is no service %(name)s. Check the address: /api/predict/ and the service's name."
    message = say(told, name=repr(name))
    return ChatError(404, "service_not_found", message)


def no_upstream(service: ServiceEntry) -> ChatError:
    """Why nothing answers, by what the service is at (eas.md §2.4)."""
    if service.is_stopped:
        why = say("%(name)s is stopped. Start it.", name=service.name)
    elif service.wanted_instances == 0:
        why = say("%(name)s is scaled to 0 instances. Scale it up.", name=service.name)
    else:
        told = service.message or say("Its events say more.")
        why = join(say("%(name)s is %(status)s.", name=service.name, status=service.status), told)
    return ChatError(503, "no_healthy_upstream", say("%(code)s: %(why)s", code=NO_UPSTREAM, why=why))


class ModelNames:
    """Under which name each instance's engine serves its model: callers may write any (eas.md §1.9)."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._names: dict[tuple[str, str], tuple[str, ...]] = {}

    async def choose(self, service: ServiceEntry, route: Route, passage: Passage, asked: str | None) -> str | None:
        """The name to ask the engine for: the caller's where the engine has it (an adapter), else its first."""
        if service.traits.engine == "chat-llm":
            return None  # it takes any
        key = (route.instance, route.address)
        if key not in self._names:
            names = await self._fetch(route, passage)
            if not names:
                return None
            if len(self._names) > MAX_MODELS_REMEMBERED:
                self._names.clear()
            self._names[key] = names
        names = self._names[key]
        return asked if asked in names else names[0]

    async def _fetch(self, route: Route, passage: Passage) -> tuple[str, ...]:
        """What the engine lists; nothing where it does not answer: the question itself will say why."""
        try:
            async with self._session.get(
                f"{route.address}/v1/models",
                headers=passage.headers,
                timeout=MODELS_TIMEOUT,
                allow_redirects=False,
                **passage.client_options,
            ) as response:
                body: Any = await response.json(content_type=None)
            return tuple(str(model["id"]) for model in body["data"])
        except (aiohttp.ClientError, TimeoutError, ValueError, LookupError, TypeError):
            return ()


#: Makes the engine of a service; the second argument is ``on_route``.
EngineMaker = Callable[[ServiceEntry, Callable[[Route], None]], Engine]


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
        is_again = False
        while True:
            lease = await self._router.acquire(self._service.name, passed_over)
            has_begun = False
            try:
                self._on_route(lease.route)
                async with contextlib.aclosing(self._ask(lease, request)) as events:
                    while (event := await self._next(events, deadline)) is not None:
                        has_begun = True
                        yield event
                return
            except ChatError as error:
                if has_begun or is_again or error.code not in NOT_BEGUN:
                    raise
                is_again = True
                if error.code == "cluster_refuses":
                    await self._router.passages.renew(lease.route)
                else:
                    self._router.suspect(lease.route)
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


def took_too_long(service: ServiceEntry) -> ChatError:
    """The limit of eas.md §2.4 is reached."""
    message = say(
        "The answer took longer than %(seconds)s s, the service's metadata.rpc.keepalive. Ask for less, or raise it.",
        seconds=service.traits.keepalive_seconds,
    )
    return ChatError(408, "request_timeout", message)
