"""The chat-llm runtime as a real process with the real model: what a stranger's clients see."""

from __future__ import annotations

import concurrent.futures
import itertools
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import websocket

from tests.inference_gateway.runtime_process import (
    ENDLESS,
    ROOT,
    Runtime,
    receive_round,
    run_runtime,
    running,
    start_runtime,
)
from tests.waiting import wait_until

CAPITAL = "What is the capital of France?"


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    # A small model that is asked for no end may tell on for 2,048 tokens, which take minutes on a busy machine.
    with running(tmp_path_factory.mktemp("runtime") / "log", "--context=2048", "--max-new-tokens=256") as started:
        yield started


@pytest.fixture(scope="session")
def one_slot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """One dialogue at a time: whoever asks while another generates has to wait for it."""
    with running(tmp_path_factory.mktemp("one-slot") / "log", "--slots=1", program="api_server") as started:
        yield started


@pytest.fixture
def client(runtime: Runtime) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{runtime.url}/v1", api_key="any", max_retries=0, timeout=60) as opened:
        yield opened


def _post(runtime: Runtime, path: str = "/", **options: Any) -> httpx.Response:
    return httpx.post(runtime.url + path, timeout=60, **options)


def _frames(body: bytes) -> list[Any]:
    return [json.loads(frame) for frame in body.split(b"\0") if frame]


def test_a_runtime_that_loads_says_so_and_never_more_than_there_is(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []
    with (tmp_path / "log").open("wb") as log, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        process = start_runtime(f"--port={port}", "--context=2048", log=log)

        def look() -> bool:
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/health", timeout=10)
            except httpx.TransportError:
                return False
            heard.append(answer.json())
            return answer.status_code == 200

        try:
            wait_until(look, "the model is loaded", 60)
        finally:
            process.terminate()
            process.wait(timeout=30)
    assert {one["status"] for one in heard[:-1]} <= {"loading"}
    known = [one for one in heard if "loaded_bytes" in one]
    assert all(0 < one["loaded_bytes"] <= one["weights_bytes"] for one in known)
    assert sorted(one["loaded_bytes"] for one in known) == [one["loaded_bytes"] for one in known]


def test_health_and_models_name_the_model(runtime: Runtime, client: openai.OpenAI) -> None:
    assert httpx.get(f"{runtime.url}/health").json()["status"] == "ok"
    assert [model.id for model in client.models.list()] == ["SmolLM2-135M-Instruct"]


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain"])
def test_a_plain_prompt_is_answered_with_growing_frames(runtime: Runtime, content_type: str) -> None:
    answer = _post(runtime, content=CAPITAL, headers={"content-type": content_type})
    frames = _frames(answer.content)
    assert answer.content.endswith(b"}\0")
    assert "content-length" not in answer.headers
    texts = [frame["response"] for frame in frames]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    assert frames[-1]["history"] == [[CAPITAL, texts[-1]]]


def test_json_and_forms_are_answered_whole(runtime: Runtime) -> None:
    fields = {"prompt": CAPITAL, "use_stream_chat": "False", "temperature": "0"}
    for answer in (_post(runtime, json=fields), _post(runtime, data=fields)):
        value = answer.json()
        assert "Paris" in value["response"]
        assert value["history"] == [[CAPITAL, value["response"]]]


def test_earlier_rounds_are_known_to_the_model(runtime: Runtime) -> None:
    fields = {
        "prompt": "What is my name?",
        "history": [["My name is Zebulon.", "Nice to meet you, Zebulon!"]],
        "use_stream_chat": False,
        "temperature": 0,
    }
    value = _post(runtime, json=fields).json()
    assert "Zebulon" in value["response"]
    assert len(value["history"]) == 2


def test_the_openai_sdk_chats_streamed_and_whole(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": CAPITAL}]
    whole = client.chat.completions.create(model="default", messages=messages, temperature=0, logprobs=True)
    assert "Paris" in (whole.choices[0].message.content or "")
    assert whole.usage is not None
    assert whole.usage.total_tokens > 0
    assert whole.choices[0].logprobs is not None
    chunks = list(
        client.chat.completions.create(
            model="any", messages=messages, temperature=0, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"


def test_two_answers_to_one_question_are_kept_apart(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "Hi"}], n=2, max_tokens=8, seed=1, temperature=1.5
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert all(choice.message.content for choice in answer.choices)


def test_the_openai_sdk_completes_text(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="m", prompt="Once upon a", max_tokens=4, temperature=0)
    assert answer.choices[0].text.strip().startswith("time")
    pieces = client.completions.create(model="m", prompt="Once upon a", max_tokens=4, temperature=0, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == answer.choices[0].text


def test_fields_that_only_the_engine_knows_reach_it(client: openai.OpenAI) -> None:
    schema: dict[str, object] = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    answer = client.chat.completions.create(
        model="m",
        messages=[{"role": "user", "content": "How old is a child? Answer in JSON."}],
        response_format={"type": "json_schema", "json_schema": {"name": "age", "schema": schema}},
        max_tokens=60,
        temperature=0,
    )
    assert isinstance(json.loads(answer.choices[0].message.content or "")["age"], int)


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/chat/completions", {"messages": []}, 400, "invalid_parameter"),
        ("/v1/chat/completions", {"messages": [{"role": "wizard", "content": "x"}]}, 400, "unknown_role"),
        ("/v1/nowhere", {}, 404, "path_not_found"),
        ("/v1", {}, 404, "path_not_found"),
        ("/v1/models", {}, 405, "method_not_allowed"),
        ("/", {"prompt": ""}, 400, "invalid_parameter"),
        ("/nowhere", {}, 404, "path_not_found"),
    ],
)
def test_an_error_speaks_the_dialect_of_its_path(
    runtime: Runtime, path: str, body: Any, status: int, code: str
) -> None:
    answer = _post(runtime, path, json=body)
    assert answer.status_code == status
    value = answer.json()
    assert (value["error"] if path.startswith("/v1") else value)["code"] == code


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
        {"messages": [{"role": "user", "content": "Hi"}], "tools": [{"type": "function"}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}, {"role": "user", "content": "Hi"}]},
    ],
)
def test_a_question_that_the_engine_cannot_read_is_the_caller_s_fault(
    runtime: Runtime, fields: dict[str, Any], is_stream: bool
) -> None:
    answer = _post(runtime, "/v1/chat/completions", json={**fields, "stream": is_stream})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_prompt_longer_than_the_context_is_refused_with_numbers(runtime: Runtime, is_stream: bool) -> None:
    answer = _post(runtime, json={"prompt": "word " * 2500, "use_stream_chat": is_stream})
    assert (answer.status_code, answer.json()["code"]) == (400, "context_length_exceeded")
    assert "2048" in answer.json()["message"]


