"""Answering over raw ASGI: limits, the three endings, and leaving callers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator

import pytest

from inference_gateway.answer import answer_exchange
from inference_gateway.chat import ChatError, ChatEvent, ChatRequest, Reasoning, Text
from inference_gateway.codecs import eas, openai
from inference_gateway.http import MAX_BODY_BYTES, ClientGoneError, Ending, Message, cancel_and_wait, read_body
from tests.inference_gateway.scripted import BROKEN, GREETING, Caller, ScriptedEngine

GONE: Message = {"type": "http.disconnect"}
STREAMED = eas.decode(b"Hi")
WHOLE = eas.decode(b'{"prompt": "Hi", "use_stream_chat": false}')


def _part(body: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_in_parts_is_put_together() -> None:
    caller = Caller(_part(b"ab", True), _part(b"", True), _part(b"c"))
    assert await read_body({"headers": []}, caller.receive) == b"abc"


async def test_a_body_at_the_limit_is_taken() -> None:
    body = b"x" * MAX_BODY_BYTES
    assert await read_body({"headers": []}, Caller(_part(body)).receive) == body


async def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    scope = {"headers": [(b"content-length", str(MAX_BODY_BYTES + 1).encode())]}
    with pytest.raises(ChatError) as caught:
        await read_body(scope, Caller().receive)
    assert (caught.value.status, caught.value.code) == (413, "body_too_large")


async def test_a_body_over_the_limit_is_refused_when_it_does_not_say_its_length() -> None:
    parts = [_part(b"x" * 65536, True) for _ in range(17)]
    with pytest.raises(ChatError) as caught:
        await read_body({"headers": []}, Caller(*parts).receive)
    assert caught.value.code == "body_too_large"


async def test_a_caller_that_leaves_while_sending_is_noticed() -> None:
    with pytest.raises(ClientGoneError):
        await read_body({"headers": []}, Caller(_part(b"a", True), GONE).receive)


async def test_a_stream_sends_one_frame_a_chunk() -> None:
    caller = Caller()
    ending = await answer_exchange(STREAMED, ScriptedEngine(), caller.receive, caller.send)
    assert ending is Ending.FINISHED
    assert caller.status == 200
    assert [chunk.count(b"\0") for chunk in caller.chunks] == [1, 1, 1]
    assert all(chunk.endswith(b"\0") for chunk in caller.chunks)
    assert not caller.sent[-1].get("more_body", False)


async def test_an_answer_that_is_not_streamed_is_the_fold() -> None:
    caller = Caller()
    await answer_exchange(WHOLE, ScriptedEngine(), caller.receive, caller.send)
    assert json.loads(caller.chunks[0])["response"] == 'Grüß dich, 世界 👋 "quoted"\n'
    assert caller.sent[-1]["type"] == "http.response.body"


@pytest.mark.parametrize("exchange", [STREAMED, WHOLE])
async def test_an_error_before_the_first_byte_is_a_status(exchange: eas.EasExchange) -> None:
    caller = Caller()
    engine = ScriptedEngine([Reasoning("hm")], ChatError(503, "no_instance", "no healthy upstream"))
    ending = await answer_exchange(exchange, engine, caller.receive, caller.send)
    assert ending is Ending.FAILED
    assert caller.status == 503
    assert json.loads(caller.chunks[0]) == {"code": "no_instance", "message": "no healthy upstream"}


async def test_an_error_after_the_first_byte_is_a_frame() -> None:
    caller = Caller()
    ending = await answer_exchange(STREAMED, ScriptedEngine(GREETING[:1], BROKEN), caller.receive, caller.send)
    assert ending is Ending.FAILED
    assert caller.status == 200
    last = json.loads(caller.chunks[-1].rstrip(b"\0"))
    assert (last["response"], last["error"]["code"]) == ("Grüß ", "engine_stream_broken")
    assert not caller.sent[-1].get("more_body", False)


async def test_a_broken_openai_stream_has_no_done_mark() -> None:
    exchange = openai.decode_chat(b'{"messages": [{"role": "user", "content": "Hi"}], "stream": true}')
    caller = Caller()
    await answer_exchange(exchange, ScriptedEngine(GREETING[:1], BROKEN), caller.receive, caller.send)
    assert b"engine_stream_broken" in caller.chunks[-1]
    assert b"[DONE]" not in b"".join(caller.chunks)


@pytest.mark.parametrize("exchange", [STREAMED, WHOLE])
async def test_a_fault_of_ours_is_told_without_its_details(exchange: eas.EasExchange) -> None:
    caller = Caller()
    await answer_exchange(exchange, ScriptedEngine([], ValueError("secret")), caller.receive, caller.send)
    assert caller.status == 500
    assert json.loads(caller.chunks[0])["code"] == "internal_error"
    assert b"secret" not in caller.chunks[0]


@pytest.mark.parametrize("exchange", [STREAMED, WHOLE])
async def test_a_caller_that_leaves_stops_the_engine(exchange: eas.EasExchange) -> None:
    caller = Caller()
    engine = ScriptedEngine(hangs=True)
    answering = asyncio.ensure_future(answer_exchange(exchange, engine, caller.receive, caller.send))
    await engine.is_waiting.wait()
    assert engine.closed == 0
    caller.give(GONE)
    assert await asyncio.wait_for(answering, 10) is Ending.CANCELLED
    assert engine.closed == 1


async def test_a_caller_that_reads_nothing_and_leaves_stops_the_engine() -> None:
    """The server's send waits for ever when the caller's window is full."""
    caller = Caller()
    engine = ScriptedEngine()
    blocked = asyncio.Event()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            blocked.set()
            await asyncio.Event().wait()

    answering = asyncio.ensure_future(answer_exchange(STREAMED, engine, caller.receive, send))
    await blocked.wait()
    caller.give(GONE)
    assert await asyncio.wait_for(answering, 10) is Ending.CANCELLED
    assert engine.closed == 1


async def test_cancelling_the_handler_stops_the_engine() -> None:
    caller = Caller()
    engine = ScriptedEngine(hangs=True)
    answering = asyncio.ensure_future(answer_exchange(STREAMED, engine, caller.receive, caller.send))
    await engine.is_waiting.wait()
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert engine.closed == 1


async def test_an_engine_is_left_no_faster_than_its_caller_reads() -> None:
    """Back-pressure: an event is asked for only when the one before it was sent."""
    asked = 0

    class Counting:
        async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
            nonlocal asked
            for _ in range(100):
                asked += 1
                yield Text("x")

    may_send = asyncio.Semaphore(3)  # The start and two frames.
    all_sent = asyncio.Event()

    async def send(message: Message) -> None:
        if may_send.locked():
            all_sent.set()
        await may_send.acquire()

    answering = asyncio.ensure_future(answer_exchange(STREAMED, Counting(), Caller().receive, send))
    await all_sent.wait()
    assert asked == 3
    answering.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await answering


async def test_no_task_is_left_behind() -> None:
    before = asyncio.all_tasks()
    for _ in range(5):
        caller = Caller()
        await answer_exchange(STREAMED, ScriptedEngine(), caller.receive, caller.send)
    assert asyncio.all_tasks() == before


async def test_a_task_that_loses_a_cancellation_is_cancelled_again() -> None:
    lost = asyncio.Event()

    async def lose_one() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        lost.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(lose_one())
    await asyncio.sleep(0)
    await asyncio.wait_for(cancel_and_wait(task, again_seconds=0.01), 5)
    assert lost.is_set()
    assert task.cancelled()
