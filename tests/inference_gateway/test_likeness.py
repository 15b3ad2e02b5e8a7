"""Chunks that go on in one step: just those that would have passed one by one, and nothing else."""

from __future__ import annotations

import asyncio
import random

import pytest

from inference_gateway.codecs.openai_relay import Stream, find_likeness
from inference_gateway.likeness import SIZE_LINES, Repeating
from inference_gateway.upstream_connection import find_data

#: Of several engines; the text stands for ``%s``.
EVENTS = (
    b'data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    b'"delta":{"content":"%s"},"logprobs":null,"finish_reason":null}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"content": "%s"}, "finish_reason": null}], "model": "m"}\n\n',
    b'data: {"choices":[{"finish_reason":"stop","index":0,"text":"%s"}],"created":1,"id":"b"}\n\n',
    b'data: {"choices":[{"delta":{"reasoning_content":"%s","content":null}}]}\n\n',
    b'data: {"choices":[{"delta":{"reasoning":"%s"}}]}\n\n',
    b'data: "content":"%s",":\n\n',
)
USUAL = (b" a", b"g\xc3\xbcnstig ", b"\\n", b"usage", b"data: DONE", b"x" * 90, b"y" * 4000)
ODD = (
    b"", b'"', b'\\"', b'","usage":null,"x":"', b'"usage":', b"[", b"data: [DONE]", b"\n", b"\n\n", b"\r", b"\r\n",
    b":", b'","finish_reason":"stop', b"\n\ndata: b", b"\r\n\r\n2\r\nab", b"\n\n\r\n0\r\n\r\n",
)  # fmt: skip


class Out(asyncio.WriteTransport):
    """Where chunks go."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_closed
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_closed


class Line(Repeating):
    """The connection that they come from."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[bytes] = []

    def receive(self, data: bytes) -> None:
        self.received.append(data)


def frame(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def repeat(event: bytes, text: bytes = b" to") -> tuple[Line, Out]:
    """A line on which that has passed, and its likes go to the other."""
    chunk, line, out = frame(event % text), Line(), Out()
    likeness = find_likeness(chunk, find_data(chunk))
    assert likeness is not None
    line.repeat(likeness, out)
    return line, out


@pytest.mark.parametrize("event", EVENTS[:-1])
def test_what_differs_in_its_text_alone_goes_on(event: bytes) -> None:
    line, out = repeat(event)
    chunks = [frame(event % text) for text in (b" a", b"g\xc3\xbcnstig ", b"\\n", b"usage", b"data: DONE", b"b")]
    usual = [chunk for chunk in chunks if chunk.index(b"\r") == frame(event % b" to").index(b"\r")]
    for chunk in usual:
        line.data_received(chunk)
    assert out.written == usual
    assert not line.received
    assert line.take_repeats() == len(usual) > 2
    assert line.take_repeats() == 0


def test_a_caller_who_has_left_is_written_nothing() -> None:
    line, out = repeat(EVENTS[0])
    out.is_closed = True
    line.data_received(frame(EVENTS[0] % b"a"))
    assert not line.received


def test_a_chunk_too_short_for_both_quotes_is_not_like_it() -> None:
    line, out = repeat(EVENTS[1])
    chunk = frame((EVENTS[1] % b"").replace(b'""', b'"'))
    line.data_received(chunk)
    assert (line.received, out.written) == ([chunk], [])


def test_nothing_goes_on_once_that_has_ended() -> None:
    line, out = repeat(EVENTS[0])
    line.end_repeating()
    line.end_repeating()
    line.data_received(frame(EVENTS[0] % b"a"))
    assert len(line.received) == 1
    assert not out.written


@pytest.mark.parametrize(
    "data",
    [
        EVENTS[0] % b"a" + EVENTS[0] % b"b",
        EVENTS[0] % b'say \\"hi',
        b'data: {"choices":[{"delta":{"tool_calls":[]}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":null},"finish_reason":"stop"}]}\n\n',
        b'data: {"content":"a":"b"}\n\n',
        b'data: {"content":"a\n\n',
        b'data: {"content":"a"}\n\n\n',
    ],
    ids=["two events", "quotes", "no text", "null", "a name", "no end", "a line more"],
)
def test_what_has_no_plain_text_has_no_likes(data: bytes) -> None:
    chunk = frame(data)
    assert find_likeness(chunk, find_data(chunk)) is None


def spoil(dice: random.Random, chunk: bytes) -> bytes:
    """With a few bytes changed, lost, doubled, or put in."""
    data = bytearray(chunk)
    for _ in range(dice.choice((0, 1, 1, 2))):
        at = dice.choice((dice.randrange(len(data)), dice.randrange(6), len(data) - 1 - dice.randrange(6)))
        piece = dice.choice((b'"', b":", b"\n", b"\r", b"[", b"e", b"0", b"\r\n", b"\n\n", b'"usage":', b""))
        data[at : at + dice.randrange(3)] = piece
        if len(data) < 8:
            return bytes(data) + b"\r\n\r\n\r\n\r\n"
    return bytes(data)


@pytest.mark.parametrize("seed", range(30))
def test_what_goes_on_would_have_passed_and_leaves_the_stream_as_that_would(seed: int) -> None:
    dice = random.Random(seed)
    gone = 0
    for _ in range(300):
        event, texts = dice.choice(EVENTS), USUAL * 4 + ODD
        first = frame(event % dice.choice(USUAL))
        one, other = Stream(hides_usage=True), Stream(hides_usage=True)
        before = dice.choice((b"", b'data: {"finish_reason":"stop"}\n\n'))
        for stream in (one, other):
            stream.feed(before)
            assert stream.passes(first, find_data(first))
        likeness = find_likeness(first, find_data(first))
        if likeness is None:
            continue
        line, out = Line(), Out()
        line.repeat(likeness, out)
        framed = frame(event % (dice.choice(texts) + dice.choice((b"", b" a"))))
        chunk = spoil(dice, framed) if dice.random() < 0.7 else framed
        line.data_received(chunk)
        if not out.written:
            assert line.received == [chunk]
            continue
        gone += 1
        start = find_data(chunk)
        assert start
        assert other.passes(chunk, start)
        fed = Stream(hides_usage=True)
        assert fed.feed(chunk[start:-2]) == chunk[start:-2]
        one.note_repeats(line.take_repeats())
        assert one.pieces == other.pieces
        assert one.is_complete == other.is_complete
    assert gone > 20


def test_the_first_line_of_a_chunk_says_how_long_it_is() -> None:
    for size in (*range(1, 5000), 65535, 65536, 1 << 20):
        chunk = frame(b"x" * size)
        assert chunk.startswith(SIZE_LINES[len(chunk)])
    assert len(SIZE_LINES) < 5000
    assert not frame(b"x" * 15 + b"y").startswith(SIZE_LINES[21])  # no chunk is that long
