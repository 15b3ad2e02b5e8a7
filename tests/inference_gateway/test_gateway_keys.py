"""API keys at the gateway: real clients with keys, and what is refused, counted and forgotten."""

from __future__ import annotations

import asyncio
import base64
import time
from dataclasses import fields
from datetime import timedelta
from typing import Any

import httpx
import openai
import pytest
import websocket
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from deployments import api_keys, lifecycle, limits, members
from deployments.api_keys import LIMIT_FIELDS, KeyScope, KeyTerms
from deployments.models import ApiKey, Membership, Role, Service, Workspace
from inference_gateway.calls import Call
from inference_gateway.chat import ChatError
from inference_gateway.database import in_database
from inference_gateway.directory import Directory, ServiceEntry
from inference_gateway.key_rights import scope_needed
from inference_gateway.keybook import Keybook, find_session_principal
from inference_gateway.principals import Limits, Principal, Proof, Subject
from inference_gateway.targets import Target, parse_target
from tests.inference_gateway.many_routes import ManyRoutesEngine
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy
from tests.inference_gateway.scripted import Caller
from tests.ports import free_port
from tests.waiting import wait_until, wait_until_async

pytestmark = pytest.mark.backends

ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}]}
VLLM = "vllm serve /models/x --port 8000"


@pytest.fixture
def words(server: Server, endless: EndlessEngine) -> Deployed:
    endless.ends_after = 1
    return deploy(server, endless.port)


def person_in(workspace: Workspace, name: str = "vera", role: Role = Role.VIEWER) -> User:
    person, _ = User.objects.get_or_create(username=name)
    Membership.objects.get_or_create(user=person, workspace=workspace, defaults={"role": role})
    return person


