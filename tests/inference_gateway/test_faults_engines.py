"""Faults of engines, on every way through the gateway. Numbers are of gateway.md §5.3.

22 on the short way is in ``test_relay``; what events cut anywhere become is in ``test_codecs_relay`` and
``test_http_engine``. 20 is in ``test_faults_leaving``, 25 in ``test_faults_retries``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.inference_gateway.asking import ASKED, CHAT
from tests.inference_gateway.raw_client import connect, read_to_end, render
from tests.inference_gateway.raw_engine import HEAD, RawEngine, Script, Turn
from tests.inference_gateway.rig import Deployed, Server, deploy, resident_kib

pytestmark = pytest.mark.timeout(120)
WAYS = ("relay", "eas", "anthropic", "passthrough")
RESTS = {"relay": CHAT, "passthrough": "/v1/chat/completions", "eas": "", "anthropic": "/v1/messages"}


def event(text: str) -> bytes:
    chunk = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
END = b"data: [DONE]\n\n"


def body_of(way: str, *, stream: bool = True) -> bytes:
    fields: dict[str, Any] = ASKED | {"stream": stream, "max_tokens": 9}
    if way == "eas":
        fields = {"prompt": "x", "use_stream_chat": stream}
    return json.dumps(fields).encode()


@contextlib.contextmanager
def served(server: Server, way: str, script: Script) -> Iterator[tuple[Deployed, RawEngine]]:
    with RawEngine(script) as engine:
        yield deploy(server, engine.port, engine=None if way == "passthrough" else "chat-llm"), engine


def ask(service: Deployed, way: str, *, stream: bool = True) -> httpx.Response:
    headers = service.auth | {"Content-Type": "application/json"}
    return httpx.post(service.url + RESTS[way], content=body_of(way, stream=stream), headers=headers, timeout=60)


# 8


def test_no_field_or_header_of_a_caller_chooses_where_a_question_goes(server: Server) -> None:
    async def script(turn: Turn) -> None:
        await turn.send_json({"choices": []})

    with socket.create_server(("127.0.0.1", 0)) as other, served(server, "relay", script) as (service, engine):
        other.settimeout(0.5)
        address = f"http://127.0.0.1:{other.getsockname()[1]}"
        named = dict.fromkeys(("api_base", "base_url", "api_url", "endpoint", "proxy", "upstream"), address)
        headers = dict.fromkeys(("x-portkey-custom-host", "x-custom-host", "x-upstream", "x-target-url"), address)
        headers |= {"x-forwarded-host": address[7:], "x-original-url": address, "host": address[7:]}
        for path in (CHAT, "/v1/embeddings"):
            answer = httpx.post(service.url + path, json=ASKED | named | {"input": "x"}, headers=service.auth | headers)
            assert answer.status_code in (200, 400)
        flat = ASKED | named | {"model": service.row.name}
        assert httpx.post(server.url + CHAT, json=flat, headers=service.auth | headers).status_code in (200, 400)
        with pytest.raises(TimeoutError):
            other.accept()
        assert engine.turns


# 9


@pytest.mark.parametrize("way", WAYS)
def test_a_redirect_of_an_engine_is_never_followed(server: Server, way: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.5)
        port = other.getsockname()[1]

        async def script(turn: Turn) -> None:
            where = f"location: http://127.0.0.1:{port}/latest/meta-data\r\n"
            await turn.send_json({}, "307 Temporary Redirect", where)

        with served(server, way, script) as (service, _):
            assert ask(service, way).status_code == (307 if way == "passthrough" else 502)
        with pytest.raises(TimeoutError):
            other.accept()


# 22


@pytest.mark.parametrize("fault", ["reset", "closed", "no end"])
@pytest.mark.parametrize("way", ["eas", "anthropic", "passthrough"])
def test_an_answer_that_breaks_off_never_looks_whole(server: Server, way: str, fault: str) -> None:
    async def script(turn: Turn) -> None:
        await turn.send(HEAD)
        await turn.send_chunk(event("half "))
        await asyncio.sleep(0.1)
        if fault == "reset":
            turn.drop()
        elif fault == "closed":
            turn.end()
        else:
            await turn.send_chunk(b"")

    with served(server, way, script) as (service, _), connect(server) as connection:
        body = body_of(way)
        connection.sendall(
            render(service.path + RESTS[way], service.token, body, "connection: close\r\ncontent-type: text/json\r\n")
        )
        told = read_to_end(connection)
    assert b"half " in told
    if way == "passthrough":
        # It speaks for itself: what it ended is ended, and what it did not is a dropped connection.
        assert told.endswith(b"0\r\n\r\n") == (fault == "no end")
    elif way == "anthropic":
        assert b"event: error" in told
        assert b"message_stop" not in told
    else:
        assert b"engine_stream_broken" in told


# 23


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_events_cut_in_the_midst_of_a_character_come_whole(server: Server, way: str, newline: bytes) -> None:
    text = "grüß dich 世界 👋 "
    events = (b": comment\n\n" + event(text) + b"data:\n\n" + b"data: \n\n" + event(text) + LAST + END).replace(
        b"\n", newline
    )

    async def script(turn: Turn) -> None:
        await turn.send(HEAD)
        for at in range(0, len(events), 5):
            await turn.send_chunk(events[at : at + 5])
            await asyncio.sleep(0)
        await turn.send_chunk(b"")

    with served(server, way, script) as (service, _):
        told = ask(service, way)
    assert told.status_code == 200
    if way == "passthrough":
        assert told.content == events
    elif way == "relay":
        assert told.content == events.replace(b"\r\n", b"\n")  # some clients know no other line end
    else:
        said = json.dumps(text)[1:-1] if text.encode() not in told.content else text
        assert told.text.count(said) >= 2
        assert "error" not in told.text


@pytest.mark.parametrize("way", WAYS)
def test_a_line_without_end_takes_no_memory_and_is_passed_or_told(server: Server, way: str) -> None:
    line = b"data: " + b"x" * 10_000_000

    async def script(turn: Turn) -> None:
        await turn.send(HEAD)
        await turn.send_chunk(event("x"))
        for at in range(0, len(line), 60_000):
            await turn.send_chunk(line[at : at + 60_000])
        await turn.send_chunk(b"\n\n" + LAST + END)
        await turn.send_chunk(b"")

    with served(server, way, script) as (service, _):
        before = resident_kib(server)
        told = ask(service, way)
        assert resident_kib(server) - before < 50_000  # a few copies of it, and what threads of the allocator keep
    assert told.status_code == 200
    if way in ("relay", "passthrough"):
        assert told.content == event("x") + line + b"\n\n" + LAST + END
    else:
        assert b"error" in told.content


@pytest.mark.parametrize("way", WAYS)
def test_bytes_that_are_no_text_come_through_or_are_told(server: Server, way: str) -> None:
    odd = b'data: {"choices":[{"index":0,"delta":{"content":"\xff\xfe"}}]}\n\n'

    async def script(turn: Turn) -> None:
        await turn.send(HEAD)
        await turn.send_chunk(event("x") + odd + LAST + END)
        await turn.send_chunk(b"")

    with served(server, way, script) as (service, _):
        told = ask(service, way)
    assert told.status_code in (200, 502)
    if way in ("relay", "passthrough"):
        assert told.content == event("x") + odd + LAST + END
    else:
        told.content.decode()  # what we write ourselves is text


# 24


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_an_engine_s_head_but_what_is_the_caller_s_comes_through(server: Server, way: str) -> None:
    async def script(turn: Turn) -> None:
        data = event("x") + LAST + END
        await turn.send(
            b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nset-cookie: slipway_sessionid=1\r\n"
            b"connection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nupgrade: h2c\r\nproxy-authenticate: Basic\r\n"
            b"x-request-id: false\r\ntrailer: x-t\r\nte: trailers\r\ncontent-length: %d\r\n\r\n%b" % (len(data), data)
        )

    with served(server, way, script) as (service, _):
        told = ask(service, way)
    assert told.status_code == 200
    assert b"x" in told.content
    forbidden = {"x-hop", "keep-alive", "upgrade", "proxy-authenticate", "trailer", "te", "link"}
    assert not forbidden & {name.lower() for name in told.headers}
    assert "sessionid" not in told.headers.get("set-cookie", "")
    assert told.headers["x-request-id"] != "false"
    assert told.headers.get_list("x-request-id") == [told.headers["x-request-id"]]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_body_behind_an_answer_that_has_none_is_nobody_s(server: Server, way: str, status: str) -> None:
    """It would be the next caller's answer, where connections are shared."""

    async def script(turn: Turn) -> None:
        smuggled = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled"
        await turn.send(f"HTTP/1.1 {status}\r\ncontent-length: {len(smuggled)}\r\n\r\n".encode() + smuggled)
        await asyncio.sleep(0.1)

    with served(server, way, script) as (service, _):
        told = [ask(service, way) for _ in range(3)]
    assert all("smuggled" not in one.text for one in told)
    assert {one.status_code for one in told} == ({int(status[:3])} if way == "passthrough" else {502})


@pytest.mark.parametrize("way", WAYS)
def test_headers_without_measure_of_an_engine_are_502(server: Server, way: str) -> None:
    async def script(turn: Turn) -> None:
        await turn.send(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 2_000_000 + b"\r\ncontent-length: 0\r\n\r\n")

    with served(server, way, script) as (service, _):
        before = resident_kib(server)
        assert ask(service, way).status_code == 502
        assert resident_kib(server) - before < 20_000
