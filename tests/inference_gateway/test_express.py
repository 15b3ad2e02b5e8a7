"""Usual questions below ASGI: what such a caller gets is what every other one gets, whatever the engine does.

A question is taken that way only while nothing has to be looked up, which a slow machine may take too long for: each
is asked until it was, and every answer on the way there has to be right, too.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from deployments.encryption import encrypt
from deployments.hints import hint_service
from deployments.models import Service
from inference_gateway.express import MOST_BODY_BYTES
from inference_gateway.models import Caller as CallerRow
from inference_gateway.models import UsageEvent
from inference_gateway.upstream_connection import MOST_UNREAD_BYTES
from tests.inference_gateway.counted import MOST_TRIES, Answer, Caller, CountedServer
from tests.inference_gateway.raw_client import render
from tests.inference_gateway.raw_engine import RawEngine, Turn
from tests.inference_gateway.rig import deploy, serving_file
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def counted(django_db_setup: None, django_db_blocker: Any, valkey: redis.Redis) -> Iterator[CountedServer]:
    with serving_file(CountedServer(), django_db_blocker) as server:
        yield server


@pytest.fixture
def server(counted: CountedServer, transactional_db: None) -> CountedServer:
    return counted


async def echo(turn: Turn) -> None:
    """Answers with the question; ``do:`` in it orders something else."""
    content = turn.fields["messages"][-1]["content"]
    what, _, argument = content.partition(" ")
    match what:
        case "status":
            await turn.send_json({"error": {"message": "as ordered"}}, f"{argument} Ordered", "retry-after: 7\r\n")
        case "long":
            await turn.send_json({"text": "x" * int(argument)})
        case "pieces":
            await turn.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
            for letter in json.dumps({"text": argument}).encode():
                await turn.send_chunk(bytes((letter,)))
                await asyncio.sleep(0.001)
            await turn.send_chunk(b"")
        case "half":
            await turn.send(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"te')
            turn.drop()
        case "hang":
            await turn.wait_closed()
            turn.head = b"closed"
        case _:
            usage = {"prompt_tokens": 3, "completion_tokens": 2}
            model = turn.fields.get("model")
            await turn.send_json({"text": content, "model": model, "usage": usage})


@pytest.fixture
def engine() -> Iterator[RawEngine]:
    with RawEngine(echo) as engine:
        yield engine


@pytest.fixture
def caller(server: CountedServer, engine: RawEngine) -> Caller:
    return Caller(server, deploy(server, engine.port))


def has_text(text: str) -> Callable[[Answer], None]:
    def check(answer: Answer) -> None:
        assert (answer.status, answer.text) == (200, text)

    return check


def test_it_is_answered_as_any_other(caller: Caller) -> None:
    first = caller.ask("plain")
    for text in ("short", "ü" * 300, "x" * 9000):
        answer = caller.ask_below(text, has_text(text))
        assert answer.headers.keys() == first.headers.keys()
        assert answer.headers["content-type"] == first.headers["content-type"]
        assert answer.headers["x-request-id"] != first.headers["x-request-id"]


def test_every_question_is_counted_once(caller: Caller) -> None:
    asked = [caller.ask_below(text, has_text(text)).headers["x-request-id"] for text in ("one", "two", "three")]
    rows = UsageEvent.objects.filter(service_uid=caller.service.row.uid, request_id__in=asked)
    wait_until(lambda: rows.count() == len(asked), "usage is taken")
    told = set(rows.values_list("status", "ending", "prompt_tokens", "completion_tokens", "is_counted", "operation"))
    assert told == {(200, "finished", 3, 2, True, "chat")}


def test_who_calls_is_counted_by_the_address_that_a_trusted_proxy_tells(caller: Caller) -> None:
    headers = "x-forwarded-for: 203.0.113.7\r\nuser-agent: forwarded/1\r\n"
    caller.ask_below("through a proxy", has_text("through a proxy"), headers)
    rows = CallerRow.objects.filter(service=caller.service.row)
    wait_until(rows.exists, "it is written who called")
    assert set(rows.values_list("address", "agent")) == {("203.0.113.7", "forwarded/1")}


@pytest.mark.parametrize("length", ["00000000000000000002", "0" * 40 + "2", "000002"])
def test_an_odd_way_to_write_a_length_is_read_as_ever(caller: Caller, length: str) -> None:
    caller.ask_below("plain", has_text("plain"))
    body = caller.render("odd").partition(b"\r\n\r\n")[2]
    head = caller.render("odd").partition(b"\r\n\r\n")[0].rpartition(b"content-length: ")[0]
    for _ in range(2):
        caller.send(head + f"content-length: {length[:-1]}{len(body)}\r\n\r\n".encode() + body)
        has_text("odd")(caller.read())


@pytest.mark.parametrize(("given", "told"), [("400", 400), ("404", 404), ("429", 429), ("500", 502)])
def test_what_an_engine_refuses_is_told_as_ever(caller: Caller, given: str, told: int) -> None:
    at_first = caller.ask(f"status {given}")
    assert at_first.status == told

    def check(answer: Answer) -> None:
        assert (answer.status, answer.body) == (at_first.status, at_first.body)
        assert answer.headers.get("retry-after") == at_first.headers.get("retry-after")

    caller.ask_below(f"status {given}", check)


def test_an_answer_in_pieces_or_a_long_one_is_whole(caller: Caller) -> None:
    caller.ask_below("pieces grüße", has_text("grüße"))
    for size in (MOST_UNREAD_BYTES - 100, 3 * MOST_UNREAD_BYTES, 40 * MOST_UNREAD_BYTES):
        caller.ask_below(f"long {size}", has_text("x" * size))


def test_an_answer_that_breaks_off_is_told(caller: Caller) -> None:
    def check(answer: Answer) -> None:
        assert (answer.status, answer.code) == (502, "engine_stream_broken")

    caller.ask_below("half", check)
    has_text("again")(caller.ask("again"))


def test_a_kept_connection_that_was_dropped_is_asked_once_more(caller: Caller, engine: RawEngine) -> None:
    async def drop_once(turn: Turn) -> None:
        if turn.fields["messages"][-1]["content"] == "drop" and not any(one.head == b"dropped" for one in engine.turns):
            turn.head = b"dropped"
            turn.drop()
        else:
            await echo(turn)

    engine.script = drop_once

    def check(answer: Answer) -> None:
        has_text("drop")(answer)
        for turn in engine.turns:
            turn.head = b""

    caller.ask_below("drop", check)


def test_a_caller_who_leaves_stops_the_engine(caller: Caller, engine: RawEngine) -> None:
    for _ in range(MOST_TRIES):
        has_text("plain")(caller.ask("plain"))
        begun, looked = caller.server.count()
        number = len(engine.turns)
        caller.send(caller.render("hang"))
        turn = wait_until(lambda: next(iter(engine.turns[number:]), None), "the engine was asked")  # noqa: B023
        is_taken = caller.server.count() == (begun + 1, looked)
        caller._reader.close()
        caller.socket.close()
        wait_until(lambda: turn.head == b"closed", "the engine knows")  # noqa: B023
        if is_taken:
            break
    else:
        raise AssertionError("no question was taken")
    rows = UsageEvent.objects.filter(service_uid=caller.service.row.uid, status=499, ending="stopped")
    wait_until(rows.exists, "what was used is counted")


def test_an_answer_that_takes_too_long_is_ended(server: CountedServer, engine: RawEngine) -> None:
    caller = Caller(server, deploy(server, engine.port, metadata={"rpc": {"keepalive": 1500}}))

    def check(answer: Answer) -> None:
        assert (answer.status, answer.code) == (408, "request_timeout")

    caller.ask_below("hang", check)
    wait_until(lambda: engine.turns[-1].head == b"closed", "the engine knows")


def test_a_token_that_was_replaced_is_refused_on_the_same_connection(caller: Caller) -> None:
    caller.ask_below("before", has_text("before"))
    Service.objects.filter(pk=caller.service.row.pk).update(token_encrypted=encrypt("another-token"))
    hint_service(caller.service.row)
    wait_until(lambda: caller.ask("after").status == 401, "the old token counts no more", 10)


def test_a_flat_question_is_for_the_service_that_it_names(server: CountedServer, engine: RawEngine) -> None:
    services = [deploy(server, engine.port) for _ in range(2)]
    caller = Caller(server, services[0])
    caller.path = "/v1/chat/completions"
    name = services[0].row.name
    has_text("plain")(caller.ask("plain", model=name))
    for _ in range(MOST_TRIES):
        begun, _ = server.count()
        has_text("flat")(caller.ask("flat", model=name))
        if server.count()[0] > begun:
            break
    else:
        raise AssertionError("no question was taken")
    assert caller.ask("other", model=services[1].row.name).status == 401
    assert caller.ask("none").status == 400
    assert caller.ask("unknown", model="nobody_has_this").status == 404


def test_a_question_in_two_parts_and_two_at_once(caller: Caller) -> None:
    caller.ask_below("plain", has_text("plain"))
    data = caller.render("in parts")
    head = data.index(b"\r\n\r\n") + 4
    for cut in (10, head - 2, head, head + 5, len(data) - 1):
        caller.send(data[:cut])
        caller.server.count()  # it has looked at what came
        caller.send(data[cut:])
        has_text("in parts")(caller.read())
    for _ in range(50):
        caller.send(caller.render("first") + caller.render("second"))
        has_text("first")(caller.read())
        has_text("second")(caller.read())
        caller.send(data)
        caller.send(data)
        has_text("in parts")(caller.read())
        has_text("in parts")(caller.read())


def test_a_length_in_another_header_is_none(caller: Caller) -> None:
    """What stands in a header's value cannot move the end of a body."""
    caller.ask_below("plain", has_text("plain"))
    inner = caller.render("inner")
    for number in (len(inner), 0, 5):
        header = f"x-note: content-length: {number}\r\n"
        for _ in range(3):
            has_text("outer")(caller.ask("outer", header))
    doubled = caller.render("outer").replace(b"\r\n\r\n", b"\r\ncontent-length: 5\r\n\r\n", 1)
    caller.send(doubled)
    assert caller.read().status == 400


