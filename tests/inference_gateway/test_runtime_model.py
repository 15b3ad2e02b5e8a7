"""From a model path to a file, and from a question to what the engine sees."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from inference_gateway.chat import ChatError, ChatRequest
from inference_gateway.runtime.model_files import Backend, ModelNotFound, find_model_files
from inference_gateway.runtime.prompting import Prompting


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def _write_gguf(path: Path, context_tokens: int = 4096) -> Path:
    values = [
        _text("general.architecture") + struct.pack("<I", 8) + _text("llama"),
        _text("general.tags") + struct.pack("<IIQ", 9, 8, 2) + _text("a") + _text("b"),
        _text("some.numbers") + struct.pack("<IIQ3i", 9, 5, 3, 1, 2, 3),
        _text("llama.context_length") + struct.pack("<II", 4, context_tokens),
        _text("tokenizer.ggml.model") + struct.pack("<I", 8) + _text("gpt2"),
    ]
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(values)) + b"".join(values))
    return path


def test_the_bundled_preset_is_found_with_its_context_and_system_prompt() -> None:
    model = find_model_files("SmolLM2-135M-Instruct")
    assert model.path.is_file()
    assert (model.name, model.context_tokens(None)) == ("SmolLM2-135M-Instruct", 8192)
    assert model.system_prompt


def test_a_file_and_a_folder_that_holds_one_are_the_same_model(tmp_path: Path) -> None:
    file = _write_gguf(tmp_path / "tiny.gguf")
    (tmp_path / "README.md").write_text("x")
    assert find_model_files(str(file)).path == find_model_files(str(tmp_path)).path == file
    assert find_model_files(str(file)).name == "tiny"


def test_the_context_is_the_model_s_unless_a_flag_says_otherwise(tmp_path: Path) -> None:
    assert find_model_files(str(_write_gguf(tmp_path / "a.gguf"))).context_tokens(None) == 4096
    assert find_model_files(str(_write_gguf(tmp_path / "a.gguf"))).context_tokens(512) == 512
    assert find_model_files(str(_write_gguf(tmp_path / "b.gguf", 131072))).context_tokens(None) == 8192


def test_a_model_in_parts_is_loaded_by_its_first(tmp_path: Path) -> None:
    for part in (2, 1):
        _write_gguf(tmp_path / f"big-0000{part}-of-00002.gguf")
    assert find_model_files(str(tmp_path)).path.name == "big-00001-of-00002.gguf"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([], "holds no GGUF file"),
        (["config.json", "model.safetensors"], "names no model_type"),
        (["a.gguf", "b.gguf"], "several GGUF models"),
    ],
)
def test_a_folder_with_nothing_to_load_says_why(tmp_path: Path, files: list[str], reason: str) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(ModelNotFound, match=reason):
        find_model_files(str(tmp_path))


HUGGING_FACE = {
    "config.json": '{"model_type": "llama", "max_position_embeddings": 4096}',
    "model.safetensors": "x",
    "tokenizer.json": "{}",
}


def _write_hugging_face(folder: Path, without: str = "") -> Path:
    for name, text in HUGGING_FACE.items():
        if name != without:
            (folder / name).write_text(text)
    return folder


def test_a_hugging_face_folder_is_for_transformers(tmp_path: Path) -> None:
    model = find_model_files(str(_write_hugging_face(tmp_path)))
    assert (model.backend, model.path, model.name) == (Backend.TRANSFORMERS, tmp_path, tmp_path.name)
    assert model.context_tokens(None) == 4096


def test_a_folder_of_both_layouts_goes_by_the_backend_asked_for(tmp_path: Path) -> None:
    _write_gguf(_write_hugging_face(tmp_path) / "tiny.gguf")
    assert find_model_files(str(tmp_path)).backend is Backend.LLAMA
    assert find_model_files(str(tmp_path), Backend.TRANSFORMERS).backend is Backend.TRANSFORMERS


def test_a_backend_that_cannot_read_the_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"--backend=llama\.cpp"):
        find_model_files("SmolLM2-135M-Instruct", Backend.TRANSFORMERS)
    with pytest.raises(ModelNotFound, match="--backend=transformers"):
        find_model_files(str(_write_hugging_face(tmp_path)), Backend.LLAMA)


@pytest.mark.parametrize(
    ("without", "reason"), [("model.safetensors", "no weights"), ("tokenizer.json", "no tokenizer")]
)
def test_half_a_hugging_face_folder_says_what_is_missing(tmp_path: Path, without: str, reason: str) -> None:
    with pytest.raises(ModelNotFound, match=reason):
        find_model_files(str(_write_hugging_face(tmp_path, without)))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"GGUF", b"GGUF" + struct.pack("<IQQ", 3, 0, 5)])
def test_a_file_that_is_no_model_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelNotFound, match="GGUF"):
        find_model_files(str(path))


@pytest.mark.parametrize("path", ["no-such-model", "/no/such/file.gguf", "x" * 5000, "a\0b", "../../etc"])
def test_a_path_that_is_not_there_says_what_to_give(path: str) -> None:
    with pytest.raises(ModelNotFound):
        find_model_files(path)


def test_a_preset_without_weights_here_says_so() -> None:
    with pytest.raises(ModelNotFound, match="no weights on this machine"):
        find_model_files("Qwen/Qwen2.5-7B-Instruct")


EARLIER = [{"role": role, "content": f"{role[0]}{number}"} for number in range(4) for role in ("user", "assistant")]
ROUNDS = (*EARLIER, {"role": "user", "content": "now"})


def _contents(prompting: Prompting, request: ChatRequest) -> list[str]:
    return [message["content"] for message in prompting.apply(request).messages]


def test_a_question_without_a_system_message_gets_the_model_s() -> None:
    prompting = Prompting(10, 0.5, system_prompt="Be kind.")
    question = ({"role": "user", "content": "Hi"},)
    assert _contents(prompting, ChatRequest(question)) == ["Be kind.", "Hi"]
    own = ({"role": "system", "content": "Be brief."}, *question)
    assert _contents(prompting, ChatRequest(own)) == ["Be brief.", "Hi"]


def test_only_the_last_rounds_are_kept_and_the_system_message_stays() -> None:
    messages = ({"role": "system", "content": "Be kind."}, *ROUNDS)
    assert _contents(Prompting(10, 0.5, max_rounds=1), ChatRequest(messages)) == ["Be kind.", "u3", "a3", "now"]
    assert _contents(Prompting(10, 0.5, max_rounds=0), ChatRequest(messages)) == ["Be kind.", "now"]
    assert len(_contents(Prompting(10, 0.5, max_rounds=9), ChatRequest(messages))) == 10
    assert len(_contents(Prompting(10, 0.5), ChatRequest(messages))) == 10


def test_what_a_request_leaves_open_is_filled_in() -> None:
    asked = Prompting(10, 0.5, top_k=3).apply(ChatRequest(ROUNDS, temperature=0))
    assert (asked.max_tokens, asked.temperature, asked.top_k, asked.top_p) == (10, 0, 3, None)


def test_without_the_template_the_model_gets_bare_text() -> None:
    prompting = Prompting(10, 0.5, uses_template=False)
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}]
    request = ChatRequest(({"role": "system", "content": "S"}, {"role": "user", "content": parts}))
    assert prompting.apply(request).prompt == "S\na"


def test_without_the_template_an_answer_goes_on_right_after_its_question() -> None:
    messages = ({"role": "user", "content": "Once upon "}, {"role": "assistant", "content": "a ti"})
    request = ChatRequest(messages, extra={"continue_final_message": True, "add_generation_prompt": False, "seed": 1})
    asked = Prompting(10, 0.5, uses_template=False).apply(request)
    assert (asked.prompt, asked.extra) == ("Once upon a ti", {"seed": 1})


BEGUN = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hel"})


def test_an_answer_is_gone_on_with_and_no_new_one_begun() -> None:
    asked = Prompting(10, 0.5).apply(ChatRequest(BEGUN, extra={"continue_final_message": True}))
    assert asked.extra == {"continue_final_message": True, "add_generation_prompt": False}


@pytest.mark.parametrize(
    ("messages", "extra"),
    [(BEGUN, {"add_generation_prompt": True}), (BEGUN[:1], {}), ((), {"add_generation_prompt": False})],
)
def test_a_continuation_that_makes_no_sense_is_refused_for_every_engine(messages: Any, extra: dict[str, Any]) -> None:
    with pytest.raises(ChatError) as refused:
        Prompting(10, 0.5).apply(ChatRequest(messages, extra={"continue_final_message": True, **extra}))
    assert (refused.value.status, refused.value.field) == (400, "continue_final_message")


def test_the_developer_s_role_is_the_system_s_to_a_template() -> None:
    request = ChatRequest(({"role": "developer", "content": "S"}, *ROUNDS))
    assert Prompting(10, 0.5, system_prompt="other").apply(request).messages[0] == {"role": "system", "content": "S"}


def test_a_bare_prompt_stays_as_it_is() -> None:
    assert Prompting(10, 0.5, system_prompt="S").apply(ChatRequest(prompt="Once")).prompt == "Once"
