"""Faults of tokens and of headers that claim one. Numbers are of gateway.md §5.3."""

from __future__ import annotations

import time

import httpx
import pytest
import websocket
from django.contrib.auth.models import User

from deployments import lifecycle
from inference_gateway.database import in_database
from inference_gateway.directory import Directory, _Slot
from inference_gateway.gateway import Gateway
from inference_gateway.http import Scope
from tests.inference_gateway.asking import ASKED, CHAT, SHORT, code_of
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy, token_of
from tests.inference_gateway.scripted import Caller
from tests.ports import free_port
from tests.waiting import wait_until, wait_until_async


class CountingDirectory(Directory):
    """Counts how often it asks the database."""

    looks = 0

    async def _look(self, name: str, slot: _Slot) -> None:
        self.looks += 1
        await super()._look(name, slot)

    async def _look_at_names(self) -> None:
        self.looks += 1
        await super()._look_at_names()


# 1


@pytest.mark.parametrize("rest", ["", CHAT])
def test_a_token_anywhere_but_in_its_header_counts_for_nothing(
    server: Server, words: Deployed, endless: EndlessEngine, rest: str
) -> None:
    secret = words.token
    for query in (f"token={secret}", f"api_key={secret}", f"Authorization=Bearer%20{secret}", f"access_token={secret}"):
        for headers in ({}, {"X-Token": secret}, {"Cookie": f"token={secret}; Authorization={secret}"}):
            body = {**SHORT, **ASKED, "token": secret, "api_key": secret}
            answer = httpx.post(f"{words.url}{rest}?{query}", json=body, headers=headers)
            assert (answer.status_code, code_of(answer)) == (401, "Unauthorized")
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert ("error" in answer.json()) == bool(rest)
    assert endless.asked == []
    assert secret not in server.log


@pytest.mark.parametrize("value", ["", "Basic", "Bearer", "Basic eDp5", "EAS", "EAS x", "x y"])
def test_every_shape_without_the_token_is_401_in_openai_s_words(words: Deployed, value: str) -> None:
    answer = httpx.post(words.url + CHAT, json=ASKED, headers={"Authorization": value})
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")


# 2


def test_a_token_opens_its_own_service_whatever_the_body_names(server: Server, endless: EndlessEngine) -> None:
    with EndlessEngine() as other:
        ours, theirs = deploy(server, endless.port), deploy(server, other.port)
        named = {**ASKED, "model": theirs.row.name}
        statuses = [
            httpx.post(theirs.url, json=SHORT, headers=ours.auth).status_code,
            httpx.post(theirs.url + CHAT, json=ASKED, headers=ours.auth).status_code,
            httpx.post(f"{theirs.url}/anything", headers=ours.auth).status_code,
            httpx.post(f"{server.url}{CHAT}", json=named, headers=ours.auth).status_code,
        ]
        assert statuses == [401] * 4
        endless.ends_after = 1
        # On its own path the name in the body is only the model's.
        assert httpx.post(ours.url + CHAT, json=named, headers=ours.auth).status_code == 200
        assert (len(endless.asked), other.asked) == (1, [])


# 3


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer x' OR pg_sleep(8)--",
        b"Bearer " + b"x" * 60_000,
        b"Bearer gr\xc3\xbc\xc3\x9f",
        b"Bearer \xff\xfe",
        b"EAS " + b"=" * 5000,
        b"EAS \xff" + b"=" * 20,
    ],
)
def test_a_strange_token_is_refused_fast_and_is_not_in_the_log(server: Server, words: Deployed, value: bytes) -> None:
    answer = httpx.post(words.url, json=SHORT, headers=[(b"Authorization", value)])
    assert (answer.status_code, code_of(answer)) == (401, "Unauthorized")
    assert answer.elapsed.total_seconds() < 5
    assert value.decode("latin-1")[7:] not in server.log


# 4


def scope_of(path: str, token: str) -> Scope:
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"authorization", token.encode())],
        "client": ("127.0.0.1", 1),
        "scheme": "http",
        "extensions": {},
    }


async def test_a_flood_of_false_tokens_and_names_asks_the_database_no_more_than_one(server: Server) -> None:
    service = await in_database(deploy, server, free_port())
    directory = CountingDirectory()
    gateway = Gateway(directory)
    began, statuses = time.monotonic(), []
    for number in range(3000):
        name = service.row.name if number % 2 else f"nobody_{number}"
        caller = Caller({"type": "http.request", "body": b"x", "more_body": False})
        await gateway(scope_of(f"/api/predict/{name}", f"false-{number}"), caller.receive, caller.send)
        statuses.append(caller.status)
    seconds = time.monotonic() - began
    assert statuses == [404, 401] * 1500
    # Of the service and of the names each: two looks a second at what is known, one for refusals, and ten at first.
    assert directory.looks <= 6 * seconds + 24
    assert len(directory._slots) == 1  # names that are none push nothing out


