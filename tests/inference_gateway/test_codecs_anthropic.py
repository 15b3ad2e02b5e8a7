"""Reading and writing Anthropic's dialect, without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference_gateway.chat import Answer, Carried, ChatError, ChatEvent, Done, Reasoning, Text, ToolCalls, Usage
from inference_gateway.codecs import anthropic

BODY: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}


def _decode(**fields: Any) -> anthropic.AnthropicExchange:
    return anthropic.decode(json.dumps(BODY | fields).encode())


def _events(exchange: anthropic.AnthropicExchange, *events: ChatEvent) -> list[dict[str, Any]]:
    encoder = exchange.encoder()
    text = b"".join([*(encoder.encode(event) for event in events), encoder.finish()]).decode()
    read = []
    for frame in text.split("\n\n")[:-1]:
        name, data = frame.split("\n")
        value = json.loads(data.removeprefix("data: "))
        assert name == f"event: {value['type']}"
        read.append(value)
    return read


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "assistant", "content": [{"type": "image"}]}]}, "messages[0].content[0]"),
        ({"system": [{"type": "image"}]}, "system"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0]"),
        ({"tools": [], "tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"thinking": True}, "thinking"),
        ({"stop_sequences": [1]}, "stop_sequences"),
        ({"chat_template": "{{ x }}"}, "chat_template"),
    ],
)
def test_what_cannot_be_read_names_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ChatError) as refusal:
        _decode(**fields)
    assert (refusal.value.status, refusal.value.field) == (400, field)


def test_turns_of_one_side_that_follow_each_other_are_one() -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}
    messages = [
        {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "d"},
        {"role": "user", "content": [picture]},
    ]
    assert [(one["role"], one["content"]) for one in _decode(messages=messages).request.messages] == [
        ("user", "a\nb"),
        ("assistant", "c"),
        ("user", [{"type": "text", "text": "d"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]),
    ]


def test_fields_of_anthropic_s_own_service_do_not_reach_an_engine() -> None:
    fields: dict[str, Any] = {"service_tier": "auto", "container": None, "context_management": {"edits": []}, "seed": 7}
    assert _decode(**fields).request.extra == {"seed": 7}


def test_a_wanted_form_becomes_a_response_format() -> None:
    schema = {"type": "object"}
    wanted = _decode(output_config={"format": {"type": "json_schema", "schema": schema}}).request.extra
    assert wanted["response_format"]["json_schema"]["schema"] == schema


def test_thinking_that_was_switched_off_is_not_shown() -> None:
    exchange = _decode(thinking={"type": "disabled"})
    told = (Reasoning("Hm."), Text("Yes."), Done("stop"))
    assert exchange.request.extra["chat_template_kwargs"]["enable_thinking"] is False
    assert [block["type"] for block in json.loads(exchange.fold(Answer(told)))["content"]] == ["text"]
    starts = [one for one in _events(exchange, *told) if one["type"] == "content_block_start"]
    assert [one["content_block"]["type"] for one in starts] == ["text"]


def test_blocks_follow_each_other_and_the_usage_comes_last() -> None:
    read = _events(
        _decode(),
        Reasoning("Hm."),
        Text(""),
        Text("Yes."),
        ToolCalls(({"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}},)),
        Done("stop"),
        Usage(9, 5, {"prompt_tokens_details": {"cached_tokens": 4}}),
    )
    assert [one["type"] for one in read] == [
        "message_start",
        "ping",
        *["content_block_start", "content_block_delta", "content_block_stop"] * 2,
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert [one["index"] for one in read if "index" in one] == [0, 0, 0, 1, 1, 1, 2, 2]
    assert read[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert read[-2]["usage"] == {
        "input_tokens": 5,
        "output_tokens": 5,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
    }


def test_calls_without_ids_or_with_torn_arguments_are_still_calls() -> None:
    torn = ToolCalls(({"index": 0, "function": {"name": "f", "arguments": '{"a": '}},))
    block = json.loads(_decode().fold(Answer((torn, Done("length")))))["content"][0]
    assert (block["type"], block["input"]) == ("tool_use", {"arguments": '{"a": '})
    assert block["id"].startswith("toolu_")
    started = next(one for one in _events(_decode(), torn, Done("length")) if one["type"] == "content_block_start")
    assert started["content_block"]["id"].startswith("toolu_")


@pytest.mark.parametrize(
    ("reason", "expected"), [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal")]
)
def test_reasons_to_stop(reason: str, expected: str) -> None:
    assert json.loads(_decode().fold(Answer((Text("x"), Done(reason)))))["stop_reason"] == expected


def test_a_stop_that_is_none_of_the_callers_is_the_end_of_the_turn() -> None:
    ending = Done("stop", carried=Carried(choice={"stop_reason": 151645}))  # vLLM names a token, too
    assert json.loads(_decode(stop_sequences=["END"]).fold(Answer((ending,))))["stop_reason"] == "end_turn"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
    ],
)
def test_errors_have_anthropic_s_types(status: int, kind: str) -> None:
    told = json.loads(anthropic.encode_error(ChatError(status, "some_code", "Why.")))
    assert told == {"type": "error", "error": {"type": kind, "message": "Why.", "code": "some_code"}}
