"""Faults of a request's body. Numbers are of gateway.md §5.3."""

from __future__ import annotations

import gzip
import http.client
import itertools
import json
from typing import Any

import httpx
import pytest

from tests.inference_gateway.asking import ASKED, CHAT, code_of
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, resident_kib

# 13


@pytest.mark.parametrize(
    "fields",
    [
        {"chat_template": "{{ 1 }}"},
        {"mm_processor_kwargs": {"code_revision": "main"}},
        {"chat_template_kwargs": {"chat_template": "{{ 1 }}"}},
        {"chat_template_kwargs": {"tokenize": False}},
        {"chat_template_kwargs": {"enable_thinking": [1]}},
        {"chat_template_kwargs": "x"},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}
            ]
        },
        {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "/etc/passwd"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "audio_url", "audio_url": "FILE:///x"}]}]},
    ],
)
def test_what_would_run_or_read_on_the_engine_s_machine_is_refused(
    words: Deployed, endless: EndlessEngine, fields: dict[str, Any]
) -> None:
    answer = httpx.post(words.url + CHAT, json=ASKED | fields, headers=words.auth)
    assert (answer.status_code, code_of(answer)) == (400, "invalid_parameter")
    assert endless.asked == []


def test_switches_of_a_template_and_pictures_from_the_web_pass(words: Deployed, endless: EndlessEngine) -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    drawn = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    body: dict[str, Any] = {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, picture, drawn]}]}
    body |= {"chat_template_kwargs": {"enable_thinking": False, "reasoning_effort": "low"}}
    assert httpx.post(words.url + CHAT, json=body, headers=words.auth).status_code == 200
    assert endless.asked[0]["messages"] == body["messages"]
    assert endless.asked[0]["chat_template_kwargs"] == body["chat_template_kwargs"]


# 14

MESSAGES = b'"messages": [{"role": "user", "content": "x"}], "prompt": "x"'
DEEP = b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b", " + MESSAGES + b"}"


@pytest.mark.parametrize("rest", ["", CHAT])
@pytest.mark.parametrize(
    "body",
    [
        b"{" + MESSAGES,
        b'{"temperature": NaN, ' + MESSAGES + b"}",
        b'{"temperature": Infinity, ' + MESSAGES + b"}",
        b'{"temperature": 1e400, ' + MESSAGES + b"}",
        b'{"max_tokens": ' + b"9" * 900_000 + b', "max_new_tokens": ' + b"9" * 5000 + b", " + MESSAGES + b"}",
        DEEP,
        b'{"messages": [{"role": "user", "content": "\\ud800"}], "prompt": "\\ud800"}',
        ("{" + MESSAGES.decode() + "}").encode("utf-16"),
        b"[" + MESSAGES.replace(b":", b",") + b"]",
        b'{"messages": [{"role": "user", "content": "\xff"}], "prompt": "\xff"}',
    ],
    ids=["truncated", "NaN", "Infinity", "1e400", "long number", "deep", "half character", "UTF-16", "list", "bytes"],
)
def test_json_that_parsers_disagree_on_is_400_and_the_server_lives(
    words: Deployed, endless: EndlessEngine, rest: str, body: bytes
) -> None:
    headers = words.auth | {"Content-Type": "application/json"}
    answer = httpx.post(words.url + rest, content=body, headers=headers, timeout=30)
    assert answer.status_code == 400, answer.text[:300]
    assert ("error" in answer.json()) == bool(rest)
    assert answer.elapsed.total_seconds() < 5
    assert endless.asked == []
    assert httpx.get(words.url, headers=words.auth).status_code == 200


def test_of_a_name_given_twice_gateway_and_engine_never_read_different_values(
    words: Deployed, endless: EndlessEngine
) -> None:
    body = b'{"use_stream_chat": true, "use_stream_chat": false, ' + MESSAGES + b"}"
    headers = words.auth | {"Content-Type": "application/json"}
    eas = httpx.post(words.url, content=body, headers=headers)
    assert (eas.status_code, code_of(eas)) == (400, "invalid_json")
    twice = b'{"stream": true, "stream": false, "model": "a", "model": "b", ' + MESSAGES + b"}"
    answer = httpx.post(words.url + CHAT, content=twice, headers=headers)
    for asked in endless.asked:
        assert asked["stream"] is answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.status_code in (200, 400)


# 15


@pytest.mark.parametrize("rest", ["", CHAT])
def test_a_hundred_megabytes_in_chunks_are_413_and_never_gathered(server: Server, words: Deployed, rest: str) -> None:
    before = resident_kib(server)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    pieces = itertools.repeat(b"x" * 1_000_000, 100)
    connection.request("POST", words.path + rest, pieces, words.auth, encode_chunked=True)
    response = connection.getresponse()
    body = json.loads(response.read())
    assert (response.status, body.get("error", body)["code"]) == (413, "body_too_large")
    assert resident_kib(server) - before < 30_000


def test_a_packed_body_is_not_unpacked(words: Deployed, endless: EndlessEngine) -> None:
    packed = gzip.compress(b'{"prompt": "' + b"x" * 50_000_000 + b'"}')
    headers = words.auth | {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    for rest in ("", CHAT):
        answer = httpx.post(words.url + rest, content=packed, headers=headers)
        assert answer.status_code in (400, 415)
    assert endless.asked == []


# 19


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 10**9},
        {"max_completion_tokens": 10**9},
        {"n": 10**6},
        {"stop": ["x"] * 10**5},
        {"max_tokens": 0},
        {"n": 0},
        {"temperature": 1e9},
        {"top_k": 10**12},
    ],
)
def test_more_than_any_engine_gives_is_refused_before_one_is_asked(
    words: Deployed, endless: EndlessEngine, fields: dict[str, Any]
) -> None:
    answer = httpx.post(words.url + CHAT, json=ASKED | fields, headers=words.auth)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == next(iter(fields))
    assert endless.asked == []