def test_a_body_over_one_megabyte_is_413_and_the_server_goes_on(runtime: Runtime) -> None:
    assert _post(runtime, content=b"x" * (1024 * 1024 + 1)).status_code == 413
    assert httpx.get(f"{runtime.url}/health").status_code == 200


def test_four_dialogues_generate_at_the_same_time(runtime: Runtime) -> None:
    """Each has its first words before any has its last."""
    first_words = threading.Barrier(4, timeout=60)

    def ask() -> int:
        body = ENDLESS | {"max_tokens": 60, "stream": True}
        with httpx.stream("POST", f"{runtime.url}/v1/chat/completions", json=body, timeout=60) as answer:
            lines = (line for line in answer.iter_lines() if line.startswith("data: {"))
            for _ in range(3):
                next(lines)
            first_words.wait()
            return sum(1 for _ in lines)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        rest = [future.result(timeout=90) for future in [pool.submit(ask) for _ in range(4)]]
    assert min(rest) > 20


def test_five_questions_over_one_websocket(runtime: Runtime) -> None:
    connection = websocket.create_connection(runtime.socket_url, timeout=60, header=["Authorization: any"])
    fields = {"max_new_tokens": 24, "temperature": 0, "system_prompt": "You are a helpful assistant."}
    connection.send(json.dumps({"system_prompt": "You are a helpful assistant."}))
    connection.send(json.dumps(fields | {"prompt": "My name is Zebulon. Say hello to me."}).encode())
    connection.send_binary(json.dumps(fields | {"prompt": "What is my name?"}).encode())
    connection.send(json.dumps(fields | {"prompt": "Say a word.", "use_stream_chat": False}))
    connection.send("Say another word, and nothing else.")
    rounds = [receive_round(connection) for _ in range(5)]
    assert rounds[0] == ""
    assert all(rounds[1:])
    assert "Zebulon" in rounds[2]
    connection.close(status=1000)


def test_a_ping_is_answered_while_a_round_is_generated(one_slot: Runtime) -> None:
    connection = websocket.create_connection(one_slot.socket_url, timeout=30)
    connection.send(json.dumps({"prompt": "Tell a very long story.", "max_new_tokens": 4000}))
    assert connection.recv() != "<EOS>"
    connection.ping("now")
    while True:
        opcode, frame = connection.recv_data_frame(control_frame=True)
        if opcode == websocket.ABNF.OPCODE_PONG:
            break
        assert frame.data != b"<EOS>"
    assert frame.data == b"now"
    connection.close()


def test_the_close_frame_of_the_caller_is_echoed(runtime: Runtime) -> None:
    connection = websocket.create_connection(runtime.socket_url, timeout=30)
    connection.send_close(status=1000)
    opcode, data = connection.recv_data(control_frame=True)
    assert (opcode, data[:2]) == (websocket.ABNF.OPCODE_CLOSE, (1000).to_bytes(2, "big"))
    connection.close()


