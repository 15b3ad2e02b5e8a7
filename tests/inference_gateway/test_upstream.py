"""The client that asks engines: its connections, what breaks them, and what a broken one costs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from inference_gateway import upstream as module
from inference_gateway.upstream import Upstream, render_request
from inference_gateway.upstream_connection import Answer, UnreachableError, UpstreamError, find_data
from tests.inference_gateway.raw_engine import HEAD, RawEngine, Script, Turn
from tests.waiting import wait_until, wait_until_async

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    pool = Upstream()
    yield pool
    pool.close()


async def ask(upstream: Upstream, engine: RawEngine, body: bytes = b"{}") -> Answer:
    address = ("127.0.0.1", engine.port)
    return await upstream.ask(address, render_request("/v1/chat/completions", address, body))


async def read_all(answer: Answer) -> bytes:
    pieces = []
    while piece := await answer.read():
        pieces.append(piece)
    answer.close()
    return b"".join(pieces)


def sends(data: bytes) -> Script:
    async def script(turn: Turn) -> None:
        await turn.send(data)

    return script


async def test_a_connection_is_used_again_once_its_answer_was_read(upstream: Upstream) -> None:
    with RawEngine(sends(OK)) as engine:
        for _ in range(5):
            assert await read_all(await ask(upstream, engine)) == b"ok"
        assert engine.connections == 1


async def test_a_connection_that_is_lost_as_it_is_made_is_unfit_and_nothing_worse(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = upstream.loop.create_connection

    async def create_and_lose(*args: Any) -> Any:
        transport, connection = await create(*args)
        transport.abort()

        async def is_lost() -> bool:
            return connection not in upstream.all

        await wait_until_async(is_lost, "the connection is lost", 5)
        return transport, connection

    class Losing:
        create_connection = staticmethod(create_and_lose)

        def __getattr__(self, name: str) -> Any:
            return getattr(asyncio.get_running_loop(), name)

    monkeypatch.setattr(upstream, "loop", Losing())
    with RawEngine(sends(OK)) as engine, pytest.raises(UpstreamError):
        await ask(upstream, engine)


async def test_an_answer_left_before_its_end_closes_its_connection(upstream: Upstream) -> None:
    has_ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def script(turn: Turn) -> None:
        await turn.send(HEAD)
        await turn.send_chunk(b"begun")
        await turn.wait_closed()
        loop.call_soon_threadsafe(has_ended.set)

    with RawEngine(script) as engine:
        answer = await ask(upstream, engine)
        assert await answer.read() == b"begun"
        answer.close()
        await asyncio.wait_for(has_ended.wait(), 5)


async def test_a_kept_connection_that_was_dropped_meanwhile_costs_nothing(upstream: Upstream) -> None:
    async def script(turn: Turn) -> None:
        if turn.number == 1:
            turn.drop()  # as a server does whose idle time ran out under the request
        else:
            await turn.send(OK)

    with RawEngine(script) as engine:
        assert await read_all(await ask(upstream, engine)) == b"ok"
        assert await read_all(await ask(upstream, engine)) == b"ok"
        assert len(engine.turns) == 3


async def test_a_fresh_connection_that_is_dropped_is_not_tried_again(upstream: Upstream) -> None:
    async def script(turn: Turn) -> None:
        turn.drop()

    with RawEngine(script) as engine:
        with pytest.raises(UpstreamError):
            await ask(upstream, engine)
        assert len(engine.turns) == 1


async def test_an_idle_connection_is_dropped_before_the_engine_would(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.05)
    is_closed = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def script(turn: Turn) -> None:
        await turn.send(OK)
        await turn.wait_closed()
        loop.call_soon_threadsafe(is_closed.set)

    with RawEngine(script) as engine:
        await read_all(await ask(upstream, engine))
        await asyncio.wait_for(is_closed.wait(), 5)


async def test_nobody_there_is_unreachable(upstream: Upstream) -> None:
    with RawEngine(sends(OK)) as engine:
        pass
    with pytest.raises(UnreachableError):
        await ask(upstream, engine)


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (HEAD + b"2\r\nok\r\n3;name=value\r\nay!\r\n0\r\n\r\n", b"okay!"),
    ],
)
async def test_answers_of_every_framing_are_read_to_their_end(upstream: Upstream, data: bytes, body: bytes) -> None:
    with RawEngine(sends(data)) as engine:
        for _ in range(2):
            assert await read_all(await ask(upstream, engine)) == body


async def test_an_answer_without_a_length_ends_with_its_connection(upstream: Upstream) -> None:
    async def script(turn: Turn) -> None:
        await turn.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        turn.end()

    with RawEngine(script) as engine:
        assert await read_all(await ask(upstream, engine)) == b"all of it"


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %b\r\n" % (n, b"y" * 900) for n in range(100)) + b"\r\n",
        HEAD + b"zz\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ],
    ids=["no HTTP", "headers too long", "no chunk", "two lengths"],
)
async def test_what_is_no_answer_is_an_error(upstream: Upstream, data: bytes) -> None:
    with RawEngine(sends(data)) as engine, pytest.raises(UpstreamError):
        await read_all(await ask(upstream, engine))


async def test_an_answer_that_breaks_off_is_an_error_after_what_came(upstream: Upstream) -> None:
    async def script(turn: Turn) -> None:
        await turn.send(HEAD)
        await turn.send_chunk(b"half")
        turn.end()

    with RawEngine(script) as engine:
        answer = await ask(upstream, engine)
        assert await answer.read() == b"half"
        with pytest.raises(UpstreamError):
            await answer.read()


async def test_a_second_answer_to_one_question_is_nobodys(upstream: Upstream) -> None:
    with RawEngine(sends(OK + OK.replace(b"ok", b"no"))) as engine:
        for _ in range(3):
            assert await read_all(await ask(upstream, engine)) == b"ok"
        assert engine.connections == 3


async def test_an_engine_waits_for_a_slow_reader(upstream: Upstream) -> None:
    sent = 0

    async def script(turn: Turn) -> None:
        nonlocal sent
        await turn.send(HEAD)
        for _ in range(4000):
            await turn.send_chunk(b"x" * 16_384)
            sent += 16_384
        await turn.send_chunk(b"")

    with RawEngine(script) as engine:
        answer = await ask(upstream, engine)
        before = -1
        while before != sent:  # until it sends no more
            before = sent
            await asyncio.sleep(0.3)
        assert sent < 30_000_000
        assert len(await read_all(answer)) == 4000 * 16_384


async def test_leaving_while_an_answer_is_waited_for_closes_its_connection(upstream: Upstream) -> None:
    ended: list[bool] = []

    async def script(turn: Turn) -> None:
        await turn.wait_closed()
        ended.append(True)

    with RawEngine(script) as engine:
        asking = asyncio.ensure_future(ask(upstream, engine))
        await asyncio.to_thread(wait_until, lambda: bool(engine.turns), "it was asked", 5)
        asking.cancel()
        await asyncio.to_thread(wait_until, lambda: bool(ended), "its connection is closed", 5)


async def test_much_that_comes_with_the_head_is_poured_to_its_end(upstream: Upstream) -> None:
    async def script(turn: Turn) -> None:
        await turn.send(HEAD)
        for _ in range(400):
            await turn.send_chunk(b"x" * 16_384)
        await turn.send_chunk(b"")

    with RawEngine(script) as engine:
        answer = await ask(upstream, engine)
        await asyncio.sleep(0.5)  # more lies here by now than is taken unread
        poured = bytearray()
        async with asyncio.timeout(10):
            await answer.pour(poured.extend)
        answer.close()
    assert len(poured) == 400 * 16_384


def chunk_of(data: bytes, form: int) -> bytes:
    """One chunk: as engines write it, and in other ways that HTTP allows."""
    size = (b"%x", b"%x", b"%x", b"%X", b"00%x", b"%x;name=value")[form] % len(data)
    return b"%b\r\n%b\r\n" % (size, data)


@pytest.mark.parametrize("seed", range(40))
async def test_whole_chunks_pass_as_they_are_wherever_the_stream_is_cut(upstream: Upstream, seed: int) -> None:
    dice = random.Random(seed)
    sizes = (1, 2, 15, 16, 255, 256, 5000)
    data = [dice.randbytes(dice.choice(sizes)) + dice.choice((b"", b"\r\n")) for _ in range(60)]
    chunks = [chunk_of(one, dice.randrange(6)) for one in data]
    cuts = []
    for chunk in (*chunks, b"0\r\n\r\n"):
        at = dice.randrange(len(chunk)) if dice.random() < 0.3 else 0
        cuts += [chunk[:at], chunk[at:]]
    if seed % 2:  # some arrive together
        cuts = [b"".join(cuts[at : at + 3]) for at in range(0, len(cuts), 3)]

    async def script(turn: Turn) -> None:
        await turn.send(HEAD)
        await turn.send(chunk_of(b"first", 0))
        for cut in filter(None, cuts):
            await turn.send(cut)
            await asyncio.sleep(0.001)

    came: list[bytes] = []
    whole: list[bytes] = []

    def take_chunk(chunk: bytes) -> bool:
        start = find_data(chunk)
        if not start or dice.random() < 0.2:
            return False
        whole.append(chunk)
        came.append(chunk[start:-2])
        return True

    with RawEngine(script) as engine:
        answer = await ask(upstream, engine)
        async with asyncio.timeout(30):
            await answer.pour(came.append, take_chunk)
        answer.close()
        assert b"".join(came) == b"".join((b"first", *data))
        assert set(whole) <= {chunk_of(one, 0) for one in data}
        assert seed % 2 or whole
        (await ask(upstream, engine)).close()
        assert engine.connections == 1  # it ended as it should, so it was kept
