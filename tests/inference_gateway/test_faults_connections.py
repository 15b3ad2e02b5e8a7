"""Faults of connections and of the framing of requests. Numbers are of gateway.md §5.3."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from inference_gateway.patience import MOST_HEAD_BYTES, MOST_HEADERS
from tests.inference_gateway.asking import ASKED, CHAT, SHORT
from tests.inference_gateway.raw_client import connect, read_to_end, render, talk
from tests.inference_gateway.raw_engine import HEAD, RawEngine, Turn
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy, resident_kib
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(120)
BODY = json.dumps(ASKED).encode()
SLOW = 150


@pytest.fixture(scope="module")
def impatient_server(shared_server: Server) -> Iterator[Server]:
    """The product with shorter times."""
    server = Server()
    server.http_protocol = "tests.inference_gateway.impatient:ImpatientHttp"
    server.websocket_protocol = "tests.inference_gateway.impatient:ImpatientWebSocket"
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def impatient(impatient_server: Server, transactional_db: None) -> Server:
    return impatient_server


# 16


def test_requests_that_come_byte_by_byte_are_ended_and_others_see_nothing_of_them(
    impatient: Server, endless: EndlessEngine
) -> None:
    endless.ends_after = 1
    service = deploy(impatient, endless.port)
    whole = render(service.path + CHAT, service.token, BODY)
    head, body_starts = whole[: whole.index(b"\r\n\r\n") + 4], len(whole) - len(BODY)
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(impatient)) for _ in range(2 * SLOW)]
        silent = stack.enter_context(connect(impatient))
        for number, one in enumerate(slow):
            one.sendall(whole[:20] if number % 2 else head)
        ended = began = time.monotonic()
        answered: list[int] = []
        while ended - began < 1.0:  # a byte each from time to time
            for number, one in enumerate(slow):
                at = 20 if number % 2 else body_starts
                one.sendall(whole[at + len(answered) : at + len(answered) + 1])
            answered.append(httpx.post(service.url, json=SHORT, headers=service.auth).status_code)
            ended = time.monotonic()
        assert answered == [200] * len(answered)
        for one in slow:
            told = read_to_end(one)
            assert told.startswith(b"HTTP/1.1 408 "), told
            assert b"connection: close" in told
            assert b'"request_timeout"' in told
        assert read_to_end(silent) == b""
    assert len(endless.asked) == len(answered)
    assert httpx.get(service.url, headers=service.auth).status_code == 200


def test_a_body_that_comes_slowly_but_steadily_is_read(impatient: Server, endless: EndlessEngine) -> None:
    endless.ends_after = 1
    service = deploy(impatient, endless.port)
    body = BODY + b" " * 2000
    with connect(impatient) as connection:
        whole = render(service.path + CHAT, service.token, body, "connection: close\r\n")
        start = len(whole) - len(body)
        connection.sendall(whole[:start])
        for at in range(start, len(whole), 200):
            time.sleep(0.3)
            connection.sendall(whole[at : at + 200])
        assert read_to_end(connection).startswith(b"HTTP/1.1 200 ")


# 17


def hidden(words: Deployed) -> bytes:
    """A second request that must never be answered."""
    return render(words.path + CHAT, words.token, BODY)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ("content-length: 4\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n"),
        ("transfer-encoding: chunked\r\ncontent-length: 4\r\n", b"0\r\n\r\n"),
        ("content-length: 4\r\ncontent-length: 5\r\n", b"abcde"),
        ("content-length: 4, 5\r\n", b"abcde"),
        ("content-length: +4\r\n", b"abcd"),
        ("content-length: 0x4\r\n", b"abcd"),
        ("transfer-encoding: xchunked\r\n", b"0\r\n\r\n"),
        ("transfer-encoding: chunked, identity\r\n", b"0\r\n\r\n"),
        ("transfer-encoding:\x0bchunked\r\n", b"0\r\n\r\n"),
        ("transfer-encoding : chunked\r\n", b"0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", b"2;x\nab\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", b"2\nab\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", b"2\r\nabc\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", b"-2\r\nab\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", b"fffffffffffffffff\r\nab\r\n0\r\n\r\n"),
        ("x: a\nb: c\r\ncontent-length: 0\r\n", b""),
        ("x: a\rb: c\r\ncontent-length: 0\r\n", b""),
        (" folded: x\r\ncontent-length: 0\r\n", b""),
        ("x: a\x00b\r\ncontent-length: 0\r\n", b""),
        ("upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n"),
    ],
)
def test_a_request_whose_end_is_unclear_is_400_and_what_follows_it_is_never_done(
    server: Server, words: Deployed, endless: EndlessEngine, headers: str, body: bytes
) -> None:
    for rest in ("", CHAT, "/anything"):
        head = f"POST {words.path}{rest} HTTP/1.1\r\nhost: x\r\nauthorization: {words.token}\r\n{headers}\r\n"
        told = talk(server, head.encode("latin-1") + body + hidden(words))
        assert told == b"" or told.startswith(b"HTTP/1.1 400 "), told
        assert told.count(b"HTTP/1.1 ") <= 1
    assert endless.asked == []
    assert httpx.get(words.url, headers=words.auth).status_code == 200


def test_a_handshake_with_a_body_opens_no_websocket_and_hides_no_request(
    server: Server, words: Deployed, endless: EndlessEngine
) -> None:
    second = hidden(words)
    offer = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    offer += "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    told = talk(server, render(words.path, words.token, second, offer, method="GET"))
    assert told.startswith(b"HTTP/1.1 400 "), told
    assert told.count(b"HTTP/1.1 ") == 1
    many = "".join(f"x-{number}: a\r\n" for number in range(200))  # more than the WebSockets' library reads
    told = talk(server, render(words.path, words.token, b"", offer + many, method="GET"))
    assert told.startswith(b"HTTP/1.1 400 "), told
    # An offer of anything else is passed over: the second request is this one's body.
    odd = "upgrade: h2c\r\nconnection: upgrade, close\r\n"
    told = talk(server, render(words.path, words.token, second, odd, method="GET"))
    assert told.count(b"HTTP/1.1 ") == 1
    assert endless.asked == []


def test_requests_in_a_row_are_answered_in_their_order_each_with_its_own_token(
    server: Server, words: Deployed, endless: EndlessEngine
) -> None:
    good = render(words.path + CHAT, words.token, BODY)
    bad = render(words.path + CHAT, "false", BODY)
    last = render(words.path + CHAT, words.token, BODY, "connection: close\r\n")
    told = talk(server, good + bad + last)
    statuses = [int(part[:3]) for part in told.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 401, 200]
    assert len(endless.asked) == 2


# 18


@pytest.mark.parametrize(
    "head",
    [
        b"x: " + b"a" * 1_000_000,
        b"x" * 1_000_000 + b": a",
        b"\r\n".join(b"x-%d: a" % number for number in range(10_000)),
        b"\r\n".join(b"x: a" for _ in range(MOST_HEADERS + 1)),
        b"\r\n".join(b"x: " + b"a" * 1000 for _ in range(MOST_HEAD_BYTES // 1000 + 1)),
    ],
    ids=["long value", "long name", "ten thousand", "many", "much"],
)
def test_headers_without_measure_are_431(server: Server, words: Deployed, head: bytes) -> None:
    before = resident_kib(server)
    for _ in range(5):
        with connect(server) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(f"POST {words.path} HTTP/1.1\r\nhost: x\r\n".encode() + head + b"\r\n\r\n")
            told = read_to_end(connection)
        assert told == b"" or told.startswith(b"HTTP/1.1 431 "), told[:300]
    assert resident_kib(server) - before < 20_000
    assert httpx.get(words.url, headers=words.auth).status_code == 200


def test_as_many_headers_as_clients_send_are_read(words: Deployed) -> None:
    many = {f"x-{number}": "a" * 200 for number in range(200)}
    assert httpx.post(words.url, json=SHORT, headers=words.auth | many).status_code == 200


def test_an_address_without_measure_is_431(server: Server) -> None:
    with connect(server) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n")
        told = read_to_end(connection)
    assert told == b"" or told.startswith(b"HTTP/1.1 431 "), told[:300]


@pytest.mark.parametrize("spelt", ["%0d%0aX-Admin:%201", "%0a", "%00", "%2e%2e%2f", "%ff"])
def test_line_breaks_and_their_like_in_an_address_name_nothing(server: Server, words: Deployed, spelt: str) -> None:
    for path in (f"/api/predict/{spelt}", f"{words.path}{spelt}", f"{words.path}/{spelt}/x"):
        told = talk(server, render(path, words.token, BODY, "connection: close\r\n"))
        assert told[9:12] in (b"400", b"404"), told
        assert b"x-admin" not in told.lower().partition(b"\r\n\r\n")[0]


def test_an_absolute_address_chooses_no_host(server: Server, words: Deployed, endless: EndlessEngine) -> None:
    """RFC 9112 §3.2.2 has servers take the form. The host in it is nobody we connect to."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.5)
        port = other.getsockname()[1]
        path = f"http://127.0.0.1:{port}{words.path}{CHAT}"
        assert talk(server, render(path, words.token, BODY, "connection: close\r\n")).startswith(b"HTTP/1.1 200 ")
        with pytest.raises(TimeoutError):
            other.accept()
    assert len(endless.asked) == 1


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "BREW"])
def test_methods_that_nobody_serves_are_refused(
    server: Server, words: Deployed, endless: EndlessEngine, method: str
) -> None:
    for rest in ("", CHAT, "/v1/embeddings"):
        told = talk(server, render(words.path + rest, words.token, b"", "connection: close\r\n", method=method))
        assert told[9:12] in (b"400", b"405"), told
    assert endless.asked == []