async def test_a_new_service_is_found_at_once_in_the_middle_of_a_flood_once_the_hint_came(server: Server) -> None:
    directory = Directory()
    for number in range(20):
        assert await directory.find_again(f"nobody_{number}") is None
    service = await in_database(deploy, server, free_port())
    directory.doubt(f"service:{service.row.name}")
    assert await directory.find(service.row.name) is not None


async def test_a_new_token_is_known_at_once_without_a_hint_and_an_old_one_forgotten_within_a_second(
    server: Server,
) -> None:
    """As while the bus is down (6)."""
    service = await in_database(deploy, server, free_port())
    person = await in_database(User.objects.create_superuser, "root")
    directory = Directory()
    before = await directory.find(service.row.name)
    await in_database(lifecycle.rotate_token, service.row, person)
    fresh = await in_database(token_of, service.row)
    after = await directory.find_again(service.row.name)
    assert (before and before.token, after and after.token) == (service.token, fresh)

    other = Directory()
    await other.find(service.row.name)
    await in_database(lifecycle.rotate_token, service.row, person)

    async def is_forgotten() -> bool:
        entry = await other.find(service.row.name)
        return entry is not None and entry.token != fresh

    await wait_until_async(is_forgotten, "the old token is forgotten", 1.0)


# 5, 6


def rotate(service: Deployed) -> None:
    person, _ = User.objects.get_or_create(username="root", defaults={"is_superuser": True})
    lifecycle.rotate_token(service.row, person)


def test_a_token_that_is_taken_away_ends_an_idle_websocket_with_its_next_message(
    words: Deployed, endless: EndlessEngine
) -> None:
    header = [f"Authorization: {words.token}"]
    socket = websocket.create_connection(words.url.replace("http", "ws"), header=header, timeout=20)
    socket.send("one")
    assert [socket.recv(), socket.recv()] == ["word ", "<EOS>"]
    rotate(words)
    wait_until(lambda: httpx.get(words.url, headers=words.auth).status_code == 401, "the token is refused", 2)
    socket.send("two")
    opcode, data = socket.recv_data()
    assert (opcode, data[:2]) == (websocket.ABNF.OPCODE_CLOSE, (1008).to_bytes(2, "big"))
    assert len(endless.asked) == 1


def test_a_stream_outlives_its_token_and_the_next_request_of_its_connection_is_refused(
    server: Server, endless: EndlessEngine
) -> None:
    service = deploy(server, endless.port)
    with httpx.Client(headers=service.auth) as kept:
        with kept.stream("POST", service.url, json=SHORT) as stream:
            pieces = stream.iter_bytes()
            next(pieces)
            rotate(service)
            wait_until(lambda: httpx.get(service.url, headers=service.auth).status_code == 401, "refused", 2)
            told = next(pieces)
            endless.ends_after = 1
            assert (told + b"".join(pieces)).endswith(b"\0")
        assert kept.get(service.url).status_code == 401


def test_without_the_bus_a_token_is_refused_within_a_second(
    shared_server: Server, transactional_db: None, endless: EndlessEngine
) -> None:
    deaf = Server(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    deaf.start()
    try:
        service = deploy(deaf, endless.port)
        assert httpx.get(service.url, headers=service.auth).status_code == 200
        rotate(service)
        wait_until(lambda: httpx.get(service.url, headers=service.auth).status_code == 401, "refused", 1.0)
        new = {"Authorization": token_of(service.row)}
        wait_until(lambda: httpx.get(service.url, headers=new).status_code == 200, "the new one is taken", 1.0)
    finally:
        deaf.kill()


# 7


def test_headers_that_claim_to_be_somebody_open_nothing(words: Deployed, endless: EndlessEngine) -> None:
    claims = {
        "X-Forwarded-For": "127.0.0.1",
        "X-Real-IP": "127.0.0.1",
        "Forwarded": "for=127.0.0.1;by=127.0.0.1",
        "X-User-ID": "1",
        "X-Forwarded-User": "root",
        "X-GPUStack-Real-IP": "127.0.0.1",
        "X-Original-URL": words.path,
        "X-HTTP-Method-Override": "GET",
    }
    assert httpx.post(words.url, json=SHORT, headers=claims).status_code == 401
    assert endless.asked == []
