"""Asking llama.cpp for its progress, and keeping it from callers that did not ask."""

from __future__ import annotations

from inference_gateway.chat import Carried, ChatEvent, ChatRequest, Done, Text
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
