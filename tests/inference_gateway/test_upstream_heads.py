"""Answers whose heads were read before: taken without the parser, and only those that are whole and alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import httptools
import pytest

from inference_gateway import upstream_connection
from inference_gateway.heads import MOST_MISSES
from inference_gateway.upstream import Upstream, render_request
from inference_gateway.upstream_connection import Answer, Connection

ADDRESS = ("127.0.0.1", 1)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nContent-Length: %d\r\nx-note: %b\r\n\r\n"


def answer_of(body: bytes, note: bytes = b"n") -> bytes:
    return HEAD % (len(body), note) + body


class Counting:
    """httptools' parser, which counts how often it is asked."""

    def __init__(self, connection: Connection) -> None:
        self.parser = httptools.HttpResponseParser(connection)
        self.fed = 0

    def feed_data(self, data: bytes) -> None:
        self.fed += 1
        self.parser.feed_data(data)

    def get_status_code(self) -> int:
        return int(self.parser.get_status_code())

    def should_keep_alive(self) -> bool:
        return bool(self.parser.should_keep_alive())


class Line(asyncio.Transport):
    """A connection of which the test is the other end."""

    def __init__(self) -> None:
        super().__init__()
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """What is asked does not matter."""

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True


class Asker:
    """One connection, asked again and again."""

    def __init__(self, upstream: Upstream) -> None:
        self.connection = Connection(upstream, ADDRESS)
        self.line = Line()
        self.connection.connection_made(self.line)
        self.counting = Counting(self.connection)
        self.connection._parser = self.counting  # type: ignore[assignment]

    async def ask(self, pieces: Sequence[bytes]) -> Answer:
        self.connection.send(render_request("/v1/x", ADDRESS, b"{}"))
        for piece in pieces:
            self.connection.data_received(piece)
        return await self.connection.hear()

    async def read(self, *pieces: bytes) -> tuple[bytes, bytes | None]:
        """The body, and what the header said of its length."""
        answer = await self.ask(pieces)
        body = b""
        while piece := await answer.read():
            body += piece
        length = answer.find(b"content-length")
        answer.close()
        return body, length


@pytest.fixture
async def asker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asker]:
    monkeypatch.setattr(upstream_connection, "HEADS", type(upstream_connection.HEADS)())
    upstream = Upstream()
    yield Asker(upstream)
    upstream.close()


async def test_the_second_answer_with_a_head_needs_no_parser_whatever_its_length(asker: Asker) -> None:
    assert await asker.read(answer_of(b"first")) == (b"first", b"5")
    fed = asker.counting.fed
    for body in (b"second one", b"", b"x" * 70_000, b"4"):
        assert await asker.read(answer_of(body)) == (body, b"%d" % len(body))
    assert asker.counting.fed == fed


async def test_another_connection_knows_it_after_one_answer(asker: Asker) -> None:
    await asker.read(answer_of(b"first"))
    other = Asker(asker.connection._pool)  # type: ignore[arg-type]
    await other.read(answer_of(b"second"))
    assert asker.connection._known is not None
    assert other.connection._known is asker.connection._known


@pytest.mark.parametrize(
    "pieces",
    [
        (answer_of(b"other", b"m"),),
        (answer_of(b"in pieces")[:-4], answer_of(b"in pieces")[-4:]),
        (answer_of(b"in pieces")[:20], answer_of(b"in pieces")[20:]),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + answer_of(b"late"),),
        (answer_of(b"old").replace(b"HTTP/1.1", b"HTTP/1.0"),),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",),
    ],
)
async def test_anything_else_is_for_the_parser_and_the_next_is_known_again(
    asker: Asker, pieces: tuple[bytes, ...]
) -> None:
    await asker.read(answer_of(b"first"))
    fed = asker.counting.fed
    body, _ = await asker.read(*pieces)
    assert pieces[-1].endswith(body[-2:]) or b"ok" in body
    assert asker.counting.fed == fed + len(pieces)
    if not asker.line.is_aborted:
        fed = asker.counting.fed
        assert await asker.read(answer_of(b"again", b"m" if b"m\r\n" in pieces[0] else b"n")) == (b"again", b"5")
        assert asker.counting.fed == fed


async def test_a_refusal_with_a_head_that_looks_alike_is_one(asker: Asker) -> None:
    await asker.read(answer_of(b"first"))
    answer = await asker.ask([answer_of(b"no").replace(b"200 OK", b"503 No")])
    assert answer.status == 503


async def test_more_than_the_answer_drops_the_connection(asker: Asker) -> None:
    await asker.read(answer_of(b"first"))
    assert await asker.read(answer_of(b"one") + answer_of(b"two")) == (b"one", b"3")
    assert asker.line.is_aborted


async def test_what_comes_behind_an_answer_drops_the_connection(asker: Asker) -> None:
    await asker.read(answer_of(b"first"))
    await asker.read(answer_of(b"second"))
    asker.connection.data_received(b"more")
    assert asker.line.is_aborted


async def test_heads_that_never_come_again_are_looked_at_seldom(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    remember = upstream_connection.HEADS.remember

    def note(*given: object) -> object:
        nonlocal looked
        looked += 1
        return remember(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(upstream_connection.HEADS, "remember", note)
    for number in range(4 * MOST_MISSES):
        await asker.read(answer_of(b"ok", b"%d" % number))
    assert looked <= 12
    for _ in range(MOST_MISSES):  # and still, one day, it is known
        await asker.read(answer_of(b"ok", b"same"))
    fed = asker.counting.fed
    await asker.read(answer_of(b"ok", b"same"))
    assert asker.counting.fed == fed
