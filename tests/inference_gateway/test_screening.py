"""Bodies that are carried to an engine, and what in them would harm its machine (gateway.md §5.3, fault 13)."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from inference_gateway.chat import ChatError
from inference_gateway.screening import check
from tests.inference_gateway.many_routes import ManyRoutesEngine
from tests.inference_gateway.rig import Server, deploy

VLLM = "vllm serve /models/x --port 8000"
FILE = "file:///etc/passwd"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"prompt": "x", "chat_template": "{{ x }}"}, "chat_template"),
        ({"mm_processor_kwargs": {"code_revision": "main"}}, "mm_processor_kwargs"),
        ({"chat_template_kwargs": {"tokenize": False}}, "chat_template_kwargs.tokenize"),
        ({"input": [{"content": [{"type": "input_image", "image_url": FILE}]}]}, "input[0]"),
        ({"messages": [{"content": [{"image_url": {"url": FILE}}]}]}, "messages[0]"),
        ({"documents": {"content": [{"video_url": {"url": "/etc/passwd"}}]}}, "documents"),
    ],
)
def test_what_an_engine_would_run_or_read_is_refused_by_name(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ChatError) as refused:
        check(json.dumps(fields).encode())
    assert refused.value.status == 400
    assert str(refused.value.field).startswith(field)


@pytest.mark.parametrize(
    "body",
    [
        b'{"input":"chat_template","x":{"chat_template":1}}',
        b'{"input":[{"image_url":"https://example.com/a.png"},{"image_url":{"url":"data:image/png;base64,AA"}}]}',
        b'{"chat_template_kwargs":{"enable_thinking":false},"chat_template":null}',
        b'["chat_template"]',
        b"{truncated",
        b"\xff\xfe",
        b"[" * 100_000,
        b"",
    ],
)
def test_what_harms_nobody_passes(body: bytes) -> None:
    check(body)


def test_carried_routes_are_screened_whatever_the_body_is_called(server: Server) -> None:
    with ManyRoutesEngine("m") as engine:
        service = deploy(server, engine.port, engine="vllm", script=VLLM)
        body = json.dumps({"model": "m", "input": "x", "chat_template": "{{ x }}"})
        for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
            for path in ("/v1/embeddings", "/tokenize", "/v1/responses"):
                answer = httpx.post(f"{service.url}{path}", content=body, headers=service.auth | {"Content-Type": kind})
                assert (answer.status_code, "chat_template" in answer.text) == (400, True), (path, kind)
        program = deploy(server, engine.port, engine=None)
        answer = httpx.post(f"{program.url}/tokenize", content=body, headers=program.auth)
        assert answer.status_code != 400  # what somebody else's program takes is its own affair


def test_a_body_that_is_too_long_to_be_read_is_413_before_it_is_sent(server: Server) -> None:
    with ManyRoutesEngine("m") as engine:
        service = deploy(server, engine.port, engine="vllm", script=VLLM)
        answer = httpx.post(
            f"{service.url}/v1/embeddings",
            content=b'{"input":"' + b"x" * (17 * 1024 * 1024) + b'"}',
            headers=service.auth | {"Content-Type": "application/json"},
            timeout=30,
        )
        assert answer.status_code == 413
        assert "16" in answer.text
