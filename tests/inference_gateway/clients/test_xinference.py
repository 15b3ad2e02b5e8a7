"""``xinference-client``, 2.8.0 and 4.1.0, sync and async, unchanged: only the address and the key are ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.inference_gateway.clients.conftest import LetIn
from tests.inference_gateway.clients.environments import run_client
from tests.inference_gateway.many_routes import ManyRoutesEngine
from tests.inference_gateway.rig import Deployed, Server, deploy

pytestmark = pytest.mark.parametrize("version", ["clients-xinference2", "clients"])


def see(version: str, service: Deployed, home: Path, part: str) -> dict[str, Any]:
    return run_client(version, "xinference_path.py", service, home, PART=part)


def text_of(chunks: list[dict[str, Any]]) -> str:
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])


def test_a_language_model_is_found_described_and_asked(
    server: Server, let_in: LetIn, runtime_port: int, tmp_path: Path, version: str
) -> None:
    service = let_in(deploy(server, runtime_port))
    seen = see(version, service, tmp_path, "chat")
    assert list(seen["models"]) == [service.row.name]
    for described in (seen["models"][service.row.name], seen["description"]):
        assert (described["model_type"], described["model_name"]) == ("LLM", "SmolLM2-135M-Instruct")
        assert described["model_ability"] == ["chat", "generate"]
        assert (described["replica"], described["model_format"]) == (1, "ggufv2")
    assert seen["description"]["context_length"] == 8192  # as the runtime's own list says
    assert seen["handle"] == "RESTfulChatModelHandle"
    assert seen["async handle"] == "AsyncRESTfulChatModelHandle"
    said = seen["chat"]["choices"][0]["message"]["content"]
    assert said
    assert seen["chat"]["usage"]["completion_tokens"] > 0
    for name in ("chunks", "async chunks"):
        assert text_of(seen[name]) == said
        assert seen[name][-1]["choices"][0]["finish_reason"] in ("stop", "length")
    assert seen["thought"]["choices"][0]["message"]["content"]
    for name in ("below", "async chat"):
        assert seen[name]["choices"][0]["message"]["content"] == said
    text = seen["text"]["choices"][0]["text"]
    assert text
    assert "".join(piece["choices"][0]["text"] for piece in seen["pieces"] if piece["choices"]) == text


@pytest.mark.parametrize(("task", "handle"), [("embed", "Embedding"), ("score", "Rerank")])
def test_models_of_other_kinds_have_their_own_calls(
    server: Server, let_in: LetIn, tmp_path: Path, version: str, task: str, handle: str
) -> None:
    with ManyRoutesEngine() as engine:
        script = f"vllm serve /models/x --port 8000 --task {task}"
        service = let_in(deploy(server, engine.port, engine="vllm", script=script))
        seen = see(version, service, tmp_path, "pooling")
    assert seen["handle"] == f"RESTful{handle}ModelHandle"
    if task == "embed":
        assert [one["embedding"] for one in seen["answer"]["data"]] == [[0.0, 0.5], [1.0, 0.5]]
        assert seen["async"]["data"][0]["embedding"] == [0.0, 0.5]
    else:
        assert [one["document"]["text"] for one in seen["answer"]["results"]] == ["d1"]
        assert len(seen["async"]["results"]) == 2


def test_refusals_are_read_with_their_reason(
    server: Server, let_in: LetIn, runtime_port: int, tmp_path: Path, version: str
) -> None:
    service = let_in(deploy(server, runtime_port))
    seen = see(version, service, tmp_path, "refused")
    assert {kind for kind, _ in seen.values()} == {"RuntimeError"}
    assert "no_such_model" in seen["no such model"][1]
    for name in ("wrong key", "no key"):
        assert "token" in seen[name][1]
    assert "messages must be a non-empty list" in seen["no messages"][1]
    assert "not answered here" in seen["launch"][1] or "is not served" in seen["launch"][1]