def _leave_stream(runtime: Runtime) -> None:
    with httpx.stream("POST", f"{runtime.url}/v1/chat/completions", json=ENDLESS | {"stream": True}) as answer:
        lines = answer.iter_lines()
        for _ in range(6):
            next(lines)


def _leave_whole(runtime: Runtime) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{runtime.url}/v1/chat/completions", json=ENDLESS, timeout=0.5)


def _leave_websocket(runtime: Runtime) -> None:
    connection = websocket.create_connection(runtime.socket_url, timeout=30)
    connection.send(json.dumps({"prompt": "Count from 1 to 1000 in words.", "max_new_tokens": 8000}))
    connection.recv()
    connection.close()


@pytest.mark.parametrize("leave", [_leave_stream, _leave_whole, _leave_websocket])
def test_a_caller_that_leaves_frees_the_only_slot(one_slot: Runtime, leave: Any) -> None:
    """Left alone, what was asked would keep the slot for minutes."""
    leave(one_slot)
    answer = httpx.post(one_slot.url, json={"prompt": "Hi", "use_stream_chat": False, "max_new_tokens": 2}, timeout=15)
    assert answer.status_code == 200


def test_a_caller_that_leaves_while_a_prompt_is_read_frees_the_slot(one_slot: Runtime) -> None:
    """Looking at the slots is a result for the engine, as other dialogues' tokens are: it must notice all the same."""
    pid = one_slot.find_engine_pid()
    settings = json.loads(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[3])
    with httpx.Client(transport=httpx.HTTPTransport(uds=settings["socket"]), base_url="http://engine") as engine:

        def is_busy() -> bool:
            return bool(engine.get("/slots").json()[0]["is_processing"])

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asking = pool.submit(httpx.post, one_slot.url, json={"prompt": "word " * 7500}, timeout=2)
            wait_until(is_busy, "the prompt is read")
            with pytest.raises(httpx.ReadTimeout):
                asking.result()
        wait_until(lambda: not is_busy(), "the slot is free", 5)


def test_the_page_and_its_script_come_from_here(runtime: Runtime, one_slot: Runtime) -> None:
    page = httpx.get(runtime.url)
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "<script>" not in page.text
    assert "javascript" in httpx.get(f"{runtime.url}/webui/chat.js").headers["content-type"]
    messages = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
    assert _post(runtime, "/webui/chat", json=messages).status_code == 200
    assert _post(runtime, "/webui/chat", content=json.dumps(messages)).status_code == 415
    assert "/v1/chat/completions" in httpx.get(one_slot.url).json()["routes"]
    assert _post(one_slot, "/webui/chat", json=messages).status_code == 404


def test_without_its_api_a_service_has_its_page_only(tmp_path: Path) -> None:
    flags = ("--no_api", "--context", "512", "--served_model_name", "mine", "--max-new-tokens=3")
    with running(tmp_path / "log", *flags) as started:
        for path in ("/", "/v1/chat/completions"):
            answer = _post(started, path, json={"prompt": "Hi", "messages": [{"role": "user", "content": "Hi"}]})
            assert answer.status_code == 404
            assert "api_disabled" in answer.text
        assert httpx.get(started.url).status_code == 200
        page = _post(started, "/webui/chat", json={"messages": [{"role": "user", "content": "Hi"}], "temperature": 0})
        assert page.json()["usage"]["completion_tokens"] == 3
        with pytest.raises(websocket.WebSocketBadStatusException) as caught:
            websocket.create_connection(started.socket_url, timeout=30)
        assert caught.value.status_code == 404


def test_without_the_template_text_is_continued(tmp_path: Path) -> None:
    with running(tmp_path / "log", "--no-template", "--context=512", "--system-prompt=") as started:
        fields = {"prompt": "Once upon a", "use_stream_chat": False, "temperature": 0, "max_new_tokens": 3}
        assert _post(started, json=fields).json()["response"].strip().startswith("time")


def test_a_busy_port_is_told_at_once(runtime: Runtime) -> None:
    ended = run_runtime(f"--port={runtime.port}")
    assert ended.returncode == 1
    assert str(runtime.port) in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_the_runtime_needs_no_django() -> None:
    code = "import sys, inference_gateway.runtime.server; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False).returncode == 0


def test_no_prompt_is_in_the_log(runtime: Runtime) -> None:
    _post(runtime, json={"prompt": "Xylophone-4711 is a secret.", "max_new_tokens": 2})
    _post(runtime, json={"prompt": "Xylophone-4711 " * 2500})
    assert "Xylophone" not in runtime.log
