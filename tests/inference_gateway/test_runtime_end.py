"""How a chat-llm runtime ends: drained, with its engine, or at once because it cannot begin."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import httpx
import pytest
import websocket

from inference_gateway.runtime.model_files import find_model_files
from tests.inference_gateway.runtime_process import ENDLESS, is_alive, receive_round, run_runtime, running
from tests.waiting import wait_until


def test_sigterm_lets_running_answers_end(tmp_path: Path) -> None:
    with running(tmp_path / "log", "--context=512") as started:
        engine = started.find_engine_pid()
        assert engine is not None
        idle = websocket.create_connection(started.socket_url, timeout=30)
        talking = websocket.create_connection(started.socket_url, timeout=30)
        talking.send(json.dumps({"prompt": "Tell a story.", "max_new_tokens": 60}))
        body = ENDLESS | {"max_tokens": 100, "stream": True}
        with httpx.stream("POST", f"{started.url}/v1/chat/completions", json=body, timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            started.process.send_signal(signal.SIGTERM)
            wait_until(lambda: not _accepts(started.port), "the port is closed", 10)
            rest = list(lines)
        assert "data: [DONE]" in rest
        assert sum(line.startswith("data: {") for line in rest) >= 99
        assert receive_round(talking)
        for connection in (idle, talking):
            opcode, data = connection.recv_data(control_frame=True)
            assert (opcode, int.from_bytes(data[:2], "big")) == (websocket.ABNF.OPCODE_CLOSE, 1012)
            connection.close()
        assert started.process.wait(timeout=30) == 0
        wait_until(lambda: not is_alive(engine), "the engine is gone", 10)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def test_an_engine_does_not_outlive_its_runtime(tmp_path: Path) -> None:
    with running(tmp_path / "log", "--context=512") as started:
        engine = started.find_engine_pid()
        assert engine is not None
        started.process.kill()
        started.process.wait()
        wait_until(lambda: not is_alive(engine), "the engine is gone", 10)


def test_a_runtime_ends_with_its_engine_and_says_so(tmp_path: Path) -> None:
    with running(tmp_path / "log", "--context=512") as started:
        engine = started.find_engine_pid()
        assert engine is not None
        os.kill(engine, signal.SIGKILL)
        assert started.process.wait(timeout=30) == 1
        assert "The engine of SmolLM2-135M-Instruct ended" in started.log


def test_a_stop_of_the_whole_group_drains_too(tmp_path: Path) -> None:
    """A supervisor's signal reaches the engine as well, which must go on until the answers have ended."""
    with running(tmp_path / "log", "--context=512") as started:
        engine = started.find_engine_pid()
        assert engine is not None
        body = ENDLESS | {"max_tokens": 60, "stream": True}
        with httpx.stream("POST", f"{started.url}/v1/chat/completions", json=body, timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            os.kill(engine, signal.SIGTERM)
            started.process.send_signal(signal.SIGTERM)
            assert "data: [DONE]" in list(lines)
        assert started.process.wait(timeout=30) == 0


@pytest.mark.parametrize("program", ["webui_server", "api_server"])
@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--export_interval=0"], "--export-interval"),
        (["--precision", "fp16"], "--precision"),
        (["--backend=abacus"], "--backend"),
        (["--temperature=hot"], "--temperature"),
    ],
)
def test_a_flag_that_cannot_be_obeyed_ends_with_2_and_one_line(program: str, flags: list[str], named: str) -> None:
    ended = run_runtime(*flags, program=program)
    assert ended.returncode == 2
    assert named in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_model_that_is_not_there_ends_with_1_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    for path in (str(tmp_path), "no-such-model"):
        ended = run_runtime(f"--model-path={path}")
        assert ended.returncode == 1
        assert len(ended.stderr.splitlines()) == 1


def test_a_damaged_model_ends_with_1_and_the_engine_s_reason(tmp_path: Path) -> None:
    bundled = find_model_files("SmolLM2-135M-Instruct").path
    damaged = tmp_path / "damaged.gguf"
    with bundled.open("rb") as source:
        damaged.write_bytes(source.read(4 * 1024 * 1024))
    ended = run_runtime("--port=0", f"--model-path={damaged}")
    assert ended.returncode == 1
    assert "could not be loaded" in ended.stderr.splitlines()[-1]