def issue(workspace: Workspace, name: str = "vera", *, days: int | None = None, **terms: Any) -> tuple[ApiKey, str]:
    expires_at = None if days is None else timezone.now() + timedelta(days=days)
    return api_keys.issue_api_key(person_in(workspace, name), workspace, KeyTerms("laptop", **terms), expires_at)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def error_of(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    return answer.status_code, str(
        body["error"].get("code", body["error"]["type"]) if "error" in body else body["code"]
    )


def test_openai_s_client_lists_what_a_key_may_call_and_talks_to_it_flat_and_below(
    server: Server, words: Deployed
) -> None:
    other = deploy(server, free_port())
    elsewhere = Workspace.objects.create(slug="elsewhere", name="Elsewhere")
    hidden = deploy(server, free_port())
    Service.objects.filter(pk=hidden.row.pk).update(workspace=elsewhere)
    _, secret = issue(words.row.workspace)
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=secret, max_retries=0)
    assert {one.id for one in client.models.list()} == {words.row.name, other.row.name}
    said = client.chat.completions.create(model=words.row.name, messages=[{"role": "user", "content": "x"}])
    assert said.choices[0].message.content == "word "
    below = openai.OpenAI(base_url=f"{words.url}/v1", api_key=secret, max_retries=0)
    streamed = below.chat.completions.create(model="", messages=[{"role": "user", "content": "x"}], stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == "word "
    assert below.models.list().data[0].id == words.row.name


def test_anthropic_s_header_and_eas_s_dialect_take_a_key(server: Server, words: Deployed) -> None:
    _, secret = issue(words.row.workspace)
    body = {"model": words.row.name, "max_tokens": 8, **ASKED}
    answer = httpx.post(f"{server.url}/v1/messages", json=body, headers={"x-api-key": secret})
    assert answer.json()["content"] == [{"type": "text", "text": "word "}]
    for value in (secret, f"Bearer {secret}"):
        answer = httpx.post(words.url, json={"prompt": "x"}, headers={"Authorization": value})
        assert answer.status_code == 200
        assert answer.text.startswith('{"response": "word "')


def test_a_key_for_one_service_is_403_at_another_also_once_its_own_is_gone(server: Server, words: Deployed) -> None:
    other = deploy(server, free_port())
    _, secret = issue(words.row.workspace, service_uids=(words.row.uid,))
    for _attempt in range(2):
        below = httpx.post(f"{other.url}/v1/chat/completions", json={"model": "x", **ASKED}, headers=bearer(secret))
        flat = httpx.post(
            f"{server.url}/v1/chat/completions", json={"model": other.row.name, **ASKED}, headers=bearer(secret)
        )
        assert {error_of(below), error_of(flat)} == {(403, "service_not_allowed")}
        listed = httpx.get(f"{server.url}/v1/models", headers=bearer(secret)).json()["data"]
        assert [one["id"] for one in listed] == [words.row.name] * (1 - _attempt)
        Service.objects.filter(pk=words.row.pk).update(desired="deleted")


def test_a_scope_that_is_missing_is_named_in_the_dialect_of_the_path(server: Server, words: Deployed) -> None:
    with ManyRoutesEngine() as many:
        service = deploy(server, many.port, engine="vllm", script=VLLM)
        _, embeds = issue(service.row.workspace, scopes=(KeyScope.EMBEDDINGS.value,))
        _, chats = issue(service.row.workspace, scopes=(KeyScope.CHAT.value,))
        embedding = {"model": service.row.name, "input": "x"}
        assert httpx.post(f"{server.url}/v1/embeddings", json=embedding, headers=bearer(embeds)).status_code == 200
        refused = httpx.post(f"{server.url}/v1/embeddings", json=embedding, headers=bearer(chats))
        assert error_of(refused) == (403, "scope_missing")
        assert refused.json()["error"]["type"] == "permission_error"
        assert "'embeddings'" in refused.json()["error"]["message"]
        assert error_of(httpx.get(f"{service.url}/metrics", headers=bearer(chats))) == (403, "scope_missing")
        body = {"model": service.row.name, "max_tokens": 8, **ASKED}
        messages = httpx.post(f"{server.url}/v1/messages", json=body, headers={"x-api-key": embeds})
        assert (messages.status_code, messages.json()["error"]["type"]) == (403, "permission_error")
        eas = httpx.post(service.url, json={"prompt": "x"}, headers=bearer(embeds))
        assert eas.json().keys() == {"code", "message"}
        assert len(many.seen) == 1


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("POST", "/v1/chat/completions", "chat"),
        ("POST", "/api/predict/a/v1/messages/count_tokens", "chat"),
        ("POST", "/api/predict/a", "chat"),
        ("GET", "/api/predict/a/.slipway/generations/7", "chat"),
        ("GET", "/api/predict/a", None),
        ("GET", "/api/predict/a/v1/models/x", None),
        ("DELETE", "/api/predict/a/v1/models/x", "call"),
        ("POST", "/v1/responses", "chat"),
        ("GET", "/api/predict/a/v1/responses/7", "chat"),
        ("POST", "/api/predict/a/v1/audio/speech", "embeddings"),
        ("POST", "/api/predict/a/rerank", "call"),
        ("GET", "/api/predict/a/metrics", "call"),
    ],
)
def test_each_request_needs_one_scope(method: str, path: str, needed: str | None) -> None:
    target = parse_target(path.encode())
    assert scope_needed(target, method, is_socket=False, is_language_model=True) == needed


def test_the_root_of_a_program_needs_call_and_a_dialogue_chat() -> None:
    root = Target("a", "")
    assert scope_needed(root, "GET", is_socket=False, is_language_model=False) == "call"
    assert scope_needed(root, "GET", is_socket=True, is_language_model=True) == "chat"


def test_why_a_key_counts_no_more_is_told_within_a_second_and_only_to_who_has_it(
    server: Server, words: Deployed
) -> None:
    workspace, body = words.row.workspace, {"model": words.row.name, **ASKED}

    def ask(secret: str) -> tuple[int, str]:
        return error_of(httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=bearer(secret)))

    revoked, revoked_secret = issue(workspace)
    _, expired_secret = issue(workspace, days=1)
    _, left_secret = issue(workspace, "lena")
    _, off_secret = issue(workspace, "otto")
    secrets = (revoked_secret, expired_secret, left_secret, off_secret)
    for secret in secrets:
        answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=bearer(secret))
        assert answer.status_code == 200
    api_keys.revoke_api_key(revoked.user, revoked)
    ApiKey.objects.filter(expires_at__isnull=False).update(expires_at=timezone.now())
    root = User.objects.create_superuser("root")
    members.remove_member(root, workspace, User.objects.get(username="lena"))
    User.objects.filter(username="otto").update(is_active=False)
    codes = [(401, f"api_key_{why}") for why in ("revoked", "expired", "inactive", "inactive")]
    wait_until(lambda: [ask(secret) for secret in secrets] == codes, "the keys count no more", 1.5)
    made_up = api_keys.PREFIX + "a" * 40
    assert ask(made_up) == ask(api_keys.new_secret()) == (401, "Unauthorized")


