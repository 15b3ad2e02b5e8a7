"""Dify's own classes for OpenAI-compatible services, and its plugin for Xinference replayed, in own processes."""

from __future__ import annotations

from pathlib import Path

from tests.inference_gateway.clients.conftest import LetIn
from tests.inference_gateway.clients.environments import run_client
from tests.inference_gateway.many_routes import ManyRoutesEngine
from tests.inference_gateway.rig import Server, deploy
from tests.inference_gateway.scripted_http import ScriptedHttpEngine, call, chunk, with_usage

VLLM = "vllm serve /models/x --port 8000"
CALLING = with_usage(
    chunk(role="assistant", content=""),
    call(0, "", "call_1", "get_weather"),
    call(0, '{"city": "K'),
    call(0, 'öln"}'),
    chunk("tool_calls"),
)


def test_a_model_is_validated_and_asked_streamed_and_whole(
    server: Server, let_in: LetIn, runtime_port: int, tmp_path: Path
) -> None:
    service = let_in(deploy(server, runtime_port))
    seen = run_client("clients-dify", "dify_path.py", service, tmp_path, PART="chat")
    for name in ("below", "flat"):
        assert seen[f"{name} text"]
        assert seen[f"{name} text"] == seen[f"{name} whole"]
        assert seen[f"{name} reason"] in ("stop", "length")
        assert 0 < seen[f"{name} usage"] <= 8  # as the engine counts, not as the client guesses


def test_calls_of_tools_come_back_whole_and_with_their_history(server: Server, let_in: LetIn, tmp_path: Path) -> None:
    with ScriptedHttpEngine() as engine:
        engine.chunks = CALLING
        service = let_in(deploy(server, engine.port, engine="vllm", script=VLLM))
        seen = run_client("clients-dify", "dify_path.py", service, tmp_path, PART="tools")
        asked = engine.asked
    for name in ("below", "flat"):
        assert seen[f"{name} tool_call"] == [["call_1", "get_weather", '{"city": "Köln"}']]
        # A call that has one id for all, which is what Dify makes of a function's.
        assert [one[1:] for one in seen[f"{name} function_call"]] == [["get_weather", '{"city": "Köln"}']]
    for body in asked:
        messages = body["messages"]
        assert messages[1]["tool_calls"][0]["id"] == messages[2]["tool_call_id"]
        assert "function_call" not in messages[1]
        assert body["tools"][0]["function"]["name"] == "get_weather"


def test_embeddings_rerank_speech_and_hearing(server: Server, let_in: LetIn, tmp_path: Path) -> None:
    sound = tmp_path / "sound.mp3"
    sound.write_bytes(b"ID3" + bytes(97))
    with ManyRoutesEngine() as engine:
        service = let_in(deploy(server, engine.port, engine="vllm", script=VLLM))
        seen = run_client("clients-dify", "dify_path.py", service, tmp_path, PART="others", SOUND=str(sound))
    assert seen["embeddings"] == [[0.0, 0.5], [0.0, 0.5]]  # one text a call
    assert seen["rerank"][0] == [0, "d1"]
    assert seen["heard"] == "100 bytes"
    assert seen["spoken"] == 262


def test_the_plugin_for_xinference_sees_calls_that_only_the_last_chunk_has(
    server: Server, let_in: LetIn, tmp_path: Path
) -> None:
    with ScriptedHttpEngine() as engine:
        engine.chunks = CALLING
        service = let_in(deploy(server, engine.port, engine="vllm", script=VLLM))
        seen = run_client("clients", "dify_xinference_path.py", service, tmp_path)
        asked = engine.asked[-1]
    assert seen == {"reason": "tool_calls", "calls": [["call_1", "function", "get_weather", '{"city": "Köln"}']]}
    assert asked["chat_template_kwargs"]["enable_thinking"] is False
    assert {"user", "thinking"}.isdisjoint(asked)
    _, assistant, result, _ = asked["messages"]
    assert assistant["tool_calls"][0]["id"] == result["tool_call_id"] == "call_9"
    assert "name" not in result
