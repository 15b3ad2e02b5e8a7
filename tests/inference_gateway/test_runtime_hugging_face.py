"""The backends of Hugging Face folders as real processes with the real model, converted to such a folder."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import websocket

from deployments.interpreters import TRANSFORMERS, VLLM
from tests.extras import convert_bundled_model, why_missing
from tests.inference_gateway.runtime_process import ENDLESS, Runtime, is_alive, run_runtime, running, start_runtime
from tests.waiting import wait_until

CAPITAL = "What is the capital of France?"
#: vLLM loads 40 s on two free cores, and several times that on busy ones.
START_SECONDS = 400

pytestmark = pytest.mark.timeout(600)
needs_transformers = pytest.mark.skipif(bool(why_missing(TRANSFORMERS)), reason=why_missing(TRANSFORMERS))
needs_vllm = pytest.mark.skipif(bool(why_missing(VLLM)), reason=why_missing(VLLM))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models") / "smol"
    convert_bundled_model(made)
    return made


@pytest.fixture(
    scope="session",
    params=[pytest.param("Transformers", marks=needs_transformers), pytest.param("vllm", marks=needs_vllm)],
)
def runtime(
    request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runtime]:
    """The same questions are put to both: their answers, and their errors, have to be the same."""
    logs = tmp_path_factory.mktemp(request.param)
    history = logs / "history"
    history.mkdir()
    flags = (f"--model-path={folder}", f"--backend={request.param}", "--cpu", "--context=1024", "--slots=3")
    with running(logs / "log", *flags, f"--export-history-path={history}", timeout_seconds=START_SECONDS) as started:
        yield started


@pytest.fixture
def client(runtime: Runtime) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{runtime.url}/v1", api_key="any", max_retries=0, timeout=60) as opened:
        yield opened


def _post(runtime: Runtime, path: str = "/", **options: Any) -> httpx.Response:
    return httpx.post(runtime.url + path, timeout=60, **options)


def _ask(runtime: Runtime, prompt: str, **fields: Any) -> str:
    fields = {"prompt": prompt, "use_stream_chat": False, "temperature": 0, "max_new_tokens": 12, **fields}
    answer = _post(runtime, json=fields)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["response"])


def test_eas_s_clients_are_answered_whole_and_in_growing_frames(runtime: Runtime) -> None:
    whole = _ask(runtime, CAPITAL)
    assert "Paris" in whole
    answer = _post(runtime, json={"prompt": CAPITAL, "temperature": 0, "max_new_tokens": 12})
    frames = [json.loads(frame) for frame in answer.content.split(b"\0") if frame]
    assert len(frames) > 3
    assert frames[-1]["history"] == [[CAPITAL, whole]]
    assert "Zebulon" in _ask(runtime, "What is my name?", history=[["My name is Zebulon.", "Nice to meet you!"]])


def test_the_openai_sdk_chats_streamed_and_whole(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": CAPITAL}]}]
    whole = client.chat.completions.create(model="default", messages=messages, temperature=0)
    assert "Paris" in (whole.choices[0].message.content or "")
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert whole.usage.completion_tokens > 3
    chunks = list(client.chat.completions.create(model="any", messages=messages, temperature=0, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert [model.id for model in client.models.list()] == ["smol"]


def test_a_websocket_remembers_its_rounds(runtime: Runtime) -> None:
    connection = websocket.create_connection(runtime.socket_url, timeout=60)
    rounds = []
    for prompt in ("My name is Zebulon. Say hello to me.", "What is my name?"):
        connection.send(json.dumps({"prompt": prompt, "max_new_tokens": 16, "temperature": 0}))
        pieces = []
        while (piece := connection.recv()) != "<EOS>":
            pieces.append(str(piece))
        rounds.append("".join(pieces))
    connection.close()
    assert "Zebulon" in rounds[1]


def test_text_is_continued_by_string_and_by_token_ids(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="m", prompt="Once upon a", max_tokens=4, temperature=0)
    assert answer.choices[0].text.startswith(" time")
    assert answer.choices[0].finish_reason == "length"
    several = client.completions.create(model="m", prompt=["Once upon a", "One, two,"], max_tokens=3, temperature=0)
    assert several.choices[0].text.startswith(" time")
    assert "three" in several.choices[1].text
    ids = client.completions.create(model="m", prompt=[1, 2, 3], max_tokens=1)
    assert ids.usage is not None
    assert ids.usage.prompt_tokens == 3


def test_stop_texts_seeds_and_penalties_are_obeyed(client: openai.OpenAI) -> None:
    counted: Any = {"model": "m", "prompt": "1, 2, 3, 4,", "temperature": 0, "max_tokens": 24}
    whole = client.completions.create(**counted).choices[0].text
    assert "7" in whole
    stopped = client.completions.create(**counted, stop=" 7").choices[0]
    assert (stopped.text, stopped.finish_reason) == (whole[: whole.index(" 7")], "stop")
    assert client.completions.create(**counted, presence_penalty=2, frequency_penalty=2).choices[0].text != whole
    free: Any = {"model": "m", "prompt": "The cat", "temperature": 1.8, "max_tokens": 8}
    first, same = (client.completions.create(**free, seed=5, n=2).choices for _ in range(2))
    assert [choice.text for choice in first] == [choice.text for choice in same]
    assert first[0].text != first[1].text
    narrow = client.completions.create(**free, top_p=0.000001).choices[0].text
    likeliest = client.completions.create(**{**free, "temperature": 0}).choices[0].text
    assert narrow == likeliest == client.completions.create(**free, extra_body={"top_k": 1}).choices[0].text


def test_dialogues_of_different_lengths_are_answered_together_as_alone(runtime: Runtime) -> None:
    """Five for three slots: they join and leave the batch at different steps."""
    prompts = ["Count from one to ten.", CAPITAL, "word " * 90 + "What word was that?", "Say hello.", "What is 1 + 1?"]
    lengths = (20, 12, 9, 5, 14)
    alone = [_ask(runtime, prompt, max_new_tokens=length) for prompt, length in zip(prompts, lengths, strict=True)]
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        asking = [
            pool.submit(_ask, runtime, prompt, max_new_tokens=length)
            for prompt, length in zip(prompts, lengths, strict=True)
        ]
        together = [future.result(timeout=90) for future in asking]
    assert together == alone


def test_dialogues_generate_at_the_same_time(runtime: Runtime) -> None:
    """A short one is answered while a long one runs."""
    body = ENDLESS | {"max_tokens": 900, "stream": True}
    with httpx.stream("POST", f"{runtime.url}/v1/chat/completions", json=body, timeout=60) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert _ask(runtime, "Say hello.", max_new_tokens=3)
        assert next(line for line in lines if line.startswith("data: {"))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"messages": [{"role": "user", "content": "word " * 2000}]}, "context_length_exceeded"),
        ({"messages": [{"role": "user", "content": "Hi"}], "tools": [{"type": "function"}]}, "invalid_request"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]}, None),
        ({"messages": [{"role": "user", "content": "Hi"}], "grammar": "root ::= x"}, "invalid_request"),
        ({"messages": [{"role": "user", "content": "Hi"}], "seed": "many"}, "invalid_parameter"),
    ],
)
@pytest.mark.parametrize("is_stream", [True, False])
def test_a_question_that_cannot_be_answered_is_the_caller_s_fault(
    runtime: Runtime, fields: dict[str, Any], code: str | None, is_stream: bool
) -> None:
    answer = _post(runtime, "/v1/chat/completions", json={**fields, "stream": is_stream})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code or "invalid_request")


def test_a_prompt_longer_than_the_context_is_refused_with_numbers(runtime: Runtime) -> None:
    answer = _post(runtime, json={"prompt": "word " * 2000})
    assert (answer.status_code, answer.json()["code"]) == (400, "context_length_exceeded")
    assert "1024" in answer.json()["message"]


def test_callers_that_leave_free_their_slots(runtime: Runtime) -> None:
    """Left alone, what was asked would keep all three slots for minutes."""
    body = ENDLESS | {"n": 3}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{runtime.url}/v1/chat/completions", json=body, timeout=1)
    with httpx.stream("POST", f"{runtime.url}/v1/chat/completions", json=body | {"stream": True}, timeout=30) as answer:
        lines = answer.iter_lines()
        for _ in range(6):
            next(lines)
    assert _ask(runtime, "Hi", max_new_tokens=1)


@needs_transformers
def test_without_the_template_and_in_another_precision(folder: Path, tmp_path: Path) -> None:
    flags = (f"--model-path={folder}", "--cpu", "--no-template", "--precision", "bf16", "--log-level=DEBUG")
    with running(tmp_path / "log", *flags, program="api_server") as started:
        assert _ask(started, "Once upon a", max_new_tokens=2).startswith(" time")
        assert "torch.bfloat16" in started.log
        engine = started.find_engine_pid()
        assert engine is not None
        body = ENDLESS | {"max_tokens": 40, "stream": True}
        with httpx.stream("POST", f"{started.url}/v1/chat/completions", json=body, timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            os.kill(engine, signal.SIGTERM)  # A supervisor's signal reaches the engine as well.
            started.process.send_signal(signal.SIGTERM)
            assert "data: [DONE]" in list(lines)
        assert started.process.wait(timeout=30) == 0
        wait_until(lambda: not is_alive(engine), "the engine is gone", 10)


def test_history_is_exported_and_no_prompt_is_in_the_log(runtime: Runtime, tmp_path: Path) -> None:
    _ask(runtime, "Xylophone-4711 is a secret.")
    (part,) = (Path(runtime.log_path).parent / "history").iterdir()
    record = json.loads(part.read_text(encoding="utf-8").splitlines()[-1])
    assert record["messages"][-1]["content"] == "Xylophone-4711 is a secret."
    assert (record["model"], record["ending"]) == ("smol", "finished")
    assert "Xylophone" not in runtime.log


@needs_transformers
def test_a_folder_that_transformers_cannot_load_ends_with_1_and_the_reason(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(folder / name, tmp_path)
    with (folder / "model.safetensors").open("rb") as source:
        (tmp_path / "model.safetensors").write_bytes(source.read(1024 * 1024))
    ended = run_runtime("--port=0", f"--model-path={tmp_path}", "--cpu")
    assert ended.returncode == 1
    assert "could not be loaded" in ended.stderr.splitlines()[-1]


@needs_vllm
def test_vllm_without_a_template_continues_text_and_finishes_when_stopped(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare)
    (bare / "chat_template.jinja").unlink()
    flags = (f"--model-path={bare}", "--backend=vllm", "--cpu", "--precision=bf16", "--context=512", "--slots=1")
    with running(tmp_path / "log", *flags, program="api_server", timeout_seconds=START_SECONDS) as started:
        refused = _post(started, "/v1/chat/completions", json={"messages": [{"role": "user", "content": "Hi"}]})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "no_chat_template")
        keeper = started.find_engine_pid()
        assert keeper is not None
        body = {"prompt": "Once upon a", "max_tokens": 60, "temperature": 0, "ignore_eos": True, "stream": True}
        with httpx.stream("POST", f"{started.url}/v1/completions", json=body, timeout=60) as answer:
            lines = answer.iter_lines()
            assert "time" in next(lines)
            os.killpg(keeper, signal.SIGTERM)  # A supervisor's signal reaches vLLM's own processes as well.
            started.process.send_signal(signal.SIGTERM)
            assert "data: [DONE]" in list(lines)
        assert started.process.wait(timeout=30) == 0
        wait_until(lambda: not _group_of(keeper), "nothing that vLLM started is left", 10)


@needs_vllm
def test_nothing_of_vllm_outlives_a_runtime_that_is_killed(folder: Path, tmp_path: Path) -> None:
    flags = ("--port=0", f"--model-path={folder}", "--backend=vllm", "--cpu")
    with (tmp_path / "log").open("wb") as log:
        started = start_runtime(*flags, log=log)
    runtime = Runtime(started, tmp_path / "log")

    def find_keeper() -> int | None:
        # Before it there is the child that looks for vLLM.
        pid = runtime.find_engine_pid()
        is_one = pid is not None and b"keeper.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
        return pid if is_one else None

    try:
        keeper = wait_until(find_keeper, "the engine is started", 60)
        wait_until(lambda: len(_group_of(keeper)) > 1, "vLLM is started", 30)
    finally:
        started.kill()
        started.wait()
    wait_until(lambda: not _group_of(keeper), "nothing that vLLM started is left", 10)


@needs_vllm
def test_a_folder_that_vllm_cannot_load_ends_with_1_and_the_reason(folder: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(folder / name)
    (tmp_path / "config.json").write_text('{"model_type": "nobody_knows", "architectures": ["Nobody"]}')
    ended = run_runtime("--port=0", f"--model-path={tmp_path}", "--backend=vllm", "--cpu", timeout_seconds=300)
    assert ended.returncode == 1
    assert "could not be loaded by vLLM" in ended.stderr.splitlines()[-1]
    assert "nobody_knows" in ended.stderr.splitlines()[-1]


def _group_of(leader: int) -> list[int]:
    """Living processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and is_alive(int(entry.name)):
            with contextlib.suppress(OSError):
                if os.getpgid(int(entry.name)) == leader:
                    found.append(int(entry.name))
    return found


