"""Who asks over a WebSocket is looked at again: each question is within the limits, and the key's rights, of then."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import websocket
from django.contrib.auth.models import User

from deployments import api_keys, groups, limits
from deployments.api_keys import KeyScope, KeyTerms
from deployments.encryption import decrypt, encrypt, new_service_token
from deployments.group_models import TrafficState
from deployments.models import ApiKey, Membership, Role, Service, ServiceGroup
from tests.inference_gateway.asking import ASKED, CHAT
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy
from tests.inference_gateway.test_gateway_chat_socket import close_code, hear_until, say
from tests.ports import free_port
from tests.waiting import wait_until

#: Too little for any question.
SPENT: dict[str, int | None] = {"tokens_per_day": 1}
NO_LIMIT: dict[str, int | None] = {"tokens_per_day": None}


@pytest.fixture
def words(server: Server, endless: EndlessEngine) -> Deployed:
    endless.ends_after = 1
    return deploy(server, endless.port)


@pytest.fixture
def owner(words: Deployed) -> User:
    person = User.objects.create_user(f"owner_{uuid.uuid4().hex[:8]}")
    Membership.objects.create(user=person, workspace=words.row.workspace, role=Role.OWNER)
    return person


def issue(owner: User, service: Deployed, **terms: Any) -> tuple[ApiKey, str]:
    return api_keys.issue_api_key(owner, service.row.workspace, KeyTerms("laptop", **terms))


def connect(url: str, token: str) -> websocket.WebSocket:
    header = [f"Authorization: {token}"]
    return websocket.create_connection(
        url.replace("http", "ws"), header=header, subprotocols=["slipway.chat"], timeout=30
    )


def ask(socket: websocket.WebSocket) -> str:
    """``done``, or the code of why it was refused."""
    say(socket, type="ask", content="x")
    last = hear_until(socket, "done", "error")[-1]
    return "done" if last["type"] == "done" else str(last["error"]["code"])


def form_group(service: Deployed) -> ServiceGroup:
    """A group of this one service."""
    group = ServiceGroup.objects.create(
        name=f"team_{uuid.uuid4().hex[:8]}",
        workspace=service.row.workspace,
        token_encrypted=encrypt(new_service_token()),
    )
    Service.objects.filter(pk=service.row.pk).update(group=group, traffic_state="grouping")
    return group


def limit_of(whose: str, owner: User, key: ApiKey) -> Callable[[dict[str, int | None]], object]:
    """What sets the limits of a key, its owner or the workspace."""
    workspace = key.workspace
    if whose == "key":
        return lambda given: api_keys.change_api_key(key, KeyTerms(key.name, tuple(key.scopes), limits=given))
    if whose == "person":
        return lambda given: limits.set_member_limits(owner, workspace, owner, given)
    return lambda given: limits.set_workspace_limits(owner, workspace, given)


@pytest.mark.parametrize(
    ("called_with", "whose"),
    [
        ("key", "key"),
        ("key", "person"),
        ("key", "workspace"),
        ("service token", "workspace"),
        ("group token", "workspace"),
        ("key at the group", "key"),
    ],
)
def test_a_budget_set_and_lifted_counts_from_the_next_question_on(
    words: Deployed, owner: User, called_with: str, whose: str
) -> None:
    key, secret = issue(owner, words)
    token, url = {"service token": words.token}.get(called_with, secret), words.url
    if "group" in called_with:
        group = form_group(words)
        url = url.replace(words.row.name, group.name)
        token = decrypt(group.token_encrypted) if called_with == "group token" else secret
    socket = connect(url, token)
    assert [ask(socket), ask(socket)] == ["done", "done"]
    set_limits = limit_of(whose, owner, key)
    set_limits(SPENT)
    wait_until(lambda: ask(socket) == "insufficient_quota", "the budget counts", 10)
    assert ask(socket) == "insufficient_quota"
    set_limits(NO_LIMIT)
    wait_until(lambda: ask(socket) == "done", "the budget counts no more", 10)
    socket.close()


def test_a_question_that_waited_is_within_the_limits_of_when_it_is_begun(
    words: Deployed, owner: User, endless: EndlessEngine
) -> None:
    endless.ends_after = 0
    key, secret = issue(owner, words)
    socket = connect(words.url, secret)
    say(socket, type="ask", content="one", id="1")
    hear_until(socket, "chunk")
    say(socket, type="ask", content="two", id="2")
    say(socket, type="ping")
    hear_until(socket, "pong")  # so the second waits
    limit_of("key", owner, key)(SPENT)

    def is_refused() -> bool:
        headers = {"Authorization": secret}
        with httpx.stream("POST", words.url, json={"prompt": "x"}, headers=headers, timeout=30) as answer:
            return answer.status_code == 429

    wait_until(is_refused, "the budget counts", 10)
    endless.ends_after = 1  # of the first, which is under way, too
    heard = hear_until(socket, "error")
    assert (heard[-1]["id"], heard[-1]["error"]["code"]) == ("2", "insufficient_quota")
    assert [one["id"] for one in heard if one["type"] == "done"] == ["1"]
    socket.close()


@pytest.mark.parametrize("loses", ["scope", "services"])
def test_a_key_that_may_do_less_by_now_ends_its_websocket_with_its_next_message(
    server: Server, words: Deployed, owner: User, loses: str
) -> None:
    other = deploy(server, free_port())
    key, secret = issue(owner, words, scopes=(KeyScope.CHAT.value, KeyScope.EMBEDDINGS.value))
    socket = connect(words.url, secret)
    assert ask(socket) == "done"
    less = KeyTerms("laptop", (KeyScope.EMBEDDINGS.value,), (words.row.uid,))
    if loses == "services":
        less = KeyTerms("laptop", tuple(key.scopes), (other.row.uid,))
    api_keys.change_api_key(key, less)

    def is_refused() -> bool:
        answer = httpx.post(words.url + CHAT, json=ASKED, headers={"Authorization": secret}, timeout=30)
        return answer.status_code == 403

    wait_until(is_refused, "the key may do less", 10)
    say(socket, type="ask", content="two")
    assert close_code(socket) == 1008


def test_a_key_that_may_do_more_by_now_keeps_its_websocket(words: Deployed, owner: User) -> None:
    key, secret = issue(owner, words, scopes=(KeyScope.CHAT.value,), service_uids=(words.row.uid,))
    socket = connect(words.url, secret)
    assert ask(socket) == "done"
    api_keys.change_api_key(key, KeyTerms("laptop", (KeyScope.CHAT.value, KeyScope.CALL.value)))
    assert [ask(socket), ask(socket)] == ["done", "done"]
    socket.close()


def test_a_member_that_leaves_its_group_keeps_the_websockets_that_came_to_it(words: Deployed, owner: User) -> None:
    group = form_group(words)
    socket = connect(words.url.replace(words.row.name, group.name), decrypt(group.token_encrypted))
    assert ask(socket) == "done"
    groups.release(Service.objects.get(pk=words.row.pk), owner, traffic_state=TrafficState.STANDALONE)
    url, auth = words.url.replace(words.row.name, group.name), {"Authorization": decrypt(group.token_encrypted)}
    wait_until(lambda: httpx.get(url, headers=auth).status_code == 503, "nobody takes the group's requests", 10)
    assert [ask(socket), ask(socket)] == ["done", "done"]
    socket.close()
