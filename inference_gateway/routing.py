"""Which instance answers: of those that are ready the one that knows how the question begins, or the least busy.

An instance that cannot be reached is passed over for a moment and the request goes to another one, once and
only before the first byte. Counts are of this process; so is a service's concurrency limit.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from deployments.words import join, say
from inference_gateway import placing
from inference_gateway.breaker import Breaker
from inference_gateway.chat import ChatError
from inference_gateway.directory import Directory, Route, ServiceEntry
from inference_gateway.passages import Passages
from inference_gateway.queueing import Line, Rates, queue_full, rate_exceeded

#: Answers of an engine that mean "I have not begun": another instance may be asked.
NOT_BEGUN = frozenset({"engine_unreachable", "engine_unavailable", "cluster_refuses"})
#: Those that speak against the instance itself; of a stream, before its first event.
FAILURES = frozenset({"engine_unavailable", "engine_down", "engine_stream_broken", "instance_broke_off"})
NO_UPSTREAM = "no healthy upstream"
Key = TypeVar("Key")


@dataclass(slots=True)
class Lease:
    """A place on one instance. ``release`` gives it back; twice is fine."""

    service: ServiceEntry
    route: Route
    _router: Router = field(repr=False)
    #: It shows whether an instance that was passed over is sound again.
    is_trial: bool = False
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
        self._by_service: dict[str, int] = {}
        self._by_route: dict[tuple[str, str], int] = {}
        self._breaker = Breaker()
        self._lines: defaultdict[str, Line] = defaultdict(Line)
        self._rates = Rates()

    async def acquire(
        self,
        name: str,
        passed_over: frozenset[str] = frozenset(),
        known: ServiceEntry | None = None,
        beginning: Callable[[], str] | None = None,
    ) -> Lease:
        """A place on a ready instance that is not ``passed_over``: the one that has most likely seen how the question
        begins, or without a ``beginning`` the least busy. With one instance ``beginning`` is not asked. ``known`` is
        the service as it was looked up a moment ago.

        Raises ChatError 404 ``service_not_found``, 429 ``too_many_requests`` over the service's limits, 450
        ``queue_full``, 408 after the service's keepalive in its queue, and 503 ``no_healthy_upstream`` with the
        reason. Who gets a lease releases it.
        """
        if known is not None and known.routes and not passed_over:
            service = known
            routes: Sequence[Route] = known.routes
        else:
            service, routes = await self._find_routes(name, passed_over)
        if not passed_over:
            self._check_rate(service)
        deadline = time.monotonic() + service.traits.keepalive_seconds
        line: Line | None = None
        place: asyncio.Event | None = None
        try:
            while True:
                if place is None:
                    self._check_concurrency(service)
                bound = service.traits.queue
                if bound is None:
                    return self._take(service, self._choose(service, routes, beginning))
                if line is None:
                    line = self._lines[service.uid]
                with_room = [
                    one for one in routes if self._by_route.get((service.uid, one.instance), 0) < bound.at_once
                ]
                if with_room and line.is_first(place):
                    return self._take(service, self._choose(service, with_room, beginning))
                if place is None:
                    if len(line) >= bound.waiting * len(routes):
                        raise queue_full(name)
                    place = line.join()
                await line.wait(place)
                if time.monotonic() > deadline:
                    raise took_too_long(service)
                service, routes = await self._find_routes(name, passed_over)
        finally:
            if line is not None and place is not None:
                line.leave(place)

    def take_now(self, service: ServiceEntry, beginning: Callable[[], str]) -> Lease | None:
        """As ``acquire`` where nobody has to look, wait or count against a limit; else None, and nothing is counted."""
        if not service.routes or service.traits.is_bounded or self._breaker.knows_any(service.routes):
            return None
        return self._take(service, self._choose(service, service.routes, beginning))

    def _choose(self, service: ServiceEntry, routes: Sequence[Route], beginning: Callable[[], str] | None) -> Route:
        if len(routes) == 1:
            return routes[0]
        routes = self._breaker.choose(routes)
        if len(routes) == 1:
            return routes[0]
        prefix = "" if beginning is None else beginning()
        if prefix:
            named = {one.instance: one for one in routes}
            return named[placing.choose(prefix, tuple(named), lambda one: self._by_route.get((service.uid, one), 0))]
        return min(routes, key=lambda one: (self._load(service, one), random.random()))  # noqa: S311

    def _take(self, service: ServiceEntry, route: Route) -> Lease:
        uid, place = service.uid, (service.uid, route.instance)
        self._by_service[uid] = self._by_service.get(uid, 0) + 1
        self._by_route[place] = self._by_route.get(place, 0) + 1
        is_trial = bool(self._breaker.troubles) and self._breaker.begin(route.address)
        return Lease(service, route, self, is_trial)

    async def _find_routes(self, name: str, passed_over: frozenset[str]) -> tuple[ServiceEntry, Sequence[Route]]:
        """The service and its instances, at least one; ChatError 404 and 503."""
        service = await self.get_service(name)
        if all(route.instance in passed_over for route in service.routes):
            service = await self.get_service(name, max_age_seconds=0)
        routes = [route for route in service.routes if route.instance not in passed_over]
        if not routes:
            raise no_upstream(service)
        return service, routes

    def _check_rate(self, service: ServiceEntry) -> None:
        traits = service.traits
        if traits.policy.requests_per_second is None and not traits.instance_rate:
            return
        limits = (traits.policy.requests_per_second, traits.instance_rate * len(service.routes))
        per_second = min((limit for limit in limits if limit), default=None)
        if per_second is not None and not self._rates.take(service.uid, per_second):
            raise rate_exceeded(service.name, per_second)

    def _check_concurrency(self, service: ServiceEntry) -> None:
        limit = service.traits.policy.concurrency_limit
        if limit is not None and self._by_service.get(service.uid, 0) >= limit:
            message = say(
                "%(name)s answers %(limit)s requests at once, its concurrency limit. Try again in a moment.",
                name=service.name,
                limit=limit,
            )
            raise ChatError(429, "too_many_requests", message)

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
        take_one(self._by_service, uid)
        take_one(self._by_route, (uid, instance))
        if lease.is_trial:
            self._breaker.end(lease.route.address)
        if (line := self._lines.get(uid)) is not None:
            line.call()

    def judge(self, lease: Lease, error: ChatError | None = None) -> None:
        """What came of a lease, before anything of an answer went to the caller; None is an answer of the instance."""
        if error is None and not self._breaker.troubles:
            return
        address = lease.route.address
        if error is None:
            self._breaker.note_answer(address)
        elif error.code == "engine_unreachable":
            self._breaker.note_refusal(address)
        elif error.code in FAILURES:
            self._breaker.note_failure(address)
        elif error.code == "engine_error" or (error.status < 500 and error.code != "request_timeout"):
            self._breaker.note_answer(address)

    def judge_status(self, lease: Lease, status: int) -> None:
        """As ``judge``, of what a program answered."""
        self._breaker.note_status(lease.route.address, status)

    def suspect(self, route: Route) -> None:
        """The instance refused a connection: others first, for a moment."""
        self._breaker.note_refusal(route.address)

    def waiting(self) -> dict[str, int]:
        """How many stand in each service's queue in this process, by uid; of those where nobody does, nothing."""
        return {uid: len(line) for uid, line in self._lines.items() if len(line)}

    def in_flight(self, service: ServiceEntry) -> int:
        """Requests to the service under way in this process."""
        return self._by_service.get(service.uid, 0)

    def _load(self, service: ServiceEntry, route: Route) -> int:
        return self._by_route.get((service.uid, route.instance), 0)


def take_one(counts: dict[Key, int], key: Key) -> None:
    """Count down. What has come to 0 is dropped."""
    left = counts[key] - 1
    if left:
        counts[key] = left
    else:
        del counts[key]


def choose_told(first: ChatError | None, error: ChatError) -> ChatError:
    """Where there is no other instance to ask: what the ``first`` one's engine said itself, if it did."""
    return first if first is not None and first.code == "engine_unavailable" else error


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


def took_too_long(service: ServiceEntry) -> ChatError:
    """The limit of eas.md §2.4 is reached."""
    message = say(
        "The answer took longer than %(seconds)s s, the service's metadata.rpc.keepalive. Ask for less, or raise it.",
        seconds=service.traits.keepalive_seconds,
    )
    return ChatError(408, "request_timeout", message)
