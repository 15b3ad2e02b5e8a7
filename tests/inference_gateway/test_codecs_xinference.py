"""What Xinference's and Dify's clients send, in OpenAI's form; how a service is described to them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from deployments.spec import ServiceSpec
from inference_gateway.chat import Answer, ChatError, ChatEvent, Done, Text, ToolCalls
from inference_gateway.codecs import openai
from inference_gateway.codecs.xinference import is_odd, render_history, render_plain
from inference_gateway.model_facts import ModelFacts, read_model_facts

CALL = {"name": "f", "arguments": '{"a": 1}'}


def test_null_is_absent_and_extra_fields_are_fields() -> None:
    body: dict[str, Any] = {
        "model": "m",
        "stop": None,
        "seed": 1,
        "extra_body": {"seed": 2, "guided_json": {}, "x": None},
    }
    assert render_plain(body) == {"model": "m", "seed": 1, "guided_json": {}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"enable_thinking": True}, {"enable_thinking": True, "thinking": True}),
        ({"thinking": False}, {"enable_thinking": False, "thinking": False}),
        ({"extra_body": {"enable_thinking": False}}, {"enable_thinking": False, "thinking": False}),
        ({"chat_template_kwargs": '{"x": 1}'}, {"x": 1}),
        (
            {"chat_template_kwargs": {"enable_thinking": False}, "enable_thinking": True},
            {"enable_thinking": False, "thinking": True},
        ),
    ],
)
def test_thinking_is_the_template_s(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert render_plain(fields) == {"chat_template_kwargs": expected}


def test_a_template_s_arguments_must_be_an_object() -> None:
    with pytest.raises(ChatError) as refusal:
        render_plain({"chat_template_kwargs": "[1"})
    assert refusal.value.field == "chat_template_kwargs"


def test_thinking_as_other_dialects_say_it_is_left_alone() -> None:
    assert render_plain({"thinking": {"type": "disabled"}}) == {"thinking": {"type": "disabled"}}


def test_a_function_call_and_its_result_become_a_tool_s() -> None:
    """As Dify's plugin sends them (xinference-dify.md B4), and as OpenAI's first form of tools had them."""
    user = {"role": "user", "content": "q", "name": None}
    told = [
        user,
        {"role": "assistant", "content": "", "function_call": CALL},
        {"role": "tool", "content": "r", "tool_call_id": "id-1", "name": None},
        {"role": "assistant", "content": None, "function_call": CALL},
        {"role": "function", "name": "f", "content": "r"},
        {"role": "assistant", "content": None, "function_call": CALL},
        {"role": "tool", "content": "r", "tool_call_id": ""},
    ]
    plain = render_history(told)
    assert plain[0] == {"role": "user", "content": "q"}
    for call_at, call_id in ((1, "id-1"), (3, "call_3"), (5, "call_5")):
        assert plain[call_at]["tool_calls"] == [{"id": call_id, "type": "function", "function": CALL}]
        assert "function_call" not in plain[call_at]
        assert (plain[call_at + 1]["role"], plain[call_at + 1]["tool_call_id"]) == ("tool", call_id)


def test_results_without_ids_follow_the_order_of_the_calls() -> None:
    calls = [{"id": "a", "type": "function", "function": CALL}, {"id": "b", "type": "function", "function": CALL}]
    results = [{"role": "tool", "content": "1"}, {"role": "tool", "content": "2"}]
    plain = render_history([{"role": "assistant", "tool_calls": calls}, *results])
    assert [message["tool_call_id"] for message in plain[1:]] == ["a", "b"]
    nameless = [{"type": "function", "function": CALL}] * 2
    plain = render_history([{"role": "assistant", "content": None, "tool_calls": nameless}, *results])
    assert [call["id"] for call in plain[0]["tool_calls"]] == ["call_0", "call_0_1"]
    assert [message["tool_call_id"] for message in plain[1:]] == ["call_0", "call_0_1"]


def test_a_history_that_is_right_stays_as_it_is() -> None:
    calls = [{"id": "a", "type": "function", "function": CALL}]
    told = [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "1", "tool_call_id": "a"},
    ]
    assert render_history(told) == told


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"model": "m", "messages": [{"role": "user", "content": None}], "stream": True}, False),
        ({"model": "m", "stop": None}, True),
        ({"model": "m", "enable_thinking": False}, True),
        ({"model": "m", "chat_template_kwargs": "{}"}, True),
        ({"model": "m", "chat_template_kwargs": {}}, False),
    ],
)
def test_a_relay_is_told_what_it_must_not_let_pass(body: dict[str, Any], expected: bool) -> None:
    fields = msgspec.json.decode(json.dumps(body), type=dict[str, msgspec.Raw])
    assert is_odd(fields) is expected


def _stream(gathers: bool, *events: ChatEvent) -> list[dict[str, Any]]:
    body = {"messages": [{"role": "user", "content": "q"}], "stream": True}
    exchange = openai.OpenAiExchange(
        openai.decode_chat(json.dumps(body).encode()).request, True, True, "m", gathers_tool_calls=gathers
    )
    encoder = exchange.encoder()
    text = b"".join([*(encoder.encode(event) for event in events), encoder.finish()]).decode()
    assert text.endswith("data: [DONE]\n\n")
    return [json.loads(frame.removeprefix("data: "))["choices"][0] for frame in text.split("\n\n")[:-2]]


PIECES = (
    Text("I look."),
    ToolCalls(({"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}},)),
    ToolCalls(({"index": 0, "function": {"arguments": '{"a"'}},)),
    ToolCalls(({"index": 0, "function": {"arguments": ": 1}"}},)),
)


def test_calls_come_whole_with_the_reason_to_stop_where_they_are_gathered() -> None:
    choices = _stream(True, *PIECES, Done("tool_calls"))
    assert [choice["finish_reason"] for choice in choices] == [None, "tool_calls"]
    assert choices[1]["delta"]["tool_calls"] == [{"index": 0, "id": "a", "type": "function", "function": CALL}]
    assert len(_stream(False, *PIECES, Done("tool_calls"))) == 5
    assert (
        _stream(True, *PIECES)[-1]["delta"]["tool_calls"][0]["function"] == CALL
    )  # without a reason they are not lost


def test_functions_are_tools_for_the_engine_and_functions_for_the_caller() -> None:
    body = {
        "messages": [{"role": "user", "content": "q"}],
        "functions": [{"name": "f"}],
        "function_call": {"name": "f"},
    }
    exchange = openai.decode_chat(json.dumps(body).encode())
    assert exchange.request.extra == {
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    }
    choice = json.loads(exchange.fold(Answer((*PIECES, Done("tool_calls")))))["choices"][0]
    assert (choice["message"]["function_call"], choice["finish_reason"]) == (CALL, "function_call")
    encoder = exchange.encoder()
    text = b"".join(encoder.encode(event) for event in (*PIECES, Done("tool_calls"))).decode()
    frames = [json.loads(frame.removeprefix("data: "))["choices"][0] for frame in text.split("\n\n")[:-1]]
    assert [frame["delta"].get("function_call") for frame in frames] == [None, CALL]
    assert frames[-1]["finish_reason"] == "function_call"


@pytest.mark.parametrize(
    ("script", "labels", "expected"),
    [
        (
            "vllm serve /models/bge --port 8000 --task embed --max-model-len 512",
            {"ServiceEngineType": "vllm"},
            ModelFacts("embedding", "bge", (), 512),
        ),
        (
            "vllm serve /m/rr --runner pooling --convert classify",
            {"ServiceEngineType": "vllm"},
            ModelFacts("rerank", "rr"),
        ),
        (
            "vllm serve /m/q --enable-auto-tool-choice --reasoning-parser qwen3",
            {"ServiceEngineType": "vllm"},
            ModelFacts("LLM", "q", ("chat", "generate", "tools", "reasoning")),
        ),
        ("llama-server -m /m/e.gguf --embeddings", {}, ModelFacts("embedding", "e.gguf")),
        ("python app.py", {}, ModelFacts("flexible")),
        ("python app.py", {"ServiceModelType": "Image"}, ModelFacts("image")),
        ("", {"ServiceModelType": "rerank"}, ModelFacts("rerank")),
    ],
)
def test_what_a_service_serves_is_read_from_its_command_and_its_label(
    script: str, labels: dict[str, str], expected: ModelFacts
) -> None:
    container = {"image": "i:1", "port": 8000} | ({"script": script} if script else {})
    document = {"metadata": {"name": "facts", "instance": 1}, "containers": [container], "labels": labels}
    assert read_model_facts(ServiceSpec.parse(document)) == expected
