"""More requests than a process can take. Fault 27 of gateway.md §5.3; bench measures how much is answered then."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import time
from collections import Counter

import pytest

from inference_gateway import server_protocols
from inference_gateway.gateway import Gateway
from inference_gateway.http import Receive, Scope, Send, read_body, send_body
from inference_gateway.pressure import (
    CALM_SECONDS,
    LOAD,
    LONG_TURN_SECONDS,
    LONG_TURNS,
    MOST_AT_ONCE,
    Load,
    read_simple_post,
    refusal_for,
)
from tests.inference_gateway.raw_client import render
from tests.inference_gateway.test_server_protocols import serving
from tests.waiting import wait_until_async

pytestmark = pytest.mark.timeout(120)


def press(load: Load) -> None:
    for number in range(LONG_TURNS):
        load.note_turn(2 * LONG_TURN_SECONDS, number)


def test_one_long_turn_is_no_pressure_and_several_in_a_row_are() -> None:
    load = Load()
    for _ in range(3 * LONG_TURNS):
        load.note_turn(10 * LONG_TURN_SECONDS, 1.0)
        load.note_turn(0.0, 1.0)
    assert not load.is_high
    press(load)
    assert load.is_high


async def test_each_turn_takes_so_many_and_the_next_one_as_many_again() -> None:
    load, loop = Load(), asyncio.get_running_loop()
    for turn in range(3):
        admitted = [load.admits(loop) for _ in range(MOST_AT_ONCE + 10)]
        assert admitted == [True] * MOST_AT_ONCE + [False] * 10
        assert load.refused == 10 * (turn + 1)
        await asyncio.sleep(0)


def test_it_ends_when_nothing_was_refused_for_a_while() -> None:
    load = Load()
    press(load)
    load.refused = 5
    load.note_turn(0.0, 100.0)
    load.note_turn(0.0, 100.0 + CALM_SECONDS / 2)
    assert load.is_high
    load.note_turn(0.0, 100.0 + CALM_SECONDS)
    assert not load.is_high


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("valkey")
async def test_a_gateway_notices_by_itself_that_its_turns_are_long_and_that_they_are_short_again() -> None:
    async def is_over() -> bool:
        return not LOAD.is_high

    gateway = Gateway()
    await gateway.start()
    try:
        async with asyncio.timeout(30):
            while not LOAD.is_high:
                time.sleep(2 * LONG_TURN_SECONDS)  # noqa: ASYNC251 - a turn that is long
                await asyncio.sleep(0)
        await wait_until_async(is_over, "all is well again", 30)
    finally:
        await gateway.stop()


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (render("/v1/chat/completions", "t", b"{}"), b"/v1/chat/completions"),
        (render("/v1/chat/completions?a=1", "t", b""), b"/v1/chat/completions?a=1"),
        (render("/v1/x", "t", b"{}")[:-1], None),
        (render("/v1/x", "t", b"{}") + b"P", None),
        (render("/v1/x", "t", b"{}", "transfer-encoding: chunked\r\n"), None),
        (render("/v1/x", "t", b"{}", "Content-Length: 2\r\n"), None),
        (render("/v1/x", "t", b"{}", "upgrade: h2c\r\n"), None),
        (render("/v1/x", "t", b"{}", "connection: close\r\n"), None),
        (render("/v1/x", "t", b"", method="GET"), None),
        (b"POST /v1/x HTTP/1.1\r\nhost: x\r\n\r\n", None),
    ],
)
def test_only_what_is_here_whole_is_refused_ahead_of_the_parser(data: bytes, path: bytes | None) -> None:
    assert read_simple_post(data) == path


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        (b"/v1/chat/completions", {"error", "detail"}),
        (b"/api/predict/a/v1/chat/completions", {"error", "detail"}),
        (b"/api/predict/a/v1/messages", {"type", "error"}),
        (b"/v1/messages", {"type", "error"}),
        (b"/api/predict/a", {"code", "message"}),
        (b"/api/predict/a/", {"code", "message"}),
        (b"/console", None),
        (b"/api/v2/services", None),
    ],
)
def test_a_refusal_speaks_the_dialect_of_its_path(path: bytes, shape: set[str] | None) -> None:
    told = refusal_for(path)
    if shape is None:
        assert told is None
    else:
        assert told is not None
        head, _, body = told.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1" in head
        assert f"content-length: {len(body)}".encode() in head
        assert set(json.loads(body)) == shape


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await read_body(scope, receive)
    await send_body(send, 200, b"{}")


def ask_at_once(port: int, requests: list[bytes]) -> list[socket.socket]:
    """All of them lie in the server's sockets before it looks at any."""
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in requests]
    for connection, request in zip(connections, requests, strict=True):
        connection.sendall(request)
    return connections


def read_statuses(connections: list[socket.socket]) -> Counter[int]:
    statuses: Counter[int] = Counter()
    for connection in connections:
        connection.settimeout(20)
        response = http.client.HTTPResponse(connection)
        response.begin()
        response.read()
        statuses[response.status] += 1
    return statuses


async def test_under_pressure_questions_beyond_the_bound_are_503_and_readiness_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = Load()
    monkeypatch.setattr(server_protocols, "LOAD", load)
    question, look = render("/v1/chat/completions", "t", b"{}"), render("/readyz", "t", method="GET")
    async with serving(answer) as port:

        async def statuses_of(*requests: bytes) -> Counter[int]:
            connections = ask_at_once(port, list(requests))
            try:
                return await asyncio.to_thread(read_statuses, connections)
            finally:
                for connection in connections:
                    connection.close()

        many = [question] * (MOST_AT_ONCE + 40)
        assert await statuses_of(*many) == {200: MOST_AT_ONCE + 40}
        press(load)
        told = await statuses_of(*many, *[look] * 5)
        # New connections are taken over some turns, and each turn takes as many.
        assert told[200] >= MOST_AT_ONCE + 5
        assert set(told) <= {200, 503}
        kept = [socket.create_connection(("127.0.0.1", port)) for _ in many]
        try:
            for cut in (len(question), len(question) - 2):  # whole, and as some clients send it
                before = load.refused
                while load.refused == before:  # the system may bring a few of them later
                    for connection in kept:
                        connection.sendall(question[:cut])
                    if cut < len(question):
                        await asyncio.sleep(0.2)
                        for connection in kept:
                            connection.sendall(question[cut:])
                    told = await asyncio.to_thread(read_statuses, kept)  # refused or taken, on the same connections
                    assert sum(told.values()) == len(many)
                    assert told[503] == len(many) - told[200] == load.refused - before
        finally:
            for connection in kept:
                connection.close()
        load.note_turn(0.0, 1e9)
        load.note_turn(0.0, 2e9)
        assert await statuses_of(*many) == {200: MOST_AT_ONCE + 40}
