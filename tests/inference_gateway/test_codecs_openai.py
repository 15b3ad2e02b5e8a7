"""Reading and writing OpenAI's dialect, and its events out of an engine's chunks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference_gateway.chat import Answer, Carried, ChatError, Done, Reasoning, Text, ToolCalls, Usage
from inference_gateway.codecs import openai
from inference_gateway.engines.openai_http import parse_chunk, render_body
from tests.inference_gateway.scripted import GREETING

MESSAGES = [{"role": "user", "content": "Hi"}]


def _chat(**fields: Any) -> openai.OpenAiExchange:
    return openai.decode_chat(json.dumps({"messages": MESSAGES} | fields).encode())


def _chunks(exchange: openai.OpenAiExchange) -> list[Any]:
    encoder = exchange.encoder()
    frames = b"".join(encoder.encode(event) for event in GREETING)
    return [json.loads(line[6:]) for line in frames.decode().split("\n\n") if line]


def test_fields_that_are_not_understood_reach_the_engine_as_they_came() -> None:
    extra = {"tools": [{"type": "function"}], "response_format": {"type": "json_object"}, "seed": 7, "logprobs": True}
    request = _chat(**extra, max_tokens=5, stop="x").request
    assert request.extra == extra
    body = render_body(request)
    assert {name: body[name] for name in extra} == extra
    assert (body["max_tokens"], body["stop"]) == (5, ["x"])


def test_an_engine_is_always_asked_to_stream_with_usage() -> None:
    body = render_body(_chat(stream=False).request, model="served")
    assert (body["stream"], body["stream_options"], body["model"]) == (True, {"include_usage": True}, "served")


@pytest.mark.parametrize(("value", "is_stream"), [("true", True), ("false", False), (True, True), (None, False)])
def test_stream_may_be_a_string(value: object, is_stream: bool) -> None:
    assert _chat(stream=value).is_stream is is_stream


def test_usage_comes_last_and_only_when_asked_for() -> None:
    assert all("usage" not in chunk for chunk in _chunks(_chat()))
    last = _chunks(_chat(stream_options={"include_usage": True}))[-1]
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 12)


def test_max_completion_tokens_is_the_newer_name() -> None:
    assert _chat(max_completion_tokens=9, max_tokens=5).request.max_tokens == 9


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"role": "wizard", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [*MESSAGES, {"role": "user"}]}, "messages[1].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["Hi"]}]}, "messages[0].content"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"stream": "often"}, "stream"),
        ({"stream_options": True}, "stream_options"),
        ({"model": 5}, "model"),
        ({"chat_template": "{{ x }}"}, "chat_template"),
        ({"tools": "search"}, "tools"),
        ({"tools": [1]}, "tools"),
        ({"messages": [{"role": "assistant", "tool_calls": "x"}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "content": "x", "tool_calls": [1]}]}, "messages[0].tool_calls"),
    ],
)
def test_a_wrong_value_is_refused_by_the_field_s_name(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ChatError) as caught:
        _chat(**fields)
    assert (caught.value.status, caught.value.field) == (400, field)
    shape = json.loads(openai.encode_error(caught.value))["error"]
    assert set(shape) == {"message", "type", "param", "code"}
    assert (shape["type"], shape["param"]) == ("invalid_request_error", field)


def test_an_assistant_s_message_may_hold_tool_calls_alone() -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    messages = [
        *MESSAGES,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "4", "tool_call_id": "1"},
    ]
    assert _chat(messages=messages).request.messages == tuple(messages)


@pytest.mark.parametrize("prompt", ["", [], None, 5, [True], ["a", 1]])
def test_a_completion_needs_a_prompt(prompt: object) -> None:
    with pytest.raises(ChatError) as caught:
        openai.decode_completion(json.dumps({"prompt": prompt}).encode())
    assert caught.value.field == "prompt"


@pytest.mark.parametrize("prompt", ["Once", ["a", "b"], [1, 2], [[1], [2]]])
def test_a_prompt_comes_in_four_forms(prompt: str | list[Any]) -> None:
    assert openai.decode_completion(json.dumps({"prompt": prompt}).encode()).request.prompt == prompt


def test_a_chunk_becomes_events_and_keeps_what_is_not_understood() -> None:
    chunk = {
        "system_fingerprint": "fp",
        "choices": [
            {
                "index": 1,
                "delta": {
                    "role": "assistant",
                    "reasoning": "hm",
                    "content": "Hi",
                    "tool_calls": [{"index": 0}],
                    "refusal": "no",
                },
                "logprobs": {"content": []},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    carried = Carried(
        delta={"refusal": "no"}, choice={"logprobs": {"content": []}}, answer={"system_fingerprint": "fp"}
    )
    assert list(parse_chunk(chunk)) == [
        Reasoning("hm", index=1, carried=carried),
        Text("Hi", index=1),
        ToolCalls(({"index": 0},), index=1),
        Done("stop", index=1),
        Usage(1, 2, {"prompt_tokens": 1, "completion_tokens": 2}),
    ]


@pytest.mark.parametrize("chunk", [{}, {"choices": None}, {"choices": ["x"]}, {"choices": [{"delta": None}]}])
def test_an_odd_chunk_has_no_events(chunk: dict[str, Any]) -> None:
    assert list(parse_chunk(chunk)) == []


def test_the_fold_keeps_choices_apart_and_joins_log_probabilities() -> None:
    def piece(text: str, index: int) -> Text:
        return Text(text, index=index, carried=Carried(choice={"logprobs": {"content": [{"token": text}]}}))

    events = [piece("a", 1), piece("b", 0), piece("c", 1), Done("stop", index=1), Done("length", index=0)]
    choices = json.loads(_chat(n=2).fold(Answer(events)))["choices"]
    assert [(c["message"]["content"], c["finish_reason"]) for c in choices] == [("b", "length"), ("ac", "stop")]
    assert [t["token"] for t in choices[1]["logprobs"]["content"]] == ["a", "c"]
