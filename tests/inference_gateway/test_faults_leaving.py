"""Callers who leave, at every moment and in every manner: the engine is let go at once and nothing stays behind.

Fault 20 of gateway.md §5.3. Its limit, 100 ms, is what an idle machine keeps; the middle one of several callers counts,
so that no single pause of the machine does.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest
import websocket

from tests.inference_gateway.raw_client import connect, render
from tests.inference_gateway.raw_engine import HEAD, RawEngine, Turn
from tests.inference_gateway.rig import Deployed, Server, serving_file
from tests.inference_gateway.test_faults_engines import RESTS, WAYS, body_of, event, served
from tests.inference_gateway.watched import TASKS, WatchedServer, application
from tests.waiting import stretch, wait_until

pytestmark = pytest.mark.timeout(120)
CALLERS = 5
LIMIT_SECONDS = 0.1
MANNERS = ("resets", "closes", "half-closes")


@pytest.fixture(scope="module")
def watched_server(shared_server: Server, django_db_blocker: Any) -> Iterator[WatchedServer]:
    with serving_file(WatchedServer(), django_db_blocker) as server:
        yield server


@pytest.fixture
def watched(watched_server: WatchedServer, transactional_db: None) -> WatchedServer:
    return watched_server


def find_baseline(server: WatchedServer) -> Counter[str]:
    """Its tasks while nobody asks anything: what goes on in the background may have some of a moment."""
    seen: list[Counter[str]] = []

    def is_calm() -> bool:
        seen.append(server.count_tasks())
        return len(seen) > 4 and seen[-5:] == [seen[-1]] * 5

    wait_until(is_calm, "the server's tasks stay the same", 10)
    return seen[-1]


def wait_for(server: WatchedServer, baseline: Counter[str]) -> None:
    def find_more() -> Counter[str]:
        return server.count_tasks() - baseline

    try:
        wait_until(lambda: not find_more(), "no task is left behind", 10)
    except AssertionError:
        pytest.fail(f"left behind: {find_more()}")


def leave(connection: socket.socket, how: str) -> None:
    if how == "half-closes":
        connection.shutdown(socket.SHUT_WR)
        return
    if how == "resets":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


class Held:
    """An engine's answers that never end. ``left`` has when each of their askers was gone."""

    def __init__(self, *, is_stream: bool) -> None:
        self.is_stream = is_stream
        self.left: list[float] = []

    async def __call__(self, turn: Turn) -> None:
        if self.is_stream:
            await turn.send(HEAD)
            await turn.send_chunk(event("x"))
        await turn.wait_closed()
        self.left.append(time.monotonic())


def has_left(held: Held, number: int) -> bool:
    return len(held.left) > number


def ask_and_leave(server: Server, service: Deployed, way: str, engine: RawEngine, held: Held, how: str) -> float:
    """How long the engine went on without its asker."""
    asked, left = len(engine.turns), len(held.left)
    with connect(server) as connection:
        body = body_of(way, stream=held.is_stream)
        connection.sendall(render(service.path + RESTS[way], service.token, body, "content-type: application/json\r\n"))
        wait_until(lambda: len(engine.turns) > asked, "the engine is asked", 10)
        if held.is_stream:
            assert connection.recv(4096)
        at = time.monotonic()
        leave(connection, how)
        wait_until(lambda: len(held.left) > left, "the engine is let go", 10)
    return held.left[-1] - at


@pytest.mark.parametrize("how", MANNERS)
@pytest.mark.parametrize("moment", ["in mid-stream", "before an answer"])
@pytest.mark.parametrize("way", WAYS)
def test_the_engine_is_let_go_at_once_and_no_task_is_left_when_a_caller_leaves(
    watched: WatchedServer, way: str, moment: str, how: str
) -> None:
    held = Held(is_stream=moment == "in mid-stream")
    with served(watched, way, held) as (service, engine):
        baseline = find_baseline(watched)
        took = [ask_and_leave(watched, service, way, engine, held, how) for _ in range(CALLERS)]
        assert statistics.median(took) < LIMIT_SECONDS * stretch()
        assert len(engine.turns) == CALLERS
        wait_for(watched, baseline)


@pytest.mark.parametrize("how", MANNERS)
@pytest.mark.parametrize("way", WAYS)
def test_who_leaves_before_the_whole_question_came_asks_nobody_and_leaves_no_task(
    watched: WatchedServer, way: str, how: str
) -> None:
    async def script(turn: Turn) -> None:
        await turn.send_json({})

    with served(watched, way, script) as (service, engine):
        baseline = find_baseline(watched)
        # Below ASGI, where a usual one may wait for its body, there are no tasks to count: a header twice is unusual.
        headers = "content-type: application/json\r\nx-note: 1\r\nx-note: 2\r\n"
        whole = render(service.path + RESTS[way], service.token, body_of(way), headers)
        connections = [connect(watched) for _ in range(CALLERS)]
        for connection in connections:
            connection.sendall(whole[:-3])
        # An upload that is carried is under way to its instance by then; all others are still being read.
        probe = (lambda: engine.connections == CALLERS) if way == "passthrough" else (lambda: has_more(baseline))

        def has_more(than: Counter[str]) -> bool:
            return (watched.count_tasks() - than).total() >= CALLERS

        wait_until(probe, "the questions are being read", 10)
        for connection in connections:
            leave(connection, how)
        wait_for(watched, baseline)
        assert engine.turns == []
        for connection in connections:
            connection.close()


def test_a_dialogue_whose_caller_is_gone_lets_the_engine_go_and_leaves_no_task(watched: WatchedServer) -> None:
    held = Held(is_stream=True)
    with served(watched, "eas", held) as (service, engine):
        baseline = find_baseline(watched)
        took = []
        for number in range(CALLERS):
            dialogue = websocket.create_connection(service.url.replace("http", "ws", 1), header=service.auth)
            dialogue.send(json.dumps({"prompt": "x"}))
            assert dialogue.recv()
            at = time.monotonic()
            assert dialogue.sock is not None
            leave(dialogue.sock, "resets" if number % 2 else "closes")
            wait_until(partial(has_left, held, number), "the engine is let go", 10)
            took.append(held.left[-1] - at)
        assert statistics.median(took) < LIMIT_SECONDS * stretch()
        assert len(engine.turns) == CALLERS
        wait_for(watched, baseline)


async def test_a_task_that_is_left_behind_is_seen() -> None:
    """What the tests above rest on."""
    sent: list[Mapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    async def forgotten() -> None:
        await asyncio.sleep(60)

    task = asyncio.ensure_future(forgotten())
    await application({"type": "http", "path": TASKS}, receive, send)
    task.cancel()
    assert any("forgotten" in name for name in json.loads(sent[-1]["body"]))