# 21


def endless_tokens() -> tuple[RawEngine, list[int], list[float]]:
    """An engine that writes as fast as it may; how much it wrote, and when each answer was dropped."""
    sent, dropped = [0], []

    async def script(turn: Turn) -> None:
        await turn.send(HEAD)
        event = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * 4000 + b'"}}]}\n\n'
        try:
            while True:
                await turn.send_chunk(event)
                sent[0] += len(event)
        finally:
            dropped.append(time.monotonic())

    return RawEngine(script), sent, dropped


@pytest.mark.parametrize("way", ["relay", "eas", "anthropic", "passthrough"])
def test_who_reads_nothing_holds_the_engine_and_no_memory_and_is_cut_at_the_deadline(
    impatient: Server, way: str
) -> None:
    engine, sent, dropped = endless_tokens()
    with engine:
        service = deploy(impatient, engine.port, engine=None if way == "passthrough" else "chat-llm")
        rest = {"relay": CHAT, "passthrough": CHAT, "eas": "", "anthropic": "/v1/messages"}[way]
        fields = {"prompt": "x", "use_stream_chat": True} if way == "eas" else ASKED | {"stream": True, "max_tokens": 9}
        before = resident_kib(impatient)
        with connect(impatient) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            asked_at = time.monotonic()
            connection.sendall(render(service.path + rest, service.token, json.dumps(fields).encode()))
            wait_until(lambda: bool(dropped), "the engine is let go", 20)
            assert dropped[0] - asked_at >= 1.9
            assert sent[0] < 40_000_000
            assert resident_kib(impatient) - before < 30_000


def test_who_reads_slowly_is_not_cut(impatient: Server) -> None:
    engine, _, dropped = endless_tokens()
    with engine:
        service = deploy(impatient, engine.port)
        with connect(impatient) as connection:
            fields = json.dumps(ASKED | {"stream": True}).encode()
            connection.sendall(render(service.path + CHAT, service.token, fields))
            began = time.monotonic()
            while time.monotonic() - began < 5:
                assert connection.recv(32_768)
                time.sleep(0.05)
            assert not dropped
        wait_until(lambda: bool(dropped), "the engine is let go when the caller leaves", 5)
