"""``openai`` and ``langchain-openai``, unchanged: below a service and flat, with a real model and scripted."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.inference_gateway.clients.conftest import LetIn
from tests.inference_gateway.clients.environments import run_client
from tests.inference_gateway.many_routes import ManyRoutesEngine
from tests.inference_gateway.rig import Deployed, Server, deploy
from tests.inference_gateway.scripted_http import USAGE, ScriptedHttpEngine, call, chunk, with_usage

VLLM = "vllm serve /models/x --port 8000"
LOGPROBS = {"content": [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}], "refusal": None}


@pytest.fixture
def engine() -> Iterator[ScriptedHttpEngine]:
    with ScriptedHttpEngine() as running:
        yield running


def see(service: Deployed, home: Path, part: str, **more: str) -> dict[str, Any]:
    return run_client("clients", "openai_path.py", service, home, PART=part, **more)


def test_openai_with_a_real_model_below_a_service_and_flat(
    server: Server, let_in: LetIn, runtime_port: int, tmp_path: Path
) -> None:
    service = let_in(deploy(server, runtime_port))
    seen = see(service, tmp_path, "openai")
    for name in ("below", "flat"):
        whole, chunks = seen[f"{name} whole"], seen[f"{name} chunks"]
        said = whole["choices"][0]["message"]["content"]
        assert said == seen["async"]
        assert "".join(one["choices"][0]["delta"]["content"] or "" for one in chunks if one["choices"]) == said
        assert (chunks[-1]["choices"], chunks[-1]["usage"]["completion_tokens"]) == (
            [],
            whole["usage"]["completion_tokens"],
        )
        assert seen[f"{name} text"]
        assert seen[f"{name} models"] == [service.row.name] == [seen[f"{name} model"]]
    assert seen["wrong key"] == ["AuthenticationError", "Unauthorized", None, True]
    assert seen["no such"] == ["NotFoundError", "model_not_found", "model", True]
    assert seen["empty"] == ["BadRequestError", "invalid_parameter", "messages", True]
    assert seen["range"] == ["BadRequestError", "invalid_parameter", "temperature", True]


def test_what_openai_may_send_and_receive_passes_untouched_recorded_or_not(
    server: Server, engine: ScriptedHttpEngine, tmp_path: Path
) -> None:
    service = deploy(server, engine.port, engine="vllm", script=VLLM)
    engine.chunks = with_usage(
        chunk(role="assistant", content="Hi", beside={"logprobs": LOGPROBS}),
        chunk(role="assistant", content="Ho") | {"system_fingerprint": "fp"},
        chunk("stop", {"stop_reason": None}),
    )
    engine.chunks[1]["choices"][0]["index"] = 1
    engine.chunks.insert(3, chunk("length"))
    engine.chunks[3]["choices"][0]["index"] = 1
    message: dict[str, Any] = {"role": "assistant", "content": "Hi", "refusal": None, "annotations": []}
    choices = [
        {"index": number, "message": message, "logprobs": LOGPROBS, "finish_reason": reason}
        for number, reason in ((0, "stop"), (1, "length"))
    ]
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "served"}
    engine.whole = {**head, "choices": choices, "usage": USAGE, "system_fingerprint": "fp"}
    seen = see(service, tmp_path, "fields", CONVERSATION=str(uuid.uuid4()))
    for body in engine.asked:
        assert (body["n"], body["logprobs"], body["top_logprobs"], body["seed"]) == (2, True, 1, 7)
        assert body["tools"][0]["function"]["parameters"]["required"] == ["city"]
        assert (body["tool_choice"], body["parallel_tool_calls"]) == ("auto", False)
        assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
        assert (body["logit_bias"], body["guided_choice"]) == ({"5": -100}, ["a", "b"])
    for name in ("relayed", "recorded"):
        whole, chunks = seen[f"{name} whole"], seen[f"{name} chunks"]
        assert [choice["finish_reason"] for choice in whole["choices"]] == ["stop", "length"]
        assert whole["choices"][0]["logprobs"]["content"] == LOGPROBS["content"]
        assert (whole["usage"]["total_tokens"], whole["system_fingerprint"]) == (18, "fp")
        assert chunks[0]["choices"][0]["logprobs"]["content"] == LOGPROBS["content"]
        texts = {0: "", 1: ""}
        for one in chunks:
            for choice in one["choices"]:
                texts[choice["index"]] += choice["delta"]["content"] or ""
        assert texts == {0: "Hi", 1: "Ho"}
        assert (chunks[-1]["choices"], chunks[-1]["usage"]["total_tokens"]) == ([], 18)


def test_langchain_with_a_real_model(server: Server, let_in: LetIn, runtime_port: int, tmp_path: Path) -> None:
    seen = see(let_in(deploy(server, runtime_port)), tmp_path, "langchain")
    for name in ("below", "flat"):
        said, usage = seen[f"{name} whole"]
        assert said
        assert said == seen[f"{name} pieces"] == seen["async"]
        assert usage["output_tokens"] > 0
        assert seen[f"{name} batch"] == 2
        assert seen[f"{name} text"]


def test_langchain_s_calls_of_tools(server: Server, engine: ScriptedHttpEngine, tmp_path: Path) -> None:
    engine.chunks = with_usage(
        chunk(role="assistant", content=""),
        call(0, "", "call_1", "get_weather"),
        call(0, '{"city": "K'),
        call(0, 'öln"}'),
        call(1, "", "call_2", "get_weather"),
        call(1, '{"city": "Bonn"}'),
        chunk("tool_calls"),
    )
    seen = see(deploy(server, engine.port, engine="vllm", script=VLLM), tmp_path, "langchain tools")
    for name in ("below", "flat"):
        calls = [(one["id"], one["name"], one["args"]) for one in seen[f"{name} calls"]]
        assert calls == [("call_1", "get_weather", {"city": "Köln"}), ("call_2", "get_weather", {"city": "Bonn"})]
    assert json.dumps(engine.asked[0]["tools"]) == json.dumps(engine.asked[1]["tools"])


def test_langchain_s_embeddings(server: Server, let_in: LetIn, tmp_path: Path) -> None:
    with ManyRoutesEngine() as engine:
        service = let_in(deploy(server, engine.port, engine="vllm", script=VLLM))
        assert see(service, tmp_path, "langchain embeddings")["vectors"] == [[0.0, 0.5], [1.0, 0.5]]
