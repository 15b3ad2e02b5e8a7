"""What is logged while a request is answered has the id that its answer has."""

from __future__ import annotations

import contextlib
import logging
import threading

import httpx
import pytest
from django.test import Client

from console.log_lines import LineFormatter
from deployments.request_ids import request_id
from tests.inference_gateway.raw_engine import HEAD, RawEngine, Turn
from tests.inference_gateway.rig import Server, deploy
from tests.waiting import wait_until

ASKED = {"model": "x", "stream": True, "messages": [{"role": "user", "content": "x"}]}


async def break_off(turn: Turn) -> None:
    await turn.send(HEAD)
    await turn.send_chunk(b'data: {"choices":[{"index":0,"delta":{"content":"word"}}]}\n\n')
    turn.drop()


def test_the_line_about_a_broken_answer_has_the_id_of_its_request(server: Server) -> None:
    with RawEngine(break_off) as engine:
        chat = deploy(server, engine.port)
        headers = chat.auth | {"X-Request-Id": "told-in-the-log-1"}
        answer = httpx.post(f"{chat.url}/v1/chat/completions", json=ASKED, headers=headers, timeout=30)
    assert answer.headers["X-Request-Id"] == "told-in-the-log-1"
    wait_until(lambda: "broke off" in server.log, "the line is there", 10)
    lines = [line for line in server.log.splitlines() if "broke off" in line]
    assert " request=told-in-the-log-1 " in lines[-1]


@pytest.mark.parametrize("path", ["", "/v1/chat/completions", "/v1/messages", "/anything"])
def test_an_engine_is_told_the_id_whatever_the_dialect(server: Server, path: str) -> None:
    with RawEngine(break_off) as engine:
        chat = deploy(server, engine.port, engine=None if path == "/anything" else "chat-llm")
        headers = chat.auth | {"X-Request-Id": "told-to-the-engine-1"}
        asked = ASKED | {"max_tokens": 5, "prompt": "x"}
        with contextlib.suppress(httpx.RemoteProtocolError):  # it breaks off, as it should
            httpx.post(f"{chat.url}{path}", json=asked, headers=headers, timeout=30)
        heads = [turn.head for turn in engine.turns]
    assert [head.lower().count(b"x-request-id: told-to-the-engine-1\r\n") for head in heads] == [1]


def test_each_request_has_an_id_of_its_own_also_in_a_thread_that_works_for_another() -> None:
    request_id.set("")
    record = logging.LogRecord("any", logging.INFO, "", 0, "text", (), None)
    assert LineFormatter().format(record).endswith(" any text")
    seen = []

    def work(name: str) -> None:
        request_id.set(name)
        seen.append(LineFormatter().format(record))

    for name in ("one", "two"):
        thread = threading.Thread(target=work, args=(name,))
        thread.start()
        thread.join()
    assert [line.rpartition("any ")[2] for line in seen] == ["request=one text", "request=two text"]
    assert LineFormatter().format(record).endswith(" any text")


def test_what_the_console_logs_of_a_page_has_the_id_that_the_page_shows(db: None) -> None:
    lines: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(LineFormatter().format(record))

    handler = Keeping()
    logging.getLogger("django.request").addHandler(handler)
    try:
        answer = Client().get("/nowhere-at-all")
    finally:
        logging.getLogger("django.request").removeHandler(handler)
    assert answer.status_code == 404
    assert [f"request={answer['X-Request-Id']} " in line for line in lines] == [True]
