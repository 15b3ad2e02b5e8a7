"""``--export-history-path`` of a real runtime with the real model: what is in the folder, however it ends."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import websocket

from inference_gateway.runtime.history_export import HistoryExport, render_line
from tests.inference_gateway.runtime_process import Runtime, run_runtime, running
from tests.waiting import wait_until

ENDLESS: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Tell a story."}],
    "max_tokens": 8000,
    "ignore_eos": True,
    "stream": True,
}


def read_lines(path: Path) -> list[Any]:
    """Every line has to be whole JSON."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def read_finished(folder: Path) -> list[Any]:
    return [record for path in sorted(folder.glob("*.jsonl")) for record in read_lines(path)]


def read_all(folder: Path) -> list[Any]:
    """What is there at this moment, finished or not."""
    return [json.loads(line) for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]


def ask(runtime: Runtime, prompt: str, **fields: Any) -> str:
    fields = {"prompt": prompt, "use_stream_chat": False, "max_new_tokens": 4, "temperature": 0, **fields}
    answer = httpx.post(runtime.url, json=fields, timeout=60)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["response"])


def export_flags(folder: Path, interval: int = 3600) -> list[str]:
    return [f"--export_history_path={folder}", "--export-interval", str(interval), "--context=512"]


def test_every_way_in_is_recorded_and_sigterm_finishes_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "history"
    folder.mkdir()
    before = datetime.now(UTC)
    with running(tmp_path / "log", *export_flags(folder), "--system-prompt=Be kind.") as started:
        eas = ask(started, "Say é.", history=[["My name is Zoë.", "Hello Zoë!"]], top_k=3, temperature=0.5)
        with openai.OpenAI(base_url=f"{started.url}/v1", api_key="any", timeout=60) as client:
            asked: Any = [{"role": "user", "content": "Hi"}]
            chunks = list(
                client.chat.completions.create(
                    model="m", messages=asked, n=2, seed=7, stop="\n", max_tokens=3, stream=True
                )
            )
            client.completions.create(model="m", prompt="Once upon a", max_tokens=2)
        assert chunks
        connection = websocket.create_connection(started.socket_url, timeout=60)
        for prompt in ("Say a word.", "And another."):
            connection.send(json.dumps({"prompt": prompt, "max_new_tokens": 3}))
            while connection.recv() != "<EOS>":
                pass
        connection.close()
        page = {"messages": [{"role": "user", "content": "From the page"}], "max_tokens": 2}
        httpx.post(f"{started.url}/webui/chat", json=page, timeout=60)
        assert [path.suffix for path in folder.iterdir()] == [".part"]
        assert started.terminate() == 0
    (path,) = folder.iterdir()
    assert path.suffix == ".jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    records = read_lines(path)
    assert [record["protocol"] for record in records] == ["eas", "openai", "openai", "websocket", "websocket", "webui"]
    assert all(record["ending"] == "finished" and record["error"] is None for record in records)
    assert all(record["usage"]["completion_tokens"] > 0 for record in records)
    first, chat, completion, _, second_round, _ = records
    assert first["model"] == "SmolLM2-135M-Instruct"
    assert [message["role"] for message in first["messages"]] == ["system", "user", "assistant", "user"]
    assert [message["content"] for message in first["messages"][1:]] == ["My name is Zoë.", "Hello Zoë!", "Say é."]
    assert first["answers"][0]["text"] == eas
    assert (first["parameters"]["top_k"], first["parameters"]["max_tokens"]) == (3, 4)
    assert before <= datetime.fromisoformat(first["asked_at"]) <= datetime.fromisoformat(first["answered_at"])
    assert (len(chat["answers"]), chat["parameters"]["seed"], chat["parameters"]["stop"]) == (2, 7, ["\n"])
    assert (completion["prompt"], completion["messages"]) == ("Once upon a", [])
    assert completion["answers"][0]["finish_reason"] == "length"
    assert [message["content"] for message in second_round["messages"][1::2]] == ["Say a word.", "And another."]


def test_kill_9_loses_nothing_that_was_answered_and_the_next_start_finishes_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "history"
    folder.mkdir()
    known: set[str] = set()
    with running(tmp_path / "log", *export_flags(folder)) as started, ThreadPoolExecutor(3) as pool:
        enough = threading.Event()

        def ask_until_killed(caller: int) -> None:
            for number in range(1000):
                prompt = f"Question {caller}-{number}"
                try:
                    ask(started, prompt)
                except httpx.HTTPError:
                    return
                known.add(prompt)
                if len(known) > 8:
                    enough.set()

        asking = [pool.submit(ask_until_killed, caller) for caller in range(3)]
        assert enough.wait(60)
        os.kill(started.process.pid, signal.SIGKILL)
        for future in asking:
            future.result(timeout=30)
    (part,) = folder.iterdir()
    assert part.suffix == ".part"
    with part.open("ab") as file:  # As a machine that loses its power leaves it.
        file.write(b'{"id":"cut o')
    with running(tmp_path / "log2", *export_flags(folder)) as started:
        (path,) = folder.iterdir()
        assert path.suffix == ".jsonl"
        assert known <= {record["messages"][-1]["content"] for record in read_lines(path)}
        assert started.terminate() == 0
    assert len(list(folder.iterdir())) == 1