@pytest.mark.parametrize(
    ("headers", "fields"),
    [
        ("x-request-id: mine\r\n", {}),
        ("connection: close\r\n", {}),
        ("x-forwarded-for: 10.0.0.7\r\n", {}),
        ("", {"n": 2, "temperature": 0.5}),
    ],
)
def test_what_is_not_usual_is_answered_all_the_same(caller: Caller, headers: str, fields: dict[str, Any]) -> None:
    for _ in range(3):
        caller.ask_below("plain", has_text("plain"))
        answer = caller.ask("unusual", headers, **fields)
        assert answer.status == 200
        if "x-request-id" in headers:
            assert answer.headers["x-request-id"] == "mine"


def test_a_long_question_and_a_bad_one(caller: Caller) -> None:
    caller.ask_below("plain", has_text("plain"))
    long = "x" * (2 * MOST_BODY_BYTES)
    has_text(long)(caller.ask(long))
    assert caller.ask("bad", temperature=9).status == 400
    body = b'{"messages": ['
    caller.send(render(caller.path, caller.service.token, body))
    assert caller.read().status == 400


def test_a_server_that_ends_answers_first(server: CountedServer, engine: RawEngine) -> None:
    own = CountedServer()
    own.start()
    try:
        service = deploy(own, engine.port)
        caller = Caller(own, service)
        go = asyncio.Event()

        async def wait(turn: Turn) -> None:
            if turn.fields["messages"][-1]["content"] == "wait":
                await go.wait()
            await echo(turn)

        engine.script = wait
        caller.ask_below("plain", has_text("plain"))
        number = len(engine.turns)
        caller.send(caller.render("wait"))
        wait_until(lambda: len(engine.turns) > number, "the engine was asked")
        assert own.process is not None
        own.process.terminate()
        wait_until(lambda: not accepts(own.port), "it listens no more")
        engine.run(set_event(go))
        answer = caller.read()
        has_text("wait")(answer)
        assert answer.headers["connection"] == "close"
        assert own.process.wait(30) in (0, -signal.SIGTERM)
    finally:
        own.kill()


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    except OSError:  # it closed its socket over one that was not accepted yet
        return True
    return True


async def set_event(event: asyncio.Event) -> None:
    event.set()
