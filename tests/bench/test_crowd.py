"""A crowd remembers every answer, and sees which were not whole and whose connection they were on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bench.gateway.arms import Engine
from bench.gateway.client import Target, connect
from bench.gateway.crowd import SHORT_TOKENS, Crowd, Size
from bench.gateway.faults import port_of
from bench.gateway.loads import hang_up
from bench.gateway.processes import find_holders
from tests.waiting import wait_until_async

SIZE = Size(streams=6, stream_tokens=4, gap_ms=10, rate=100, most_waiting=4)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    started = Engine(tmp_path_factory.mktemp("engine"))
    started.start()
    yield Target(started.port)
    started.stop()


async def ask(crowd: Crowd, answers: int) -> None:
    """Until so many have ended."""

    async def have() -> bool:
        return len(crowd.asked) - len(crowd.under_way) >= answers

    await crowd.start()
    await wait_until_async(have, f"{answers} answers", 30)
    await crowd.stop()


async def test_whole_answers_are_known_by_an_id_of_their_own(engine: Target) -> None:
    crowd = Crowd(SIZE, (engine, replace(engine, model="other")), engine)
    await ask(crowd, 60)
    assert all(one.is_whole for one in crowd.asked.values())
    assert crowd.short_whole + crowd.streams_whole == len(crowd.asked) >= 60
    assert {(one.is_stream, one.tokens, one.target.model) for one in crowd.asked.values()} == {
        (True, 4, "bench"),
        (True, 4, "other"),
        (False, SHORT_TOKENS, "bench"),
    }


@pytest.mark.parametrize(("fault", "status", "got"), [("rst=2", 200, b'"w1 "'), ("status=503", 503, b"Told to answer")])
async def test_streams_that_break_are_told_from_those_that_do_not(
    engine: Target, fault: str, status: int, got: bytes
) -> None:
    crowd = Crowd(SIZE, (engine, replace(engine, model=fault)), engine)
    await ask(crowd, 60)
    broken = [one for one in crowd.asked.values() if not one.is_whole]
    assert {one.target.model for one in broken} == {fault}
    assert all(one.status == status and got in one.got for one in broken)
    assert crowd.streams_whole > 0
    assert crowd.short_whole > 0


async def test_short_answers_that_are_refused_are_not_whole(engine: Target) -> None:
    crowd = Crowd(SIZE, (engine,), replace(engine, model="status=429"))
    await ask(crowd, 30)
    assert crowd.short_whole == 0
    assert {one.status for one in crowd.asked.values() if not one.is_stream} == {429}


async def test_who_cannot_connect_has_no_answer() -> None:
    with pytest.raises(OSError, match="Connect"):
        await Crowd(SIZE, (Target(1),), Target(1)).start()


async def test_the_process_at_the_other_end_of_a_connection_is_found() -> None:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connections = [await connect(Target(port)) for _ in range(3)]

    async def are_accepted() -> bool:
        return set(find_holders(port, [os.getpid()])) == {port_of(one) for one in connections}

    await wait_until_async(are_accepted, "each is accepted", 10)
    assert find_holders(port, [1 << 22]) == {}
    hang_up(connections)
    server.close()