def test_a_request_without_a_service_s_name_is_told_to_name_one(server: Server, words: Deployed) -> None:
    _, secret = issue(words.row.workspace)
    retrieved = httpx.get(f"{server.url}/v1/responses/resp_7", headers=bearer(secret))
    assert error_of(retrieved) == (400, "model_missing")
    asked = httpx.get(f"{server.url}/v1/chat/completions", headers=bearer(secret))
    assert error_of(asked) == (405, "method_not_allowed")
    assert asked.headers["Allow"] == "POST, OPTIONS"


@pytest.mark.parametrize("as_subprotocol", [False, True])
def test_a_websocket_whose_key_is_revoked_ends_with_its_next_message(words: Deployed, as_subprotocol: bool) -> None:
    row, secret = issue(words.row.workspace)
    token = base64.urlsafe_b64encode(secret.encode()).decode().rstrip("=")
    handshake: dict[str, Any] = {"header": [f"Authorization: {secret}"]}
    if as_subprotocol:
        handshake = {"subprotocols": ["slipway.eas", f"slipway.token.{token}"]}
    socket = websocket.create_connection(words.url.replace("http", "ws"), timeout=20, **handshake)
    for _round in range(2):
        socket.send("one")
        assert [socket.recv(), socket.recv()] == ["word ", "<EOS>"]
    api_keys.revoke_api_key(row.user, row)
    url, headers = f"{words.url}/v1/models", bearer(secret)
    wait_until(lambda: httpx.get(url, headers=headers).status_code == 401, "the key is refused", 2)
    socket.send("two")
    opcode, data = socket.recv_data()
    assert (opcode, data[:2]) == (websocket.ABNF.OPCODE_CLOSE, (1008).to_bytes(2, "big"))


def test_a_websocket_of_a_key_outlives_a_new_token_of_the_service(words: Deployed) -> None:
    _, secret = issue(words.row.workspace)
    socket = websocket.create_connection(
        words.url.replace("http", "ws"), header=[f"Authorization: {secret}"], timeout=20
    )
    lifecycle.rotate_token(words.row, User.objects.create_superuser("root"))
    wait_until(lambda: httpx.get(words.url, headers=words.auth).status_code == 401, "the old token is refused", 2)
    socket.send("one")
    assert [socket.recv(), socket.recv()] == ["word ", "<EOS>"]
    socket.close()


def test_when_a_key_was_used_last_is_written_soon_and_a_token_s_use_is_nobody_s(
    words: Deployed,
) -> None:
    row, secret = issue(words.row.workspace)
    unused, _ = issue(words.row.workspace)
    began = timezone.now()
    httpx.get(f"{words.url}/v1/models", headers=bearer(secret))

    def is_written() -> bool:
        row.refresh_from_db()
        return row.last_used_at is not None and row.last_used_at >= began - timedelta(seconds=1)

    wait_until(is_written, "the use is written", 10)
    unused.refresh_from_db()
    assert unused.last_used_at is None


# Looks


def deploy_and_issue(server: Server) -> tuple[ApiKey, str]:
    return issue(deploy(server, free_port()).row.workspace)


class CountingKeybook(Keybook):
    """Counts how often it asks the database."""

    looks = 0

    async def _read(self) -> None:
        self.looks += 1
        await super()._read()


async def test_a_flood_of_made_up_keys_asks_nothing_and_one_of_old_keys_hardly_anything() -> None:
    keybook = CountingKeybook(Directory())
    for number in range(3000):
        assert await keybook.find(f"{api_keys.PREFIX}{number:040}") is None
    assert (keybook.looks, len(keybook._slots)) == (0, 0)