def test_an_answer_that_its_caller_left_is_recorded_as_far_as_it_came(tmp_path: Path) -> None:
    folder = tmp_path / "history"
    folder.mkdir()
    with running(tmp_path / "log", *export_flags(folder), "--slots=1") as started:
        with httpx.stream("POST", f"{started.url}/v1/chat/completions", json=ENDLESS, timeout=60) as answer:
            lines = answer.iter_lines()
            for _ in range(12):
                next(lines)
        wait_until(lambda: len(read_all(folder)) == 1, "the answer left is recorded", 10)
        connection = websocket.create_connection(started.socket_url, timeout=30)
        connection.send(json.dumps({"prompt": "Count from 1 to 1000 in words.", "max_new_tokens": 8000}))
        assert connection.recv()
        connection.close()
        wait_until(lambda: len(read_all(folder)) == 2, "the round left is recorded", 10)
        refused = httpx.post(started.url, json={"prompt": "word " * 2000, "use_stream_chat": False}, timeout=60)
        assert refused.status_code == 400
        assert started.terminate() == 0
    left, round_left, failed = read_finished(folder)
    for record in (left, round_left):
        assert record["ending"] == "cancelled"
        assert record["answers"][0]["text"]
        assert record["answers"][0]["finish_reason"] is None
    assert (failed["ending"], failed["error"]) == ("failed", "context_length_exceeded")


def test_a_second_sigterm_records_what_it_cuts_off(tmp_path: Path) -> None:
    folder = tmp_path / "history"
    folder.mkdir()
    with running(tmp_path / "log", *export_flags(folder)) as started:
        body = ENDLESS | {"max_tokens": 400}
        with httpx.stream("POST", f"{started.url}/v1/chat/completions", json=body, timeout=60) as answer:
            lines = answer.iter_lines()
            for _ in range(8):
                next(lines)
            started.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "Stopping" in started.log, "the drain has begun")
            started.process.send_signal(signal.SIGTERM)
            started.process.wait(timeout=30)
    (record,) = read_finished(folder)
    assert record["answers"][0]["text"]


def test_an_interval_s_file_is_finished_at_its_end_without_another_question(tmp_path: Path) -> None:
    folder = tmp_path / "history"
    folder.mkdir()
    with running(tmp_path / "log", *export_flags(folder, interval=1)) as started:
        ask(started, "One")
        wait_until(lambda: len(read_finished(folder)) == 1, "the first file is finished", 10)
        ask(started, "Two")
        wait_until(lambda: len(read_finished(folder)) == 2, "the second file is finished", 10)
        assert len({path.name for path in folder.iterdir()}) == 2


def test_two_instances_share_a_folder(tmp_path: Path) -> None:
    """Neither takes the file of the other for one left behind."""
    folder = tmp_path / "history"
    folder.mkdir()
    with running(tmp_path / "log", *export_flags(folder)) as first:
        ask(first, "One")
        with running(tmp_path / "log2", *export_flags(folder)) as second:
            ask(second, "Two")
            ask(first, "Three")
            assert second.terminate() == 0
            assert first.terminate() == 0
    prompts = [[record["messages"][-1]["content"] for record in read_lines(path)] for path in folder.iterdir()]
    assert sorted(prompts) == [["One", "Three"], ["Two"]]


@pytest.mark.parametrize(("place", "reason"), [("nowhere", "does not exist"), ("file", "is no folder")])
def test_a_folder_that_cannot_be_used_ends_with_1_and_one_line(tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "file").write_text("")
    ended = run_runtime("--port=0", f"--export-history-path={tmp_path / place}")
    assert ended.returncode == 1
    assert f"--export-history-path {tmp_path / place} {reason}" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_folder_where_nothing_can_be_written_is_told_at_the_start() -> None:
    ended = run_runtime("--port=0", "--export-history-path=/proc")  # Not even root can create a file there.
    assert ended.returncode == 1
    assert "cannot be written to" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_half_a_surrogate_pair_stays_json() -> None:
    line = render_line({"text": "a\ud800é"})
    assert json.loads(line.decode("utf-8")) == {"text": "a\ud800é"}


def test_a_file_that_was_removed_is_begun_anew(tmp_path: Path) -> None:
    export = HistoryExport(tmp_path, 3600)
    export.open()
    try:
        export.submit({"n": 1}).result(10)
        (part,) = tmp_path.iterdir()
        part.unlink()
        export.submit({"n": 2}).result(10)
    finally:
        export.close()
    assert read_finished(tmp_path) == [{"n": 2}]


def test_half_a_line_on_a_full_disk_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full for one write: half of it arrives, then none."""
    export = HistoryExport(tmp_path, 3600)
    export.open()
    real_write, failing = os.write, [True, False]

    def write(descriptor: int, data: memoryview) -> int:
        if not failing:
            return real_write(descriptor, data)
        if failing.pop(0):
            return real_write(descriptor, data[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("inference_gateway.runtime.history_export.os.write", write)
    try:
        export.submit({"n": "lost"}).result(10)
        export.submit({"n": "kept"}).result(10)
    finally:
        export.close()
    assert read_finished(tmp_path) == [{"n": "kept"}]
