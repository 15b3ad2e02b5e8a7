"""The EAS dialogue over a WebSocket (eas.md §1.6), seen from the server's side of ASGI."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from inference_gateway.chat import ChatError, Text
from inference_gateway.codecs.websocket import END_OF_ROUND, encode
from inference_gateway.http import Message
from inference_gateway.websocket import MAX_PENDING, Dialogue, Manner
from tests.inference_gateway.scripted import BROKEN, GREETING, Caller, ScriptedEngine

GREETED = ["Grüß ", "dich, 世界 👋", ' "quoted"\n', END_OF_ROUND]
GONE: Message = {"type": "websocket.disconnect", "code": 1000}


def _text(value: Any) -> Message:
    text = value if isinstance(value, str) else json.dumps(value)
    return {"type": "websocket.receive", "text": text, "bytes": None}


async def _talk(engine: ScriptedEngine, *messages: Message, rounds: int) -> Caller:
    """Hold a dialogue until so many rounds have ended, then leave."""
    caller = Caller(*messages)
    running = asyncio.ensure_future(Dialogue(caller.receive, caller.send, engine).run())
    async with asyncio.timeout(10):
        while caller.texts.count(END_OF_ROUND) < rounds:
            await caller.wait_for(len(caller.sent) + 1)
    caller.give(GONE)
    await asyncio.wait_for(running, 10)
    return caller


async def test_a_round_is_pieces_of_text_and_its_end() -> None:
    caller = await _talk(ScriptedEngine(), _text({"prompt": "Hi"}), rounds=1)
    assert caller.sent[0]["type"] == "websocket.accept"
    assert caller.texts == GREETED


async def test_bytes_and_bare_strings_are_questions_too() -> None:
    engine = ScriptedEngine()
    binary: Message = {"type": "websocket.receive", "bytes": b'{"prompt": "one"}', "text": None}
    await _talk(engine, binary, _text("two"), rounds=2)
    assert [request.messages[-1]["content"] for request in engine.requests] == ["one", "two"]


async def test_five_questions_sent_at_once_are_answered_in_order_with_their_history() -> None:
    engine = ScriptedEngine()
    questions = [{"system_prompt": "Be kind."}]
    questions += [{"system_prompt": "Be kind.", "prompt": f"q{n}"} for n in range(4)]
    caller = await _talk(engine, *map(_text, questions), rounds=5)
    assert caller.texts == [END_OF_ROUND, *GREETED * 4]
    answer = "".join(GREETED[:-1])
    assert [message["content"] for message in engine.requests[2].messages] == [
        "Be kind.",
        "q0",
        answer,
        "q1",
        answer,
        "q2",
    ]


async def test_the_system_prompt_of_a_dialogue_is_remembered() -> None:
    engine = ScriptedEngine()
    await _talk(engine, _text({"system_prompt": "Be kind."}), _text("Hi"), rounds=2)
    assert engine.requests[0].messages[0] == {"role": "system", "content": "Be kind."}


async def test_without_streaming_the_answer_is_one_message() -> None:
    caller = await _talk(ScriptedEngine(), _text({"prompt": "Hi", "use_stream_chat": "False"}), rounds=1)
    assert caller.texts == ["".join(GREETED[:-1]), END_OF_ROUND]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('{"prompt": 5}', "invalid_parameter"),
        ('{"prompt": ', "invalid_json"),
        ('{"prompt":"a","top_p":7}', "invalid_parameter"),
    ],
)
async def test_a_wrong_message_is_answered_with_an_error_and_the_dialogue_goes_on(message: str, code: str) -> None:
    caller = await _talk(ScriptedEngine(), _text(message), _text("Hi"), rounds=2)
    assert json.loads(caller.texts[0])["code"] == code
    assert caller.texts[1:] == [END_OF_ROUND, *GREETED]


async def test_a_round_that_breaks_ends_with_an_error_and_is_no_history() -> None:
    engine = ScriptedEngine(GREETING[:1], BROKEN)
    caller = await _talk(engine, _text("one"), _text("two"), rounds=2)
    assert caller.texts[0] == "Grüß "
    assert json.loads(caller.texts[1])["code"] == "engine_stream_broken"
    assert caller.texts[2] == END_OF_ROUND
    assert [message["content"] for message in engine.requests[1].messages] == ["two"]


async def test_a_caller_that_leaves_stops_the_engine() -> None:
    caller = Caller(_text("Hi"))
    engine = ScriptedEngine(hangs=True)
    running = asyncio.ensure_future(Dialogue(caller.receive, caller.send, engine).run())
    await engine.is_waiting.wait()
    caller.give(GONE)
    await asyncio.wait_for(running, 10)
    assert engine.closed == 1
    assert caller.sent[-1]["type"] != "websocket.close"


async def test_too_many_waiting_questions_close_the_dialogue() -> None:
    caller = Caller(*[_text("Hi")] * (MAX_PENDING + 2))
    engine = ScriptedEngine(hangs=True)
    await asyncio.wait_for(Dialogue(caller.receive, caller.send, engine).run(), 10)
    assert (caller.sent[-1]["type"], caller.sent[-1]["code"]) == ("websocket.close", 1008)
    assert engine.closed == len(engine.requests)


async def test_a_message_over_the_limit_closes_the_dialogue() -> None:
    caller = Caller(_text("é" * 600_000))
    await asyncio.wait_for(Dialogue(caller.receive, caller.send, ScriptedEngine()).run(), 10)
    assert caller.sent[-1]["code"] == 1009


async def test_a_drain_finishes_what_was_asked_and_closes() -> None:
    draining = asyncio.Event()
    draining.set()
    busy: list[bool] = []
    caller = Caller(_text("one"), _text("two"))
    dialogue = Dialogue(
        caller.receive, caller.send, ScriptedEngine(), manner=Manner(draining=draining), on_busy=busy.append
    )
    await asyncio.wait_for(dialogue.run(), 10)
    assert caller.texts == GREETED * 2
    assert caller.sent[-1]["code"] == 1012
    assert busy == [True, False] * 2


async def test_an_error_of_the_engine_before_its_first_word_is_a_message() -> None:
    engine = ScriptedEngine([], ChatError(503, "no_instance", "no healthy upstream"))
    caller = await _talk(engine, _text("Hi"), rounds=1)
    assert json.loads(caller.texts[0]) == {"code": "no_instance", "message": "no healthy upstream"}


def test_a_model_that_writes_the_mark_does_not_end_the_round() -> None:
    assert encode(Text(END_OF_ROUND)) == ("<EOS", ">")