@pytest.mark.parametrize(
    ("backend", "title"), [("transformers", "TRANSFORMERS"), ("vllm", "VLLM")], ids=["transformers", "vllm"]
)
def test_without_the_libraries_a_hugging_face_folder_ends_with_1_and_one_line(
    backend: str, title: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_text("x")
    nowhere = {f"SLIPWAY_{title}_PYTHON": "/nowhere/python"}
    ended = run_runtime("--port=0", f"--model-path={tmp_path}", f"--backend={backend}", environment=nowhere)
    assert ended.returncode == 1
    assert f"SLIPWAY_{title}_PYTHON=/nowhere/python is no Python" in ended.stderr
    assert "bin/pip install" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@needs_transformers
def test_an_answer_goes_on_within_itself(client: openai.OpenAI) -> None:
    asked: list[Any] = [{"role": "user", "content": "Write a short story about a lighthouse."}]
    model = client.models.list().data[0].id

    def ask(messages: list[Any], tokens: int, **extra: Any) -> openai.types.chat.ChatCompletion:
        return client.chat.completions.create(
            model=model, messages=messages, max_tokens=tokens, temperature=0, extra_body=extra
        )

    whole = ask(asked, 24).choices[0].message.content
    half = ask(asked, 12).choices[0].message.content
    begun = [*asked, {"role": "assistant", "content": half}]
    rest = ask(begun, 12, continue_final_message=True, add_generation_prompt=False).choices[0].message.content
    assert (half or "") + (rest or "") == whole
    for messages, extra in (
        (begun, {"continue_final_message": True, "add_generation_prompt": True}),
        (asked, {"continue_final_message": True}),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            ask(messages, 4, **extra)
        assert refused.value.param == "continue_final_message"
