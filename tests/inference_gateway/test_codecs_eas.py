"""Reading and writing EAS's dialect: eas.md §1.2 to §1.5."""

from __future__ import annotations

import json
import random
from typing import Any
from urllib.parse import urlencode

import pytest

from inference_gateway.chat import Answer, ChatError, Done, Reasoning, Text
from inference_gateway.codecs import eas
from tests.inference_gateway.scripted import GREETING

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


def _ask(**fields: Any) -> eas.EasExchange:
    return eas.decode(json.dumps({"prompt": "Hi"} | fields).encode(), JSON)


def _refusal(body: bytes, content_type: str = JSON) -> ChatError:
    with pytest.raises(ChatError) as caught:
        eas.decode(body, content_type)
    return caught.value


@pytest.mark.parametrize("content_type", [FORM, "text/plain", "", "application/octet-stream"])
def test_plain_text_is_a_prompt_whatever_its_label(content_type: str) -> None:
    exchange = eas.decode("Wie heißt du? a=b&c=d 100%".encode(), content_type)
    assert exchange.prompt == "Wie heißt du? a=b&c=d 100%"
    assert exchange.is_stream
    assert exchange.history == ()


def test_json_labelled_as_a_form_is_read_as_json() -> None:
    exchange = eas.decode(b' {"prompt": "Hi", "top_k": 3}', FORM)
    assert (exchange.prompt, exchange.request.top_k) == ("Hi", 3)


@pytest.mark.parametrize("content_type", [JSON, FORM, ""])
def test_a_byte_order_mark_is_no_part_of_the_question(content_type: str) -> None:
    exchange = eas.decode(b'\xef\xbb\xbf{"prompt": "Hi", "top_k": 3}', content_type)
    assert (exchange.prompt, exchange.request.top_k) == ("Hi", 3)


def test_text_that_only_begins_with_a_brace_is_a_prompt() -> None:
    assert eas.decode(b"{hello} is a template", FORM).prompt == "{hello} is a template"


def test_a_form_with_a_prompt_is_read_as_fields() -> None:
    form = {
        "prompt": "Wie geht's?",
        "system_prompt": "Be brief.",
        "top_k": "10",
        "temperature": "0.5",
        "use_stream_chat": "False",
        "history": '[["a", "b"]]',
        "max_new_tokens": "64",
    }
    exchange = eas.decode(urlencode(form).encode(), FORM + "; charset=utf-8")
    assert not exchange.is_stream
    assert exchange.history == (("a", "b"),)
    assert exchange.request.max_tokens == 64
    assert exchange.request.temperature == 0.5
    assert [message["content"] for message in exchange.request.messages] == ["Be brief.", "a", "b", "Wie geht's?"]


@pytest.mark.parametrize("history", ["[]", "[()]", "None", ""])
def test_an_empty_history_in_a_form_may_be_python_text(history: str) -> None:
    assert eas.decode(urlencode({"prompt": "Hi", "history": history}).encode(), FORM).history == ()


def test_what_is_absent_has_the_defaults_of_the_page() -> None:
    request = _ask().request
    assert (request.max_tokens, request.temperature, request.top_k, request.top_p) == (2048, 0.95, 30, 0.8)
    assert _ask().is_stream


def test_a_number_of_tokens_above_the_default_is_not_cut() -> None:
    assert _ask(max_new_tokens=6144).request.max_tokens == 6144


@pytest.mark.parametrize("value", [False, "False", "false", 0, "0"])
def test_use_stream_chat_may_be_false_in_every_spelling(value: object) -> None:
    assert not _ask(use_stream_chat=value).is_stream


@pytest.mark.parametrize("value", [True, "True", "true", None, ""])
def test_use_stream_chat_may_be_true_in_every_spelling(value: object) -> None:
    assert _ask(use_stream_chat=value).is_stream


@pytest.mark.parametrize("history", [[], [[]], None, [["only one"]], [["a", "b", "c"]]])
def test_an_empty_history_comes_in_many_forms(history: object) -> None:
    assert _ask(history=history).history == ()


def test_only_the_last_rounds_reach_the_model_but_all_come_back() -> None:
    rounds = [[f"q{n}", f"a{n}"] for n in range(8)]
    exchange = _ask(history=rounds)
    assert [m["content"] for m in exchange.request.messages if m["role"] == "user"] == [
        "q3",
        "q4",
        "q5",
        "q6",
        "q7",
        "Hi",
    ]
    assert json.loads(exchange.fold(Answer(GREETING)))["history"][:-1] == rounds


def test_no_earlier_round_reaches_the_model_when_none_is_kept() -> None:
    body = json.dumps({"prompt": "Hi", "history": [["a", "b"]]}).encode()
    exchange = eas.decode(body, JSON, eas.EasDefaults(max_rounds=0))
    assert [m["content"] for m in exchange.request.messages] == ["Hi"]


