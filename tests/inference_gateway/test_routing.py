"""Which instance a request goes to, with real engines behind real rows."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import Any

import httpx
import pytest

from deployments import hints
from deployments.models import Instance
from inference_gateway.database import in_database
from inference_gateway.directory import Directory
from inference_gateway.http import cancel_and_wait
from inference_gateway.listening import follow_hints
from inference_gateway.routing import Router
from tests.inference_gateway.rig import EndlessEngine, Server, add_instance, deploy
from tests.ports import free_port
from tests.waiting import wait_until, wait_until_async

pytestmark = pytest.mark.backends

SHORT = {"prompt": "Say hello.", "max_new_tokens": 8}


async def test_the_least_busy_instance_is_chosen_and_given_back(server: Server) -> None:
    service = await in_database(deploy, server, 1001, 1002)
    router = Router(Directory())
    first, second = await router.acquire(service.row.name), await router.acquire(service.row.name)
    assert {first.route.port, second.route.port} == {1001, 1002}
    first.release()
    first.release()  # twice is fine
    third = await router.acquire(service.row.name)
    assert third.route.port == first.route.port
    assert router.in_flight(third.service) == 2


async def test_a_full_instance_is_not_waited_for_while_another_has_room(server: Server) -> None:
    row = (await in_database(partial(deploy, server, 1001, 1002, metadata={"rpc": {"worker_threads": 1}}))).row
    router = Router(Directory())
    for number in range(20):  # whichever instance the beginning would have gone to
        async with asyncio.timeout(20):
            leases = [await router.acquire(row.name, beginning=lambda: f"question {number}") for _ in range(2)]  # noqa: B023
        assert {lease.route.port for lease in leases} == {1001, 1002}
        for lease in leases:
            lease.release()


async def test_a_draining_instance_gets_no_new_requests_and_the_hint_is_heard_at_once(server: Server) -> None:
    service = await in_database(deploy, server, 1001, 1002)
    directory = Directory()
    await directory.find(service.row.name)

    def drain() -> None:
        Instance.objects.filter(service=service.row, port=1001).update(phase="Stopping", ready_at=None)

    await in_database(drain)
    directory.doubt(f"service:{service.row.name}")
    entry = await directory.find(service.row.name)
    assert entry is not None
    assert [route.port for route in entry.routes] == [1002]


async def test_without_a_hint_a_look_is_trusted_for_half_a_second_only(server: Server) -> None:
    service = await in_database(deploy, server, 1001)
    directory = Directory()
    await directory.find(service.row.name)
    await in_database(lambda: Instance.objects.filter(service=service.row).delete())

    async def is_gone() -> bool:
        entry = await directory.find(service.row.name)
        return entry is not None and not entry.routes

    await wait_until_async(is_gone, "the instance is no longer routed to", 1.0)


async def test_hints_from_the_bus_reach_the_directory(server: Server) -> None:
    directory = Directory()
    heard = asyncio.Event()
    directory.doubt = lambda topic: heard.set()  # type: ignore[method-assign]
    listening = asyncio.create_task(follow_hints(directory))
    try:

        async def is_heard() -> bool:
            await in_database(hints.send_hint, "service:some_service")
            return heard.is_set()

        await wait_until_async(is_heard, "a hint is heard", 5)
    finally:
        await cancel_and_wait(listening, again_seconds=0.2)


def test_an_instance_that_refuses_the_connection_is_passed_over(server: Server, endless: EndlessEngine) -> None:
    service = deploy(server, free_port(), endless.port)
    endless.ends_after = 1
    answers = [httpx.post(service.url, json=SHORT, headers=service.auth) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4


def test_where_every_instance_refuses_it_is_503(server: Server) -> None:
    service = deploy(server, free_port(), free_port())
    response = httpx.post(service.url, json=SHORT, headers=service.auth)
    assert response.status_code == 503
    assert response.json()["code"] in ("engine_unreachable", "no_healthy_upstream")


def test_a_stream_outlives_the_draining_of_its_instance(server: Server, endless: EndlessEngine) -> None:
    with EndlessEngine() as other:
        service = deploy(server, endless.port)
        other.ends_after = 1
        with httpx.stream("POST", service.url, json=SHORT, headers=service.auth, timeout=30) as running:
            pieces = running.iter_bytes()
            next(pieces)
            add_instance(service.row, other.port)
            Instance.objects.filter(port=endless.port).update(phase="Stopping", ready_at=None)

            def goes_elsewhere() -> bool:
                with httpx.stream("POST", service.url, json=SHORT, headers=service.auth) as second:
                    next(second.iter_bytes())
                return bool(other.asked)

            wait_until(goes_elsewhere, "the other instance answers", 5)
            wait_until(lambda: endless.active == 1, "only the first stream is left there", 5)
            next(pieces)
        wait_until(lambda: endless.active == 0, "the engine stopped", 1.0)


def test_a_dead_engine_breaks_its_stream_visibly(server: Server) -> None:
    with EndlessEngine() as dying:
        service = deploy(server, dying.port)
        with httpx.stream("POST", service.url, json=SHORT, headers=service.auth, timeout=30) as running:
            pieces = running.iter_bytes()
            next(pieces)
            threading.Thread(target=dying.die).start()
            rest: Any = b"".join(pieces)
    assert b'"error": {"code": "engine_stream_broken"' in rest
