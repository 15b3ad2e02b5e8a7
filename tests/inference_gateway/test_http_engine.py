"""Talking to engines over HTTP: what arrives in pieces, what breaks, and what leaving does to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from inference_gateway.chat import ChatError, ChatEvent, ChatRequest, Done, Text, Usage
from inference_gateway.engines.openai_http import MAX_LINE_BYTES, OpenAiEngine, open_session

QUESTION = ChatRequest(messages=({"role": "user", "content": "Hi"},))
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _event(value: object) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def _delta(text: str, reason: str | None = None) -> bytes:
    return _event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]})


class Upstream:
    """A server whose answers a test writes byte by byte."""

    def __init__(self, answer: Handler) -> None:
        self._answer = answer
        self.connections = 0
        self.requests: list[bytes] = []
        self.left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:")
                self.requests.append(await reader.readexactly(length))
                await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def _engine(answer: Handler, read_timeout_seconds: float = 10) -> AsyncIterator[tuple[OpenAiEngine, Upstream]]:
    upstream = Upstream(answer)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with open_session() as session:
        yield OpenAiEngine(session, f"http://127.0.0.1:{port}", read_timeout_seconds=read_timeout_seconds), upstream
    server.close()


def _says(*parts: bytes) -> Handler:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return answer


def _says_and_closes(*parts: bytes) -> Handler:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
        await writer.drain()
        raise ConnectionError

    return answer


async def _collect(engine: OpenAiEngine, question: ChatRequest = QUESTION) -> list[ChatEvent]:
    async with contextlib.aclosing(engine.generate(question)) as events:
        return [event async for event in events]


async def _refusal(answer: Handler, **options: float) -> ChatError:
    async with _engine(answer, **options) as (engine, _):
        with pytest.raises(ChatError) as caught:
            await _collect(engine)
        return caught.value


WHOLE = b": ping\n\n" + _delta("Grüß 世界 👋") + b"event: message\r\n" + _delta("!", "stop").replace(b"\n", b"\r\n")
WHOLE += _event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}) + b"data: [DONE]\n\n"
TOO_LONG = {"error": {"type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 4}}
EVENTS = [Text("Grüß 世界 👋"), Text("!"), Done("stop"), Usage(1, 2, {"prompt_tokens": 1, "completion_tokens": 2})]


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_events_cut_anywhere_are_read_whole(size: int) -> None:
    pieces = [_chunk(WHOLE[start : start + size]) for start in range(0, len(WHOLE), size)]
    async with _engine(_says(HEAD, *pieces, b"0\r\n\r\n")) as (engine, upstream):
        assert await _collect(engine) == EVENTS
        assert json.loads(upstream.requests[0])["stream"] is True


async def test_a_connection_is_used_again_after_a_whole_answer() -> None:
    async with _engine(_says(HEAD, _chunk(WHOLE), b"0\r\n\r\n")) as (engine, upstream):
        for _ in range(3):
            assert await _collect(engine) == EVENTS
        assert upstream.connections == 1


async def test_an_idle_connection_that_the_engine_dropped_is_replaced() -> None:
    async with _engine(_says_and_closes(HEAD, _chunk(WHOLE), b"0\r\n\r\n")) as (engine, upstream):
        for _ in range(2):
            assert await _collect(engine) == EVENTS
        assert upstream.connections == 2


async def test_an_engine_that_leaves_out_the_done_mark_is_whole_all_the_same() -> None:
    async with _engine(_says(HEAD, _chunk(_delta("Hi", "stop")), b"0\r\n\r\n")) as (engine, _):
        assert await _collect(engine) == [Text("Hi"), Done("stop")]


@pytest.mark.parametrize(
    "parts",
    [
        [HEAD, _chunk(_delta("Hi")), b"0\r\n\r\n"],
        [HEAD, b"0\r\n\r\n"],
        [HEAD, _chunk(b"data: {nonsense}\n\n")],
        [HEAD, _chunk(b"data: [1]\n\n")],
        [HEAD, _chunk(b"data: \xff\xfe\n\n")],
        [HEAD, b"no chunk at all\r\n"],
        [HEAD, _chunk(b"data: " + b"x" * (MAX_LINE_BYTES + 10))],
    ],
)
async def test_an_answer_that_breaks_off_is_never_a_clean_end(parts: list[bytes]) -> None:
    error = await _refusal(_says_and_closes(*parts))
    assert (error.status, error.code) == (502, "engine_stream_broken")


async def test_a_connection_lost_in_the_middle_keeps_what_came_before() -> None:
    async with _engine(_says_and_closes(HEAD, _chunk(_delta("Hi")))) as (engine, _):
        events = engine.generate(QUESTION)
        assert await anext(events) == Text("Hi")
        with pytest.raises(ChatError) as caught:
            await anext(events)
        assert caught.value.code == "engine_stream_broken"
        assert "connection to it was lost" in caught.value.message


async def test_an_engine_that_falls_silent_times_out() -> None:
    error = await _refusal(_says(HEAD, _chunk(_delta("Hi"))), read_timeout_seconds=0.2)
    assert (error.status, error.code) == (504, "engine_timeout")


async def test_nobody_listening_is_unreachable() -> None:
    async with _engine(_says()) as (engine, _):
        pass  # The server is closed here; its port is free.
    async with open_session() as session:
        engine = OpenAiEngine(session, engine._base_url)
        with pytest.raises(ChatError) as caught:
            await _collect(engine)
    assert (caught.value.status, caught.value.code) == (503, "engine_unreachable")


def _answer(status: int, value: object) -> Handler:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return _says(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))


@pytest.mark.parametrize(
    ("status", "value", "expected"),
    [
        (400, {"error": {"message": "bad tools", "code": "bad_tools", "param": "tools"}}, (400, "bad_tools")),
        (422, {"error": {"message": "no"}}, (422, "invalid_request")),
        (
            400,
            TOO_LONG,
            (400, "context_length_exceeded"),
        ),
        (400, {"object": "error", "message": "maximum context length is 4"}, (400, "context_length_exceeded")),
        (429, b"", (429, "engine_busy")),
        (500, {"error": {"message": "secret stack"}}, (502, "engine_error")),
        (503, b"<html>", (503, "engine_unavailable")),
        (302, b"", (502, "engine_error")),
    ],
)
async def test_what_an_engine_refuses_is_told_by_status_and_code(
    status: int, value: object, expected: tuple[int, str]
) -> None:
    error = await _refusal(_answer(status, value))
    assert (error.status, error.code) == expected
    assert "secret" not in error.message


async def test_an_error_in_the_middle_of_a_stream_is_raised() -> None:
    error = await _refusal(_says(HEAD, _chunk(_delta("Hi") + _event({"error": {"message": "boom", "code": 500}}))))
    assert (error.status, error.code) == (502, "engine_error")


async def test_numbers_of_a_prompt_that_is_too_long_are_told() -> None:
    error = await _refusal(_answer(400, TOO_LONG))
    assert "9 tokens" in error.message
    assert "holds 4" in error.message


async def test_closing_the_stream_closes_the_connection() -> None:
    async with _engine(_says(HEAD, _chunk(_delta("Hi")))) as (engine, upstream):
        events = engine.generate(QUESTION)
        assert await anext(events) == Text("Hi")
        await events.aclose()
        await asyncio.wait_for(upstream.left.wait(), 5)


async def test_cancelling_before_the_first_byte_closes_the_connection() -> None:
    asked = asyncio.Event()

    async def think(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.readexactly(1)

    async with _engine(think) as (engine, upstream):
        task = asyncio.ensure_future(_collect(engine))
        await asyncio.wait_for(asked.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(upstream.left.wait(), 5)


async def test_more_tokens_than_the_context_holds_are_asked_for_again_without_a_number() -> None:
    error = {
        "message": "max_tokens=6144 cannot be greater than max_model_len=4096.",
        "param": "max_tokens",
        "code": 400,
    }
    body = json.dumps({"error": error}).encode()
    refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    whole = HEAD + _chunk(_delta("Hi", "length")) + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(refusal if len(upstream.requests) == 1 else whole)
        await writer.drain()

    async with _engine(answer) as (engine, upstream):
        events = [event async for event in engine.generate(replace(QUESTION, max_tokens=6144))]
    assert events[0] == Text("Hi")
    assert [json.loads(request).get("max_tokens") for request in upstream.requests] == [6144, None]


async def test_another_refusal_of_a_length_is_passed_on() -> None:
    body = json.dumps({"error": {"message": "max_tokens must be at least 1.", "param": "max_tokens"}}).encode()
    refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    async with _engine(_says(refusal)) as (engine, upstream):
        with pytest.raises(ChatError, match="at least 1"):
            _ = [event async for event in engine.generate(replace(QUESTION, max_tokens=7))]
    assert len(upstream.requests) == 1
