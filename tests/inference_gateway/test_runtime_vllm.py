"""What the vLLM backend decides before vLLM is asked: memory, precision, its log, and what it passes on."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from logging import DEBUG, WARNING
from pathlib import Path
from typing import Any

import pytest

from inference_gateway.chat import ChatError, ChatEvent, ChatRequest, Text
from inference_gateway.runtime.flags import Flags
from inference_gateway.runtime.model_files import Backend, ModelFiles
from inference_gateway.runtime.vllm.engine import VllmEngine, check_question
from inference_gateway.runtime.vllm.process import VllmProcess, count_cache_mib, read_dtype

SMOL = {"num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 576}
USER = ({"role": "user", "content": "Hi"},)


class RecordingEngine:
    """Answers one word, or with an error, and keeps what it was asked."""

    def __init__(self, error: ChatError | None = None) -> None:
        self.asked: list[ChatRequest] = []
        self._error = error

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        self.asked.append(request)
        if self._error is not None:
            raise self._error
        yield Text("Hi")


async def _ask(engine: RecordingEngine, request: ChatRequest) -> ChatRequest:
    async for _ in VllmEngine(engine, 1024).generate(request):
        pass
    return engine.asked[-1]


async def test_several_answers_at_temperature_0_are_all_the_likeliest() -> None:
    asked = await _ask(RecordingEngine(), ChatRequest(USER, temperature=0, top_k=30, n=3))
    assert (asked.temperature, asked.top_k) == (1.0, 1)
    alone = await _ask(RecordingEngine(), ChatRequest(USER, temperature=0, top_k=30))
    assert (alone.temperature, alone.top_k) == (0, 30)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (
            ChatError(400, "context_length_exceeded", "This model's maximum context length is …"),
            "context_length_exceeded",
        ),
        (ChatError(400, "invalid_request", "…, so you must provide a chat template if …"), "no_chat_template"),
        (ChatError(400, "invalid_request", "top_p must be in (0, 1]"), "invalid_request"),
    ],
)
async def test_its_errors_have_the_codes_of_the_other_backends(said: ChatError, code: str) -> None:
    with pytest.raises(ChatError) as raised:
        await _ask(RecordingEngine(said), ChatRequest(USER))
    assert (raised.value.status, raised.value.code) == (400, code)


@pytest.mark.parametrize(
    "extra",
    [{"tools": [{"type": "function"}]}, {"grammar": "x"}, {"seed": "many"}, {"seed": 2**63}, {"ignore_eos": "maybe"}],
)
def test_what_it_would_pass_over_is_refused_by_name(extra: dict[str, Any]) -> None:
    with pytest.raises(ChatError) as raised:
        check_question(ChatRequest(USER, extra=extra))
    assert raised.value.field == next(iter(extra))
    check_question(ChatRequest(USER, extra={"tools": [], "seed": None, "foo": 1}))


def test_the_cache_holds_every_dialogue_s_keys_and_values() -> None:
    exact_mib = 2 * 30 * 3 * 64 * 4 * 4096 / 2**20
    assert exact_mib < count_cache_mib(SMOL, "float32", 4096) < exact_mib * 1.2 + 65
    assert count_cache_mib({"text_config": SMOL}, "auto", 4096) < count_cache_mib(SMOL, "float32", 4096)
    assert count_cache_mib({"num_hidden_layers": "many"}, "auto", 4096) == 4096


def test_a_folder_s_own_precision_is_kept() -> None:
    assert read_dtype({"dtype": "float32"}, None) == "float32"
    assert read_dtype({"torch_dtype": "bfloat16"}, None) == "auto"
    assert read_dtype({"text_config": {"dtype": "float32"}}, None) == "float32"
    assert read_dtype({"dtype": "float32"}, "bf16") == "bfloat16"


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VllmProcess:
    """Made and never started: any Python stands for the one that has vLLM."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho '[[\"vllm\"], [3, 11], true]'\n")
    python.chmod(0o755)
    monkeypatch.setenv("SLIPWAY_VLLM_PYTHON", str(python))
    (tmp_path / "config.json").write_text(json.dumps({**SMOL, "dtype": "float32"}))
    made = VllmProcess(ModelFiles(tmp_path, "smol", 2048, backend=Backend.VLLM), Flags(slots=2))
    monkeypatch.setattr(made, "load_seconds", 0.0)
    return made


def test_a_build_for_processors_is_told_its_memory_and_compiles_nothing(process: VllmProcess) -> None:
    command = json.loads(process.render_command()[-1])["command"]
    process.stop()
    assert command[command.index("--max-model-len") + 1] == "2048"
    assert command[command.index("--max-num-seqs") + 1] == "2"
    assert "--enforce-eager" in command
    assert command[command.index("--kv-cache-memory-bytes") + 1].endswith("M")


@pytest.mark.parametrize(
    ("line", "level", "reason"),
    [
        ("(APIServer pid=1) INFO 11-21 17:37:34 [vllm.py:725] Loading", DEBUG, None),
        ("(EngineCore pid=2) ERROR 11-21 17:37:34 [core.py:9] ValueError: no room", WARNING, "ValueError: no room"),
        ("(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.", DEBUG, None),
        ("pydantic_core.ValidationError: 1 validation error for ModelConfig", DEBUG, None),
        ("  Value error, no such type [type=value_error, input_value=…]", WARNING, "Value error, no such type"),
        ("    return func(*args)", DEBUG, None),
    ],
)
def test_the_exception_that_ended_it_is_the_reason(
    process: VllmProcess, line: str, level: int, reason: str | None
) -> None:
    found = process.read_line(line)
    process.stop()
    assert found == (level, reason)
