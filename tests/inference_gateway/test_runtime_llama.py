"""Asking llama.cpp for its progress, and keeping it from callers that did not ask."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference_gateway.chat import Carried, ChatError, ChatEvent, ChatRequest, Done, Text
from inference_gateway.codecs import openai
from inference_gateway.runtime.llama_engine import LlamaEngine
from tests.inference_gateway.scripted import ScriptedEngine

PROGRESS = Carried(answer={"prompt_progress": {"processed": 128}, "system_fingerprint": "fp"})
EVENTS: list[ChatEvent] = [Text("", carried=PROGRESS), Text("Hi", carried=PROGRESS), Done("stop")]


async def _ask(**extra: bool) -> tuple[ChatRequest, list[ChatEvent]]:
    engine = ScriptedEngine(EVENTS)
    events = [event async for event in LlamaEngine(engine).generate(ChatRequest(extra=extra))]
    return engine.requests[0], events


async def test_progress_is_asked_for_and_kept_back() -> None:
    asked, events = await _ask(seed=True)
    assert asked.extra == {"seed": True, "return_progress": True}
    assert events == [Text("Hi", carried=Carried(answer={"system_fingerprint": "fp"})), Done("stop")]


async def test_progress_reaches_who_asked_for_it() -> None:
    _, events = await _ask(return_progress=True)
    assert events == EVENTS


async def test_leaving_it_leaves_the_engine() -> None:
    engine = ScriptedEngine(EVENTS)
    events = LlamaEngine(engine).generate(ChatRequest())
    await anext(events)
    await events.aclose()
    assert engine.closed == 1


async def _complete(body: dict[str, Any]) -> list[ChatEvent]:
    request = openai.decode_completion(json.dumps({"prompt": "Hi", **body}).encode()).request
    return [event async for event in LlamaEngine(ScriptedEngine(EVENTS)).generate(request)]


@pytest.mark.parametrize(
    "body",
    [
        {"echo": True},
        {"suffix": "end"},
        {"best_of": 3},
        {"best_of": 3, "n": 2},
        {"logprobs": 6},
        {"logprobs": -1},
        {"n_probs": 100_000},
        {"top_logprobs": 21},
    ],
    ids=str,
)
async def test_what_the_engine_would_pass_over_or_overdo_is_refused_by_name(body: dict[str, Any]) -> None:
    with pytest.raises(ChatError) as caught:
        await _complete(body)
    assert (caught.value.status, caught.value.field) == (400, next(iter(body)))


@pytest.mark.parametrize(
    "body",
    [
        {"echo": False, "suffix": "", "best_of": 1, "logprobs": None},
        {"echo": None, "suffix": None, "best_of": None},
        {"best_of": 2, "n": 2},
        {"logprobs": 0},
        {"logprobs": 5},
        {"logprobs": True, "n_probs": 20},
    ],
    ids=str,
)
async def test_fields_that_ask_for_nothing_more_are_taken(body: dict[str, Any]) -> None:
    assert (await _complete(body))[-1] == Done("stop")


async def test_a_chat_has_up_to_20_alternatives_for_each_token() -> None:
    engine = LlamaEngine(ScriptedEngine(EVENTS))
    asked = {"messages": [{"role": "user", "content": "Hi"}], "logprobs": True, "top_logprobs": 20}
    request = openai.decode_chat(json.dumps(asked).encode()).request
    assert [event async for event in engine.generate(request)][-1] == Done("stop")
    request = openai.decode_chat(json.dumps(asked | {"top_logprobs": 21}).encode()).request
    with pytest.raises(ChatError) as caught:
        await anext(engine.generate(request))
    assert caught.value.field == "top_logprobs"
