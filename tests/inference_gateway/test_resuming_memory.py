"""How much of an answer is kept, who waits for whom, and what becomes of it where Valkey loses what it had."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis
from django.conf import settings

from inference_gateway.chat import ChatError
from inference_gateway.resuming import resumable as limits
from inference_gateway.resuming.framing import Dialect
from inference_gateway.resuming.resumable import Budget, Resumable, State, Title
from inference_gateway.resuming.store import STOP, Store

pytestmark = pytest.mark.backends

PIECE = bytes(range(256)) * 4


class Writer:
    """Writes pieces into a generation until it is told to stop."""

    def __init__(self, one: Resumable, pieces: int) -> None:
        self.one = one
        self.pieces = pieces
        self.written = 0
        self.is_over = asyncio.Event()

    async def run(self) -> None:
        await self.one.send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"a/b")]})
        while self.written < self.pieces:
            await self.one.send({"type": "http.response.body", "body": PIECE, "more_body": True})
            self.written += 1
        await self.one.send({"type": "http.response.body", "body": b""})

    def start(self) -> None:
        self.one.start(self.run(), lambda one: self.is_over.set())


def make(key: str = "gen-1", grace: float = 60.0) -> Resumable:
    return Resumable(Title(key, "owner", Dialect.OPENAI), grace, Budget(), has_ids=False)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_KEPT_BYTES", 8 * len(PIECE))
    monkeypatch.setattr(limits, "MOST_READ_BYTES", len(PIECE))


async def wait_for_rest(writer: Writer) -> int:
    """How much is written when the writer has come to a stand."""
    before = -1
    while writer.written != before:
        before = writer.written
        await asyncio.sleep(0.05)
    return before


@pytest.mark.usefixtures("_small")
def test_a_slow_reader_makes_the_engine_wait_and_misses_nothing() -> None:
    async def run() -> None:
        writer = Writer(make(), 50)
        got = b""
        with writer.one.read_from(0) as reader:
            writer.start()
            assert await wait_for_rest(writer) <= 9
            while piece := await reader.read():
                got += piece
                assert len(writer.one.read_window(writer.one.base, 1 << 30)) <= 9 * len(PIECE)
        assert got == PIECE * 50
        assert writer.one.state is State.FINISHED

    asyncio.run(run())


@pytest.mark.usefixtures("_small")
def test_without_a_reader_the_engine_waits_for_one_and_nothing_is_dropped() -> None:
    async def run() -> None:
        writer = Writer(make(), 50)
        writer.start()
        assert await wait_for_rest(writer) <= 9
        with writer.one.read_from(0) as reader:
            got = b""
            while piece := await reader.read():
                got += piece
        assert got == PIECE * 50
        with pytest.raises(ChatError) as refused, writer.one.read_from(0):
            pass
        assert refused.value.code == "generation_gone"

    asyncio.run(run())


@pytest.mark.usefixtures("_small")
def test_an_engine_that_waits_is_stopped_when_the_time_of_grace_is_over() -> None:
    async def run() -> None:
        writer = Writer(make(grace=0.2), 50)
        with writer.one.read_from(0):
            writer.start()
            await wait_for_rest(writer)
        async with asyncio.timeout(5):
            assert (await writer.one.receive())["type"] == "http.disconnect"
        await writer.one.stop()

    asyncio.run(run())


async def store_of(url: str) -> AsyncIterator[Store]:
    store = Store(url)
    try:
        yield store
    finally:
        await store.close()


def test_what_valkey_loses_is_stored_again_from_the_beginning(valkey: redis.Redis) -> None:
    async def run() -> None:
        async for store in store_of(settings.SLIPWAY_REDIS_URL):
            one = make()
            await one.send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"a/b")]})
            for number in range(6):
                await one.send({"type": "http.response.body", "body": b"%d " % number, "more_body": True})
                if number == 3:
                    valkey.flushdb()
                await store.write([one])
            await store.write([one])
            found = await store.look("gen-1", 3)
            assert found is not None
            assert (found.data, found.state, found.headers) == (
                b" 2 3 4 5 ",
                State.RUNNING,
                [(b"content-type", b"a/b")],
            )
            assert await store.is_alive(found.process)

    asyncio.run(run())


def test_a_piece_that_is_stored_twice_is_there_once(valkey: redis.Redis) -> None:
    async def run() -> None:
        async for store in store_of(settings.SLIPWAY_REDIS_URL):
            one = make()
            await one.send({"type": "http.response.start", "status": 200, "headers": []})
            await one.send({"type": "http.response.body", "body": b"first ", "more_body": True})
            await store.write([one])
            one.stored = 0  # as where Valkey's answer was lost
            await one.send({"type": "http.response.body", "body": b"second", "more_body": True})
            await store.write([one])
            await one.send({"type": "http.response.body", "body": b" third"})
            await store.write([one])
            for offset in (0, 3, 6, 9, 12, 18):
                found = await store.look("gen-1", offset)
                assert found is not None
                assert (found.data, found.state) == (b"first second third"[offset:], State.FINISHED)
            assert 0 < int(valkey.ttl("slipway:generation:gen-1:data")) <= 600

    asyncio.run(run())


def test_a_process_hears_what_others_want_of_it(valkey: redis.Redis) -> None:
    async def run() -> None:
        async for here in store_of(settings.SLIPWAY_REDIS_URL):
            async for there in store_of(settings.SLIPWAY_REDIS_URL):
                await there.ask(here.process, STOP, "gen-1")
                assert await here.write([]) == [(STOP, "gen-1")]
                assert await here.write([]) == []

    asyncio.run(run())