@pytest.mark.parametrize("fields", [{"temperature": 0}, {"do_sample": False}, {"do_sample": "False"}, {"top_p": 0}])
def test_some_fields_mean_greedy(fields: dict[str, Any]) -> None:
    request = _ask(**fields).request
    assert (request.temperature, request.top_k) == (0.0, 1)


def test_a_top_k_of_zero_means_no_limit() -> None:
    assert _ask(top_k=0).request.top_k == -1


def test_unknown_fields_are_ignored_and_stops_are_joined() -> None:
    exchange = _ask(**{"prompt ": "x", "langchain": True, "num_beams": 3, "stop": None, "stop_sequences": ["a", ""]})
    assert exchange.request.stop == ("a",)
    assert set(exchange.request.extra) == set()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"prompt": 5}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "  "}, "prompt"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": "nan"}, "temperature"),
        ({"temperature": 10**400}, "temperature"),
        ({"top_p": 1.01}, "top_p"),
        ({"top_k": 1.5}, "top_k"),
        ({"top_k": -2}, "top_k"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"max_new_tokens": 10**9}, "max_new_tokens"),
        ({"max_new_tokens": "1e400"}, "max_new_tokens"),
        ({"max_new_tokens": 10**400}, "max_new_tokens"),
        ({"use_stream_chat": "perhaps"}, "use_stream_chat"),
        ({"history": "yesterday"}, "history"),
        ({"history": [["a", 1]]}, "history"),
        ({"system_prompt": ["x"]}, "system_prompt"),
        ({"stop": [1]}, "stop"),
    ],
)
def test_a_wrong_value_is_refused_by_the_field_s_name(fields: dict[str, Any], field: str) -> None:
    error = _refusal(json.dumps({"prompt": "Hi"} | fields).encode())
    assert (error.status, error.field) == (400, field)
    assert field in error.message


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"prompt": "Hi"', "invalid_json"),
        (b"[1]", "invalid_json"),
        (b'"Hi"', "invalid_json"),
        (b'{"prompt": "Hi", "temperature": NaN}', "invalid_json"),
        (b'{"prompt": "Hi", "other": 1e999}', "invalid_json"),
        (b'{"prompt": "\\ud800"}', "invalid_json"),
        (b'{"a":' * 100_000, "invalid_json"),
        (b'{"a": ' + b"9" * 5000 + b"}", "invalid_json"),
        (b'{"prompt": "\xff"}', "invalid_encoding"),
        ('{"prompt": "x"}'.encode("utf-16"), "invalid_encoding"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes, code: str) -> None:
    error = _refusal(body)
    assert (error.status, error.code) == (400, code)


def test_text_that_is_not_utf_8_is_refused() -> None:
    assert _refusal(b"caf\xe9", "text/plain").code == "invalid_encoding"


def test_an_empty_body_names_the_prompt() -> None:
    assert _refusal(b"", FORM).field == "prompt"


def test_the_legacy_dialect_answers_in_bare_text() -> None:
    exchange = eas.decode(b'{"input_ids": "Hi", "max_length": 12}', JSON)
    assert not exchange.is_stream
    assert exchange.request.max_tokens == 12
    assert exchange.fold(Answer([Text("Hallo"), Done("stop")])) == b"Hallo"


def test_every_frame_is_whole_json_and_grows() -> None:
    """Text cut anywhere, with everything that JSON escapes, arrives as it was made."""
    source = random.Random(7)
    text = "".join(source.choice('aé世👋"\\\n\t\x00/ \u2028') for _ in range(400))
    history = [['q"1\n', "a\\1"]]
    exchange = _ask(history=history)
    encoder = exchange.encoder()
    seen = ""
    for start in range(0, len(text), 3):
        frame = encoder.encode(Text(text[start : start + 3]))
        assert frame.endswith(b"\0")
        assert frame.count(b"\0") == 1
        value = json.loads(frame[:-1])
        assert value["response"].startswith(seen)
        seen = value["response"]
        assert value["history"] == [*history, ["Hi", seen]]
    assert seen == text


def test_an_answer_without_text_still_has_a_frame() -> None:
    encoder = _ask().encoder()
    assert encoder.encode(Reasoning("hm")) == b""
    assert json.loads(encoder.finish()[:-1]) == {"response": "", "history": [["Hi", ""]]}


def test_a_delta_stream_sends_pieces_and_keeps_the_history_whole() -> None:
    encoder = eas.decode(b"Hi", is_delta=True).encoder()
    encoder.encode(Text("one "))
    value = json.loads(encoder.encode(Text("two"))[:-1])
    assert value == {"response": "two", "history": [["Hi", "one two"]]}
