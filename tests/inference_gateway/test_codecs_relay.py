"""What passes through as bytes: questions taken apart at their top level, events wherever they were cut."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference_gateway.codecs.openai_relay import MOST_HELD_BYTES, Question, Stream, find_usage, read_question

USER = [{"role": "user", "content": "hi"}]
FIRST = (
    b'data: {"choices":[{"index":0,"delta":{"content":"Gr\xc3\xbc\xc3\x9f \\"usage\\": 1"},"finish_reason":null}]}\n\n'
)
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason": "stop"}]}\n\n'
COUNT = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'
END = b"data: [DONE]\n\n"


def question(**fields: Any) -> Question:
    found = read_question(json.dumps({"messages": USER} | fields).encode(), is_chat=True)
    assert found is not None
    return found


def test_a_question_keeps_every_field_as_it_came() -> None:
    body = b'{"messages":[{"role":"user","content":"\\u00fc"}], "logit_bias" : {"1": 1.50}, "seed":1234567890123456789}'
    found = read_question(body, is_chat=True)
    assert found is not None
    assert found.render(None) == body.replace(b"], ", b"],").replace(b' : {"1"', b':{"1"').replace(b", ", b",")


def test_a_stream_always_counts_and_keeps_its_other_options() -> None:
    asked = question(stream=True, stream_options={"continuous_usage_stats": False})
    assert json.loads(asked.render(None))["stream_options"] == {"continuous_usage_stats": False, "include_usage": True}
    assert not asked.wants_usage
    assert json.loads(question(stream=True).render(None))["stream_options"] == {"include_usage": True}
    assert question(stream=True, stream_options={"include_usage": True}).wants_usage
    assert "stream_options" not in json.loads(question().render(None))


def test_the_engines_own_name_of_its_model_is_put_in() -> None:
    asked = question(model="default")
    assert json.loads(asked.render("served"))["model"] == "served"
    assert json.loads(asked.render(None))["model"] == "default"
    assert json.loads(question().render("served"))["model"] == "served"


def test_of_two_fields_of_one_name_gateway_and_engine_take_the_same() -> None:
    body = b'{"messages":[{"role":"user","content":"hi"}],"stream":true,"model":"a","stream":false,"model":"b"}'
    found = read_question(body, is_chat=True)
    assert found is not None
    assert (found.is_stream, found.model) == (False, "b")
    assert found.render(None).count(b'"stream"') == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"},
        {"response_format": {"type": "json_schema", "json_schema": {}}},
        {"n": 2, "logprobs": True, "top_logprobs": 3, "stop": ["a"]},
        {"messages": [*USER, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
    ],
)
def test_what_most_callers_send_takes_the_short_way(fields: dict[str, Any]) -> None:
    assert json.loads(question(**fields).render(None)).items() >= fields.items()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"messages":[]}',
        b'{"messages":[{"role":"user","content":"hi"}],"max_tokens":1000000000}',
        b'{"messages":[{"role":"user","content":"hi"}],"max_tokens":"12"}',
        b'{"messages":[{"role":"user","content":"hi"}],"n":1000000}',
        b'{"messages":[{"role":"user","content":"hi"}],"temperature":NaN}',
        b'{"messages":[{"role":"user","content":"hi"}],"temperature":1e400}',
        b'{"messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"messages":[{"role":"user","content":"hi"}],"chat_template":"{{x}}"}',
        b'{"messages":[{"role":"wizard","content":"hi"}]}',
        b'{"messages":[{"role":"user","content":null}]}',
        b'{"messages":[{"role":"assistant","content":null,"function_call":{"name":"f"}},{"role":"user","content":"x"}]}',
        b'{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}]}]}',
        b'\xef\xbb\xbf{"messages":[{"role":"user","content":"hi"}]}',
        '{"messages":[{"role":"user","content":"hi"}]}'.encode("utf-16"),
        b'{"messages":' + b"[" * 100_000,
        b'{"messages":[{"role":"user","content":"hi"}],"seed":' + b"9" * 100_000 + b"}",
    ],
)
def test_what_is_unusual_or_wrong_takes_the_long_way(body: bytes) -> None:
    assert read_question(body, is_chat=True) is None


def test_completions_take_a_text_as_prompt() -> None:
    found = read_question(b'{"prompt":"Once","max_tokens":5}', is_chat=False)
    assert found is not None
    assert found.max_tokens == 5
    assert read_question(b'{"prompt":["a","b"]}', is_chat=False) is None
    assert read_question(b'{"prompt":""}', is_chat=False) is None


def cut(data: bytes, size: int, *, hides_usage: bool) -> tuple[bytes, Stream]:
    stream = Stream(hides_usage=hides_usage)
    out = b"".join(stream.feed(data[start : start + size]) for start in range(0, len(data), size))
    return out + stream.end(), stream


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_events_pass_byte_for_byte_wherever_they_are_cut(size: int, newline: bytes) -> None:
    whole = b": ping\n\n" + FIRST + LAST + COUNT + END
    told, stream = cut(whole.replace(b"\n", newline), size, hides_usage=False)
    assert told == whole
    assert stream.is_complete
    assert stream.usage is not None
    assert (stream.usage.prompt_tokens, stream.usage.completion_tokens) == (3, 2)
    hidden, stream = cut(whole.replace(b"\n", newline), size, hides_usage=True)
    assert hidden == whole.replace(COUNT, b"")
    assert stream.usage is not None


def test_only_whole_events_are_passed_on() -> None:
    stream = Stream(hides_usage=True)
    assert stream.feed(FIRST + LAST[:20]) == FIRST
    assert stream.feed(LAST[20:]) == LAST


def test_a_chunk_passes_only_where_it_would_be_fed_back_as_it_is() -> None:
    stream = Stream(hides_usage=True)
    usual = b"%x\r\n%b\r\n" % (len(FIRST), FIRST)
    assert stream.passes(usual, usual.index(b"\n") + 1)
    for data in (FIRST[:-1], b"\n\n" + FIRST, FIRST.replace(b"\n", b"\r\n"), COUNT, END, b": ping\n\n", FIRST + END):
        chunk = b"%x\r\n%b\r\n" % (len(data), data)
        assert not stream.passes(chunk, chunk.index(b"\n") + 1)
    assert stream.feed(LAST[:20]) == b""
    assert not stream.passes(usual, usual.index(b"\n") + 1)  # the rest of the one before comes first
    assert stream.feed(LAST[20:]) == LAST
    last = b"%x\r\n%b\r\n" % (len(LAST), LAST)
    assert stream.passes(last, last.index(b"\n") + 1)
    assert stream.is_complete
    assert stream.pieces == 3


def test_a_count_beside_choices_stays() -> None:
    both = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"completion_tokens":1}}\n\n'
    nothing = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}],"usage":null}\n\n'
    told, stream = cut(both + nothing + END, 4096, hides_usage=True)
    assert told == both + nothing + END
    assert stream.usage is not None
    assert stream.usage.completion_tokens == 1


@pytest.mark.parametrize(
    ("data", "is_complete"),
    [(FIRST + END, True), (FIRST + LAST, True), (FIRST + LAST + COUNT, True), (FIRST, False), (b"", False)],
)
@pytest.mark.parametrize("size", [5, 4096])
def test_an_answer_is_complete_when_it_says_so(data: bytes, size: int, *, is_complete: bool) -> None:
    assert cut(data, size, hides_usage=True)[1].is_complete is is_complete


def test_an_event_without_its_blank_line_is_still_told() -> None:
    told, stream = cut(FIRST + b"data: [DONE]", 4096, hides_usage=True)
    assert told == FIRST + END
    assert stream.is_complete


def test_a_line_without_an_end_passes_and_does_not_fill_memory() -> None:
    stream = Stream(hides_usage=True)
    line = b'data: {"x":"' + b"y" * (5 * MOST_HELD_BYTES)
    told = b"".join(stream.feed(line[start : start + 9000]) for start in range(0, len(line), 9000))
    assert len(line) - len(told) <= MOST_HELD_BYTES
    told += stream.feed(b'"}\n\n' + FIRST) + stream.end()
    assert told == line + b'"}\n\n' + FIRST


@pytest.mark.parametrize("body", [b"", b"[]", b'{"usage":null}', b'{"choices":[]}', b"\xff", b'{"usage":7}'])
def test_an_answer_without_a_count_counts_nothing(body: bytes) -> None:
    assert find_usage(body) is None


def test_an_answers_count_is_found() -> None:
    usage = find_usage(b'{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":4,"completion_tokens":9}}')
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (4, 9)
