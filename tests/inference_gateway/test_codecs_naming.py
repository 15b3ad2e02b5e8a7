"""Finding and changing the one value in a body that is else carried as it is."""

from __future__ import annotations

import json

import pytest

from inference_gateway.chat import ChatError
from inference_gateway.codecs.engine_errors import render_openai_error
from inference_gateway.codecs.naming import find_boundary, find_form_name, find_json_name, rename_json


def test_only_the_name_changes_in_a_body() -> None:
    body = ' {"a" :1.10, "model": "svc" ,\n "input": ["\\u00fc", "ü", 1e3], "m": {"model": "inner"}} '.encode()
    assert find_json_name(body) == "svc"
    assert rename_json(body, "served") == body.replace(b'"svc"', b'"served"')
    assert rename_json(body, None) == body


def test_a_name_given_twice_is_changed_twice() -> None:
    body = b'{"model":"a","model":"b"}'
    assert find_json_name(body) == "b"  # as every parser reads it
    assert rename_json(body, "c") == b'{"model":"c","model":"c"}'


def test_null_fields_can_be_left_out_with_the_rest_as_it_was() -> None:
    body = b'{"model": "svc", "top_n": null, "query": "q", "x": 1.10, "documents": [null]}'
    changed = rename_json(body, "served", drops_nulls=True)
    assert json.loads(changed) == {"model": "served", "query": "q", "x": 1.1, "documents": [None]}
    assert b"1.10" in changed
    assert rename_json(b'{"a": 1}', "served", drops_nulls=True) == b'{"a": 1}'


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b'{"a"', b'{"a" 1}', b'{"a":1,,}', b'{"a":1} x', b"{a:1}", b'{"a":' + b"[" * 100_000]
)
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(ChatError) as refusal:
        find_json_name(body)
    assert (refusal.value.status, refusal.value.code) == (400, "invalid_json")


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(ChatError) as refusal:
        find_json_name(b'{"model": 5}')
    assert refusal.value.field == "model"


def test_a_form_s_model_is_found_before_and_behind_the_file_once_it_is_whole() -> None:
    boundary = find_boundary('multipart/form-data; boundary="xy z"')
    assert boundary == b"xy z"
    model = b'--xy z\r\nContent-Disposition: form-data; name="model"\r\n\r\nsvc\r\n'
    file = b'--xy z\r\nContent-Disposition: form-data; filename="model"; name="file"\r\n\r\n\0\xff\r\n'
    assert find_form_name(model + file + b"--xy z--\r\n", boundary) == "svc"
    assert find_form_name(file + model + b"--xy z--\r\n", boundary) == "svc"
    assert find_form_name(file + model[:-2], boundary) is None
    assert find_form_name(file + b"--xy z--\r\n", boundary) is None


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "", "text/plain; boundary=x"])
def test_other_bodies_are_no_forms(kind: str) -> None:
    assert find_boundary(kind) is None


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (404, b'{"detail":"Not Found"}', "path_not_found", "/v1/rerank"),
        (404, b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}', "path_not_found", "404"),
        (404, b"404: Not Found", "path_not_found", "/v1/rerank"),
        (404, b"<html>no</html>", "path_not_found", "/v1/rerank"),
        (404, b'{"error":{"message":"The model `x` does not exist.","code":404}}', "invalid_request", "`x`"),
        (400, b'{"object":"error","message":"too long","type":"BadRequestError","code":400}', "invalid_request", "too"),
        (422, b'{"detail":[{"loc":["body","input"],"msg":"Field required"}]}', "invalid_request", "body.input: Field"),
        (500, b'{"error":"it broke"}', "engine_error", "it broke"),
        (501, b"", "engine_error", "501"),
        (429, b'{"error":{"message":"slow","code":"rate","param":"n"}}', "rate", "slow"),
    ],
)
def test_an_engine_s_own_words_come_in_openai_s_shape(status: int, body: bytes, code: str, words: str) -> None:
    told = json.loads(render_openai_error(status, body, "/v1/rerank"))
    assert set(told["error"]) >= {"message", "type", "param", "code"}
    assert told["error"]["code"] == code
    assert words in told["error"]["message"]
    assert told["detail"] == told["error"]["message"]
