"""EAS's dialect as its page's sample clients use it (eas.md §11, lines 1 to 5), with the clients they use."""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket

from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy

CANNED = [["Can you tell me something about San Francisco?", "It is a city in California."]]
DELTA = {"gateway_policy": {"eas_stream": "delta"}}


@pytest.fixture
def chat(server: Server, runtime_port: int) -> Deployed:
    return deploy(server, runtime_port)


def post(service: Deployed, body: Any, **options: Any) -> requests.Response:
    """As the samples post: the token as it is, a connection for each request."""
    headers = {"Authorization": service.token, "Connection": "close", **options.pop("headers", {})}
    return requests.post(service.url, headers=headers, timeout=60, allow_redirects=False, json=body, **options)


def read_frames(response: requests.Response) -> list[dict[str, Any]]:
    """As the samples read a stream."""
    items = response.iter_lines(chunk_size=8192, decode_unicode=False, delimiter=b"\0")
    return [json.loads(item.decode("utf-8")) for item in items if item]


def sample_of(prompt: str, **more: Any) -> dict[str, Any]:
    fields = {
        "prompt": prompt,
        "system_prompt": "Act like you are programmer with 5+ years of experience.",
        "history": CANNED,
        "top_k": 1,
        "top_p": 0.8,
        "temperature": 0,
        "max_new_tokens": 12,
        "use_stream_chat": False,
        "do_sample": True,
        "use_cache": True,
    }
    return fields | more


def test_the_sample_without_streaming(chat: Deployed) -> None:
    first = post(chat, sample_of("Name a color.")).json()
    assert first["history"] == [*CANNED, ["Name a color.", first["response"]]]
    second = post(chat, sample_of("Another.", history=first["history"])).json()
    assert second["history"][:-1] == first["history"]


@pytest.mark.parametrize("is_stream", [True, "True", "true"])
def test_the_sample_with_streaming(chat: Deployed, is_stream: object) -> None:
    with post(chat, sample_of("Name a color.", use_stream_chat=is_stream), stream=True) as response:
        frames = read_frames(response)
    texts = [frame["response"] for frame in frames]
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in response.headers
    assert len(texts) > 1
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    assert [frame["history"][-1] for frame in frames] == [["Name a color.", text] for text in texts]


def test_a_streaming_reader_understands_an_answer_that_is_not_streamed(chat: Deployed) -> None:
    with post(chat, sample_of("Name a color."), stream=True) as response:
        assert len(read_frames(response)) == 1


def test_a_form_posted_by_requests_is_answered(chat: Deployed) -> None:
    fields = {"prompt": "Name a color.", "use_stream_chat": "False", "max_new_tokens": "8", "history": "[]"}
    answer = post(chat, None, data=fields).json()
    assert answer["history"] == [["Name a color.", answer["response"]]]


def test_the_legacy_dialect_is_answered_with_bare_text(server: Server, endless: EndlessEngine) -> None:
    service = deploy(server, endless.port)
    endless.ends_after = 3
    fields = {"input_ids": "Name a color.", "max_length": 9, "num_beams": 1, "repetition_penalty": 1.1, "top_k": 5}
    for options in ({"json": fields}, {"json": None, "data": fields}):
        response = requests.post(service.url, headers=service.auth, timeout=60, **options)
        assert (response.status_code, response.text) == (200, "word word word ")
        assert response.headers["Content-Type"].startswith("text/plain")
    asked = endless.asked[0]
    assert (asked["messages"][-1]["content"], asked["max_tokens"]) == ("Name a color.", 9)
    assert asked["repetition_penalty"] == 1.1


def test_the_delta_switch_sends_each_piece_once(server: Server, endless: EndlessEngine) -> None:
    service = deploy(server, endless.port, networking=DELTA)
    endless.ends_after = 3
    with post(service, {"prompt": "x"}, stream=True) as response:
        frames = read_frames(response)
    assert [frame["response"] for frame in frames] == ["word "] * 3
    assert frames[-1]["history"] == [["x", "word word word "]]
    whole = post(service, {"prompt": "x", "use_stream_chat": False}).json()
    assert whole["response"] == "word word word "


def test_each_chunk_is_one_whole_frame_and_comes_at_once(server: Server, endless: EndlessEngine) -> None:
    """A client that takes each chunk for one object works; the engine goes on writing meanwhile."""
    service = deploy(server, endless.port)
    with post(service, {"prompt": "größe 世界"}, stream=True) as response:
        pieces = response.raw.read_chunked()  # whoever lets go of it hangs up
        chunks = [next(pieces) for _ in range(5)]
        assert endless.active == 1
    assert all(chunk.endswith(b"\0") and chunk.count(b"\0") == 1 for chunk in chunks)
    assert [json.loads(chunk[:-1])["history"][-1][0] for chunk in chunks] == ["größe 世界"] * 5


def test_text_beyond_ascii_survives_a_reader_of_single_bytes(server: Server, chat: Deployed) -> None:
    body = json.dumps({"prompt": "Say 世界 👋", "max_new_tokens": 6}, ensure_ascii=False).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        head = f"POST {chat.path} HTTP/1.1\r\nHost: x\r\nAuthorization: {chat.token}\r\nConnection: close\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        for byte in body:  # split wherever it may be
            connection.sendall(bytes([byte]))
        answer = b""
        while piece := connection.recv(1):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200")
    assert "Say 世界 👋".encode() in answer


@pytest.mark.parametrize("is_stream", [True, False])
def test_the_websocket_sample_runs_in_three_processes_at_once(chat: Deployed, is_stream: bool) -> None:
    sample = Path(__file__).with_name("websocket_sample.py")
    question = json.dumps(sample_of("Name a color.", use_stream_chat=is_stream))
    command = [sys.executable, str(sample), chat.url.replace("http", "ws"), chat.token, question]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    seen = [json.loads(process.communicate(timeout=90)[0]) for process in running]
    assert {(one["opcode"], one["code"]) for one in seen} == {(websocket.ABNF.OPCODE_CLOSE, 1000)}
    assert all(one["messages"] > 2 if is_stream else one["messages"] == 2 for one in seen)


def test_a_ping_is_answered_while_the_engine_writes(server: Server, endless: EndlessEngine) -> None:
    service = deploy(server, endless.port)
    connection = websocket.create_connection(
        service.url.replace("http", "ws"), header=[f"Authorization: {service.token}"], timeout=10
    )
    connection.send("x")
    assert connection.recv() == "word "
    connection.ping("still there?")
    for _ in range(200):
        opcode, data = connection.recv_data(control_frame=True)
        if opcode == websocket.ABNF.OPCODE_PONG:
            break
    assert (opcode, data) == (websocket.ABNF.OPCODE_PONG, b"still there?")
    assert endless.active == 1
    connection.close()
