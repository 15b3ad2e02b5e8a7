"""``anthropic``, unchanged from PyPI, against the gateway: a real model, and engines whose answers are written here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.inference_gateway.clients.conftest import LetIn
from tests.inference_gateway.clients.environments import run_client
from tests.inference_gateway.rig import Deployed, Server, deploy
from tests.inference_gateway.scripted_http import USAGE, ScriptedHttpEngine, call, chunk, with_usage

VLLM = "vllm serve /models/x --port 8000"


@pytest.fixture
def engine() -> Iterator[ScriptedHttpEngine]:
    with ScriptedHttpEngine() as running:
        yield running


@pytest.fixture
def scripted(server: Server, engine: ScriptedHttpEngine) -> Deployed:
    return deploy(server, engine.port, engine="vllm", script=VLLM)


def see(service: Deployed, home: Path, part: str) -> dict[str, Any]:
    return run_client("clients", "anthropic_path.py", service, home, PART=part)


def test_a_real_model_answers_streamed_and_whole_below_a_service_and_flat(
    server: Server, let_in: LetIn, runtime_port: int, tmp_path: Path
) -> None:
    service = let_in(deploy(server, runtime_port))
    seen = see(service, tmp_path, "real")
    for name in ("below", "flat"):
        whole, streamed = seen[f"{name} whole"], seen[f"{name} streamed"]
        for message in (whole, streamed):
            assert (message["type"], message["role"], message["model"]) == ("message", "assistant", service.row.name)
            assert message["stop_reason"] in ("end_turn", "max_tokens")
            assert message["usage"]["output_tokens"] > 0
        assert streamed["content"][0]["text"] == seen[f"{name} text"]
        assert (seen[f"{name} models"], seen[f"{name} model"]) == ([service.row.name], service.row.name)
        usage = whole["usage"]
        assert usage["input_tokens"] + (usage["cache_read_input_tokens"] or 0) == seen[f"{name} count"]
    assert seen["bearer"] in ("end_turn", "max_tokens")
    assert seen["thinks"] in ("end_turn", "max_tokens")
    assert seen["async"] == "message"
    assert seen["wrong key"][0] == "AuthenticationError"
    assert seen["wrong key"][1]["error"]["type"] == "authentication_error"
    assert seen["wrong key"][2]
    assert seen["no list"] == ["AuthenticationError", "authentication_error"]
    assert seen["no such"][0] == "NotFoundError"
    assert (seen["empty"][0], seen["empty"][1]["error"]["type"]) == ("BadRequestError", "invalid_request_error")


def test_tools_are_called_one_by_one_however_the_engine_cuts_them(
    scripted: Deployed, engine: ScriptedHttpEngine, tmp_path: Path
) -> None:
    engine.chunks = with_usage(
        chunk(role="assistant", content="I look."),
        call(0, "", "call_1", "get_weather"),
        call(1, '{"city"', "call_2", "get_weather"),  # mixed
        call(0, '{"city": "K'),
        call(1, ': "Ü"}'),
        call(0, 'öln"}'),
        chunk("tool_calls"),
    )
    seen = see(scripted, tmp_path, "tools")
    calls = [("call_1", {"city": "Köln"}), ("call_2", {"city": "Ü"})]
    for message in (seen["whole"], seen["streamed"]):
        assert message["content"][0]["text"] == "I look."
        assert [(one["id"], one["input"]) for one in message["content"][1:]] == calls
        assert message["stop_reason"] == "tool_use"
        assert message["usage"]["input_tokens"] == USAGE["prompt_tokens"]
    assert seen["events"].count("input_json") == 3  # as they came, and what waited in one
    assert seen["events"][0] == "message_start"
    assert seen["events"][-1] == "message_stop"
    asked = engine.asked[0]
    assert asked["tools"][0]["function"]["parameters"]["required"] == ["city"]
    assert (asked["max_tokens"], asked["model"]) == (99, "served")


def test_reasoning_is_thinking_before_the_text(scripted: Deployed, engine: ScriptedHttpEngine, tmp_path: Path) -> None:
    engine.chunks = with_usage(
        chunk(reasoning_content="Hm. "), chunk(reasoning_content="So."), chunk(content="Yes."), chunk("length")
    )
    seen = see(scripted, tmp_path, "thinks")
    for message in (seen["whole"], seen["streamed"]):
        assert [(one["type"], one.get("thinking"), one.get("text")) for one in message["content"]] == [
            ("thinking", "Hm. So.", None),
            ("text", None, "Yes."),
        ]
        assert message["stop_reason"] == "max_tokens"
    assert engine.asked[0]["chat_template_kwargs"]["enable_thinking"] is True


def test_the_stop_sequence_that_was_met_is_named(
    scripted: Deployed, engine: ScriptedHttpEngine, tmp_path: Path
) -> None:
    engine.chunks = with_usage(chunk(content="a"), chunk("stop", {"stop_reason": "END"}))
    seen = see(scripted, tmp_path, "stops")
    for message in (seen["whole"], seen["streamed"]):
        assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "END")
    assert engine.asked[0]["stop"] == ["END"]


def test_an_answer_that_breaks_off_is_an_error_s_event(
    scripted: Deployed, engine: ScriptedHttpEngine, tmp_path: Path
) -> None:
    engine.chunks, engine.breaks = [chunk(content="a")], True
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}], "stream": True}
    headers = {"x-api-key": scripted.token}
    answer = httpx.post(f"{scripted.url}/v1/messages", json=body, headers=headers, timeout=30)
    events = [line for line in answer.text.split("\n") if line.startswith("event: ")]
    assert events == [
        "event: message_start",
        "event: ping",
        "event: content_block_start",
        "event: content_block_delta",
        "event: error",
    ]
    assert '"type":"api_error"' in answer.text


def test_a_turn_after_tools_with_pictures_and_choices_reaches_the_engine(
    scripted: Deployed, engine: ScriptedHttpEngine, tmp_path: Path
) -> None:
    assert see(scripted, tmp_path, "goes on")["answer"]["content"][0]["text"] == "Hi"
    asked = engine.asked[0]
    arguments = '{"city": "Köln"}'
    called = {"id": "toolu_1", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    assert asked["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": "Let me look.",
            "reasoning_content": "I look.",
            "tool_calls": [called],
        },
        {"role": "tool", "tool_call_id": "toolu_1", "content": "12 °C"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "And this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
            ],
        },
    ]
    assert (asked["tool_choice"], asked["parallel_tool_calls"]) == ("required", False)
    assert (asked["top_k"], asked["user"]) == (5, "u1")


def test_an_engine_that_refuses_or_does_not_count_is_told_in_anthropic_s_shape(
    scripted: Deployed, engine: ScriptedHttpEngine
) -> None:
    headers = {"x-api-key": scripted.token}
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    engine.chunks = [chunk(content="a"), chunk("stop")]
    counted = httpx.post(f"{scripted.url}/v1/messages/count_tokens", json=body, headers=headers, timeout=30)
    assert (counted.status_code, counted.json()["error"]["code"]) == (501, "count_unknown")
    engine.refusal = (429, {"error": {"message": "slow down", "code": 429}})
    busy = httpx.post(f"{scripted.url}/v1/messages", json=body, headers=headers, timeout=30)
    assert (busy.status_code, busy.json()["error"]["type"]) == (429, "rate_limit_error")
    for base in (scripted.url, scripted.url.removesuffix(scripted.path)):
        batches = httpx.post(f"{base}/v1/messages/batches", json=body, headers=headers, timeout=30)
        assert (batches.status_code, batches.json()["error"]["type"]) == (404, "not_found_error")
    for method, given in (("GET", headers), ("POST", {})):
        answer = httpx.request(method, f"{scripted.url}/v1/messages", headers=given)
        assert (answer.status_code, answer.json()["type"]) == (405 if given else 401, "error")
