"""The pretended engine behaves as each question orders."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.gateway.arms import Engine
from bench.gateway.client import Answer, Target, ask, get_json
from bench.gateway.fake_engine import Plan, parse_plan, take_request
from bench.gateway.loads import is_good_stream
from tests.waiting import wait_until_async


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    started = Engine(tmp_path_factory.mktemp("engine"))
    started.start()
    yield Target(started.port)
    started.stop()


def test_orders_are_read_wherever_they_stand() -> None:
    assert parse_plan(b'{"messages":[{"content":"Go. tokens=5 gap=20, please rst=3"}]}') == Plan(5, 20, rst=3)
    assert parse_plan(b"{}") == Plan()
    assert Plan(tokens=5, rst=3, stall=4).stops_at == 3


def test_requests_are_cut_off_whole() -> None:
    first = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc"
    buffer = bytearray(first + b"GET /health HTTP/1.1\r\n")
    assert take_request(buffer) == (b"POST /v1/chat/completions HTTP/1.1", b"abc")
    assert take_request(buffer) is None
    buffer += b"\r\n"
    assert take_request(buffer) == (b"GET /health HTTP/1.1", b"")
    assert not buffer


async def test_tokens_come_on_the_clock_in_order_with_an_end(engine: Target) -> None:
    began = time.monotonic()
    answer = await ask(engine, "tokens=10 gap=20 delay=100", is_stream=True)
    assert time.monotonic() - began >= 0.29
    assert is_good_stream(answer, 10)


async def test_a_unary_answer_holds_all_tokens(engine: Target) -> None:
    answer = await ask(engine, "tokens=3")
    assert answer.status == 200
    assert b'"content": "w0 w1 w2 "' in answer.body


@pytest.mark.parametrize("fault", ["rst=3", "close=3"])
async def test_an_answer_that_breaks_off_is_not_whole(engine: Target, fault: str) -> None:
    answer = await ask(engine, f"tokens=10 gap=5 {fault}", is_stream=True)
    assert not answer.is_whole
    assert b"w2 " in answer.raw
    assert b"w3 " not in answer.raw


async def test_a_reset_is_one(engine: Target) -> None:
    reader, writer = await asyncio.open_connection(engine.host, engine.port)
    writer.write(engine.request("tokens=10 gap=5 rst=3", is_stream=True))
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_an_answer_without_its_end_mark_is_no_good_stream(engine: Target) -> None:
    answer = await ask(engine, "tokens=4 gap=1 nodone=1", is_stream=True)
    assert answer.is_whole
    assert not is_good_stream(answer, 4)


async def test_an_error_is_told_at_once(engine: Target) -> None:
    assert (await ask(engine, "status=503", is_stream=True)).status == 503


async def test_who_falls_silent_is_counted_until_the_caller_has_gone(engine: Target) -> None:
    with pytest.raises(TimeoutError):
        await ask(engine, "tokens=10 gap=1 stall=3", is_stream=True, seconds=0.3)
    gone_at = time.monotonic()

    async def is_told() -> bool:
        return (await get_json(engine.port, "/stats"))["live"] == 0

    await wait_until_async(is_told, "the engine has seen that the caller left", 5)
    cancelled_at = (await get_json(engine.port, "/stats"))["cancelled_at"]
    assert isinstance(cancelled_at, list)
    assert gone_at - 0.2 < float(cancelled_at[-1]) <= time.monotonic()


async def test_a_bound_lets_so_many_answers_be_written_at_once(tmp_path: Path) -> None:
    bounded = Engine(tmp_path, "--slots", "2")
    bounded.start()
    target = Target(bounded.port)
    try:
        began = time.monotonic()
        given_up = asyncio.create_task(ask(target, "tokens=1 delay=60000"))
        answers = await asyncio.gather(*(ask(target, "tokens=2 delay=100") for _ in range(4)))
        assert [answer.status for answer in answers] == [200] * 4
        assert time.monotonic() - began >= 0.4  # one slot is taken by who gives up
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        both = await asyncio.gather(*(ask(target, "tokens=2 delay=100") for _ in range(2)))
        assert [answer.status for answer in both] == [200] * 2
        assert (await get_json(bounded.port, "/stats"))["live"] == 0
    finally:
        bounded.stop()


async def test_an_idle_connection_is_closed_after_its_keep_alive(tmp_path: Path) -> None:
    short = Engine(tmp_path, "--keep-alive", "0.3")
    short.start()
    try:
        with socket.create_connection(("127.0.0.1", short.port), timeout=10) as idle:
            answer = Answer()
            idle.sendall(Target(short.port).request())
            while not answer.is_whole:
                answer.feed(idle.recv(65536))
            assert idle.recv(1) == b""
    finally:
        short.stop()


async def test_told_to_end_it_writes_what_it_has_begun(tmp_path: Path) -> None:
    ending = Engine(tmp_path)
    ending.start()
    target = Target(ending.port)
    under_way = asyncio.create_task(ask(target, "tokens=10 gap=100", is_stream=True))

    async def has_begun() -> bool:
        return (await get_json(ending.port, "/stats"))["live"] == 1

    await wait_until_async(has_begun, "the answer is under way", 10)
    await asyncio.to_thread(ending.stop)
    assert is_good_stream(await under_way, 10)
