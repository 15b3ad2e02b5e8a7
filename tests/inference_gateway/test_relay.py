"""OpenAI's questions through a real server to engines whose bytes are written here."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from inference_gateway.relay import MOST_HELD_BYTES
from tests.inference_gateway.raw_engine import HEAD, RawEngine, Turn
from tests.inference_gateway.rig import Deployed, Server, deploy
from tests.ports import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(120)

QUESTION: dict[str, Any] = {"model": "default", "messages": [{"role": "user", "content": "hi"}]}
TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"gr\xc3\xbc\xc3\x9f "},"finish_reason":null}],"x":1}\n\n'
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
COUNT = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
END = b"data: [DONE]\n\n"
ANSWER = {"id": "own", "object": "chat.completion", "odd": [1.50, "ü"], "choices": [{"index": 0, "logprobs": {"a": 1}}]}


def post(service: Deployed, stream: bool = True, path: str = "/v1/chat/completions", **fields: Any) -> httpx.Response:
    question = QUESTION | fields | ({"stream": True} if stream else {})
    return httpx.post(service.url + path, json=question, headers=service.auth, timeout=30)


async def answer(turn: Turn) -> None:
    """As engines do: events where a stream was asked for, cut where the network pleases."""
    if not turn.fields.get("stream"):
        await turn.send_json(ANSWER)
        return
    events = TOKEN * 3 + LAST + (COUNT if turn.fields["stream_options"]["include_usage"] else b"") + END
    await turn.send(HEAD)
    for start in range(0, len(events), 37):
        await turn.send_chunk(events[start : start + 37])
        await asyncio.sleep(0.001)
    await turn.send_chunk(b"")


def test_what_the_engine_sends_is_what_the_caller_gets(server: Server) -> None:
    with RawEngine(answer) as engine:
        service = deploy(server, engine.port)
        told = post(service)
        assert told.content == TOKEN * 3 + LAST + END
        assert told.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert told.headers["x-request-id"]
        counted = post(service, stream_options={"include_usage": True})
        assert counted.content == TOKEN * 3 + LAST + COUNT + END
        whole = post(service, stream=False, temperature=0.5, logit_bias={"5": 1})
        assert whole.json() == ANSWER
        assert engine.turns[-1].fields == QUESTION | {"temperature": 0.5, "logit_bias": {"5": 1}}
        assert engine.connections == 1
        flat = httpx.post(
            f"{server.url}/v1/chat/completions", json=QUESTION | {"model": service.row.name}, headers=service.auth
        )
        assert flat.json() == ANSWER


def test_tokens_one_by_one_pass_whatever_comes_between_them(server: Server) -> None:
    others = (b": ping\n\n", TOKEN * 2, TOKEN.replace(b"gr", b'\\"['), COUNT, TOKEN.replace(b"\n", b"\r\n"))
    events = [TOKEN.replace(b"gr", b"%d" % number) for number in range(60)]

    async def script(turn: Turn) -> None:
        await turn.send(HEAD)
        for number, event in enumerate(events):
            await turn.send_chunk(event)
            await asyncio.sleep(0.003)
            if number % 8 == 7:
                other = others[number // 8 % len(others)]
                at = number % len(other) if number % 3 else 0
                for part in filter(None, (other[:at], other[at:])):
                    await turn.send_chunk(part)
                    await asyncio.sleep(0.003)
        await turn.send_chunk(LAST + COUNT + END)
        await turn.send_chunk(b"")

    expected = b""
    for number, event in enumerate(events):
        expected += event
        if number % 8 == 7:
            expected += others[number // 8 % len(others)].replace(b"\r", b"")
    with RawEngine(script) as engine:
        service = deploy(server, engine.port)
        assert post(service, stream_options={"include_usage": True}).content == expected + LAST + COUNT + END
        assert post(service).content == expected.replace(COUNT, b"") + LAST + END
        assert engine.connections == 1


def test_a_long_answer_at_once_passes_whole(server: Server) -> None:
    text = "x" * (3 * MOST_HELD_BYTES)

    async def script(turn: Turn) -> None:
        await turn.send_json({"choices": [], "text": text})

    with RawEngine(script) as engine:
        assert post(deploy(server, engine.port), stream=False).json()["text"] == text


@pytest.mark.parametrize("fault", ["reset", "closed", "no end", "no HTTP"])
def test_an_answer_that_breaks_off_says_so(server: Server, fault: str) -> None:
    async def script(turn: Turn) -> None:
        await turn.send(HEAD)
        await turn.send_chunk(TOKEN)
        await asyncio.sleep(0.2)
        match fault:
            case "reset":
                turn.drop()
            case "closed":
                turn.end()
            case "no end":
                await turn.send_chunk(b"")
            case "no HTTP":
                await turn.send(b"zzz\r\n")

    with RawEngine(script) as engine:
        told = post(deploy(server, engine.port))
    assert told.status_code == 200
    first, last = told.content.split(b"\n\n")[:2]
    assert first + b"\n\n" == TOKEN
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "engine_stream_broken"
    assert b"[DONE]" not in told.content


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", ["dropped", "no HTTP", "503", "refused"])
def test_an_instance_that_fails_before_it_begins_is_told_or_passed_over(
    server: Server, fault: str, *, stream: bool
) -> None:
    async def fail(turn: Turn) -> None:
        if fault == "503":
            await turn.send_json({"error": {"message": "loading"}}, "503 Service Unavailable")
        elif fault == "no HTTP":
            await turn.send(b"hello\r\n\r\n")
        else:
            turn.drop()

    with RawEngine(fail) as bad, RawEngine(answer) as good:
        first = free_port() if fault == "refused" else bad.port
        statuses = {post(deploy(server, first, good.port), stream=stream).status_code for _ in range(4)}
        alone = post(deploy(server, first), stream=stream)
    if fault in ("503", "refused"):
        assert statuses == {200}
        assert alone.status_code == 503
        assert alone.headers["retry-after"]
    else:
        assert statuses <= {200, 502}
        assert alone.status_code == 502
    assert alone.json()["error"]["code"]


@pytest.mark.parametrize(
    ("status", "body", "told", "code"),
    [
        ("400 Bad Request", {"error": {"message": "no such role", "code": "bad_role"}}, 400, "bad_role"),
        ("404 Not Found", {"error": {"message": "no such model"}}, 404, "invalid_request"),
        ("429 Too Many Requests", {}, 429, "engine_busy"),
        ("500 Internal Server Error", {"error": {"message": "secret trace"}}, 502, "engine_error"),
    ],
)
def test_an_engines_refusal_is_told_in_openais_shape(
    server: Server, status: str, body: dict[str, Any], told: int, code: str
) -> None:
    async def script(turn: Turn) -> None:
        await turn.send_json(body, status)

    with RawEngine(script) as engine:
        answers = [post(deploy(server, engine.port), stream=stream) for stream in (True, False)]
    assert [one.status_code for one in answers] == [told, told]
    assert {one.json()["error"]["code"] for one in answers} == {code}
    assert "secret trace" not in answers[0].text


def test_a_kept_connection_that_was_dropped_is_not_the_callers_trouble(server: Server) -> None:
    async def script(turn: Turn) -> None:
        if turn.number in (1, 3):
            turn.drop()
        else:
            await answer(turn)

    with RawEngine(script) as engine:
        service = deploy(server, engine.port)
        assert [post(service).status_code for _ in range(3)] == [200, 200, 200]
        assert len(engine.turns) == 5


@pytest.mark.parametrize("stream", [True, False])
def test_a_caller_who_leaves_stops_the_engine(server: Server, *, stream: bool) -> None:
    ended: list[float] = []

    async def script(turn: Turn) -> None:
        if turn.fields.get("stream"):
            await turn.send(HEAD)
            await turn.send_chunk(TOKEN)
        await turn.wait_closed()
        ended.append(time.monotonic())

    with RawEngine(script) as engine:
        service = deploy(server, engine.port)
        body = json.dumps(QUESTION | {"stream": stream}).encode()
        address = urlsplit(service.url)
        with socket.create_connection((address.hostname, address.port)) as connection:
            head = f"POST {service.path}/v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: {service.token}\r\n"
            connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            wait_until(lambda: bool(engine.turns), "the engine is asked", 10)
            if stream:
                assert connection.recv(4096)
            left = time.monotonic()
        wait_until(lambda: bool(ended), "the engine is told", 10)
    assert ended[0] - left < 1


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_caller_who_does_not_read_makes_the_engine_wait(server: Server, *, is_alone: bool) -> None:
    piece = TOKEN.replace(b"gr", b"g" * 60_000) if is_alone else TOKEN * 100
    sent = 0

    async def script(turn: Turn) -> None:
        nonlocal sent
        await turn.send(HEAD)
        while True:
            await turn.send_chunk(piece)
            sent += len(piece)
            await asyncio.sleep(0.001 if is_alone else 0)  # so that the gateway reads one by one

    with RawEngine(script) as engine:
        service = deploy(server, engine.port)
        with httpx.stream(
            "POST", f"{service.url}/v1/chat/completions", json=QUESTION | {"stream": True}, headers=service.auth
        ) as told:
            assert told.status_code == 200
            before = -1
            while before != sent < 50_000_000:
                before = sent
                time.sleep(0.5)
        assert sent < 50_000_000


def test_an_answer_that_takes_too_long_is_ended(server: Server) -> None:
    async def script(turn: Turn) -> None:
        if turn.number:
            await turn.send(HEAD)
            await turn.send_chunk(TOKEN)
        await turn.wait_closed()

    with RawEngine(script) as engine:
        service = deploy(server, engine.port, metadata={"rpc": {"keepalive": 1000}})
        waiting = post(service)
        assert (waiting.status_code, waiting.json()["error"]["code"]) == (408, "request_timeout")
        begun = post(service)
        assert begun.status_code == 200
        assert begun.content.startswith(TOKEN)
        assert b"request_timeout" in begun.content