async def test_many_keys_share_a_look_and_are_remembered_within_bounds(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, good = await in_database(deploy_and_issue, server)
    forgotten = [api_keys.new_secret() for _ in range(1200)]
    monkeypatch.setattr("inference_gateway.keybook.MAX_KEYS", 1000)
    keybook = CountingKeybook(Directory())
    began = time.monotonic()
    found = await asyncio.gather(*(keybook.find(secret) for secret in [*forgotten, good]))
    again = await asyncio.gather(*(keybook.find(good) for _ in range(1000)))
    assert {entry and entry.id for entry in found[:-1]} == {None}
    assert found[-1] is not None
    assert {entry and entry.id for entry in again} == {found[-1].id}
    assert keybook.looks <= 4 + 2 * (time.monotonic() - began)
    assert len(keybook._slots) == 1000


async def test_a_revoked_key_is_forgotten_within_a_second_without_a_hint_and_at_once_with_one(server: Server) -> None:
    row, secret = await in_database(deploy_and_issue, server)
    hinted, unhinted = Keybook(Directory()), Keybook(Directory())
    for keybook in (hinted, unhinted):
        entry = await keybook.find(secret)
        assert entry is not None
        assert entry.ended is None
    await in_database(api_keys.revoke_api_key, row.user, row)
    hinted.doubt("keys")
    entry = await hinted.find(secret)
    assert entry is not None
    assert entry.ended is not None

    async def is_ended() -> bool:
        found = await unhinted.find(secret)
        return found is not None and found.ended is not None

    await wait_until_async(is_ended, "the revocation is seen", 1.0)


async def test_without_the_database_a_known_key_goes_on_counting_and_an_unknown_one_is_503(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = await in_database(deploy_and_issue, server)
    keybook = Keybook(Directory())
    await keybook.find(secret)
    await in_database(rename_table, "deployments_apikey", "elsewhere")
    try:
        keybook.doubt_all()
        assert await keybook.find(secret) is not None
        with pytest.raises(ChatError) as refused:
            await keybook.find(api_keys.new_secret())
        assert (refused.value.status, refused.value.code) == (503, "database_unavailable")
    finally:
        await in_database(rename_table, "elsewhere", "deployments_apikey")


def rename_table(name: str, other: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {name} RENAME TO {other}")


# On whose account


def test_the_limits_of_rows_are_those_of_the_gateway() -> None:
    assert tuple(one.name for one in fields(Limits)) == LIMIT_FIELDS


def call_of(service: ServiceEntry, secret: str) -> Call:
    path = f"/api/predict/{service.name}/v1/chat/completions"
    scope = {
        "type": "http",
        "method": "POST",
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {secret}".encode())],
    }
    caller = Caller()
    return Call(scope, caller.receive, caller.send, "r", parse_target(path.encode()))


async def test_a_principal_names_those_of_key_person_and_workspace_that_have_a_limit(server: Server) -> None:
    service = await in_database(deploy, server, free_port())
    workspace = await in_database(lambda: service.row.workspace)
    row, secret = await in_database(issue, workspace, limits={"tokens_per_day": 1000})
    directory = Directory()
    entry = await directory.find(service.row.name)
    assert entry is not None
    assert entry.principal == Principal(Proof.SERVICE_TOKEN, workspace.pk)
    call = call_of(entry, secret)
    assert await Keybook(directory).admit(call, entry)
    key = Subject(f"key:{row.pk}", Limits(tokens_per_day=1000))
    assert call.principal == Principal(Proof.API_KEY, workspace.pk, row.user_id, row.pk, (key,))

    root = await in_database(User.objects.create_superuser, "root")
    await in_database(limits.set_workspace_limits, root, workspace, {"parallel_requests": 4})
    await in_database(limits.set_member_limits, root, workspace, row.user, {"requests_per_minute": 60})
    whole = Subject(f"workspace:{workspace.pk}", Limits(parallel_requests=4))
    person = Subject(f"person:{row.user_id}@{workspace.pk}", Limits(requests_per_minute=60))
    entry = await directory.find(service.row.name, 0.0)
    assert entry is not None
    assert entry.principal.limited == (whole,)
    assert await Keybook(directory).admit(call, entry)
    assert call.principal is not None
    assert call.principal.limited == (key, person, whole)
    asked = await find_session_principal(row.user_id, entry)
    assert asked == Principal(Proof.SESSION, workspace.pk, row.user_id, None, (person, whole))
    assert (await find_session_principal(root.pk, entry)).limited == (whole,)


async def test_what_is_no_key_is_left_to_the_token_s_check(server: Server) -> None:
    service = await in_database(deploy, server, free_port())
    directory = Directory()
    entry = await directory.find(service.row.name)
    assert entry is not None
    for secret in (service.token, "sk-other", api_keys.PREFIX + "é" * 40):
        assert not await Keybook(directory).admit(call_of(entry, secret), entry)
