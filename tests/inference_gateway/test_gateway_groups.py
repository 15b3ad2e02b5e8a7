"""Service groups at the gateway: which member answers, who is let in, and how soon a change counts."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import openai
import pytest
import websocket
from django.contrib.auth.models import User

from deployments import api_keys, groups, lifecycle
from deployments.api_keys import KeyTerms
from deployments.encryption import decrypt, encrypt, new_service_token
from deployments.group_models import TrafficMode, TrafficState
from deployments.models import Service, ServiceGroup, Workspace
from deployments.spec import ServiceSpec
from inference_gateway.groups import GroupEntry, Member, choose, point_of
from inference_gateway.models import UsageEvent
from tests.deployments.driving import tiny_document
from tests.inference_gateway.asking import ASKED, CHAT, code_of
from tests.inference_gateway.raw_engine import RawEngine
from tests.inference_gateway.resuming_rig import QUESTION, WHOLE, Slow, policy
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy
from tests.ports import free_port
from tests.waiting import wait_until

DISCOVERY = "/api/v1/servicediscovery/upstreams"
VLLM = "vllm serve /models/x --port 8000"


# Pure


def counts(shares: list[tuple[str, int]], points: int = 1000) -> Counter[str | None]:
    return Counter(choose(shares, place / points) for place in range(points))


def test_a_member_is_chosen_as_often_as_its_share_says() -> None:
    assert counts([("a", 75), ("b", 25)]) == {"a": 750, "b": 250}
    assert counts([("a", 0), ("b", 3), ("c", 0)]) == {"b": 1000}
    assert counts([("a", 0)]) == counts([]) == {None: 1000}
    assert choose([("a", 1), ("b", 1), ("c", 1)], 1 - 2**-53) == "c"


@pytest.mark.parametrize(
    ("is_weighted", "weight", "ready", "share"),
    [
        (False, 40, 3, 3),
        (False, 0, 3, 3),
        (True, 40, 3, 40),
        (True, 0, 3, 0),
        (True, -1, 3, 3),
        (True, 40, 0, 0),
        (False, -1, 0, 0),
    ],
)
def test_a_share_is_the_weight_or_the_instances_that_answer(
    is_weighted: bool, weight: int, ready: int, share: int
) -> None:
    member = Member("a", weight)
    assert GroupEntry("g", 1, None, is_weighted, (member,)).share_of(member, ready) == share


def test_a_conversation_falls_at_one_place_and_others_all_over() -> None:
    conversation = uuid.uuid4()
    assert point_of(conversation) == point_of(conversation)
    points = [point_of(uuid.UUID(int=number)) for number in range(1000)]
    assert all(0 <= point < 1 for point in points)
    assert 400 < sum(point < 0.5 for point in points) < 600


# With a server


@dataclass(frozen=True, slots=True)
class Team:
    """A group of two services of one engine each, which both take its requests."""

    group: ServiceGroup
    blue: Deployed
    green: Deployed
    url: str

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": decrypt(self.group.token_encrypted)}

    def ask(self, **headers: str) -> httpx.Response:
        return httpx.post(self.url + CHAT, json=ASKED, headers=self.auth | headers, timeout=30)


def person() -> User:
    return User.objects.get_or_create(username="root", defaults={"is_superuser": True})[0]


def join(service: Deployed, group: ServiceGroup, state: TrafficState = TrafficState.GROUPING) -> None:
    Service.objects.filter(pk=service.row.pk).update(group=group, traffic_state=state)
    service.row.refresh_from_db()


def release(service: Deployed, weight: int | None = None, state: TrafficState | None = None) -> None:
    groups.release(service.row, person(), weight=weight, traffic_state=state)


@pytest.fixture
def engines() -> Iterator[tuple[EndlessEngine, EndlessEngine]]:
    with EndlessEngine("blue") as blue, EndlessEngine("green") as green:
        blue.ends_after = green.ends_after = 1
        yield blue, green


@pytest.fixture
def team(server: Server, engines: tuple[EndlessEngine, EndlessEngine]) -> Team:
    blue, green = (deploy(server, one.port, engine="vllm", script=VLLM) for one in engines)
    return form_team(server, blue, green)


def form_team(server: Server, blue: Deployed, green: Deployed) -> Team:
    name = f"team_{uuid.uuid4().hex[:8]}"
    group = ServiceGroup.objects.create(
        name=name, workspace=blue.row.workspace, token_encrypted=encrypt(new_service_token())
    )
    join(blue, group)
    join(green, group)
    return Team(group, blue, green, f"{server.url}/api/predict/{name}")


def told(engines: tuple[EndlessEngine, EndlessEngine]) -> tuple[int, int]:
    return len(engines[0].asked), len(engines[1].asked)


def test_both_members_answer_and_weights_move_all_requests_to_one_within_a_second(
    team: Team, engines: tuple[EndlessEngine, EndlessEngine]
) -> None:
    for _ in range(60):  # one of both gets none of them once in 2**59 runs
        assert team.ask().status_code == 200
    assert min(told(engines)) > 0
    release(team.blue, 0)
    groups.set_traffic_mode(team.group, TrafficMode.CUSTOMIZED, person())

    def all_to_green() -> bool:
        before = len(engines[0].asked)
        assert all(team.ask().status_code == 200 for _ in range(10))
        return len(engines[0].asked) == before

    wait_until(all_to_green, "the weights count", 5)
    release(team.blue, 1000)
    release(team.green, 0)
    before = len(engines[0].asked)
    wait_until(lambda: team.ask().status_code == 200 and len(engines[0].asked) > before, "they are turned", 5)


def test_a_member_takes_nothing_until_it_is_released_nor_without_an_instance(
    team: Team, engines: tuple[EndlessEngine, EndlessEngine]
) -> None:
    team.green.instance().delete()
    join(team.blue, team.group, TrafficState.STANDALONE)
    answer = team.ask()
    assert (answer.status_code, code_of(answer)) == (503, "no_healthy_upstream")
    assert team.green.row.name in answer.text
    described = httpx.get(team.url, headers=team.auth)
    assert (described.status_code, described.text) == (503, "no healthy upstream")
    assert httpx.get(team.blue.url, headers=team.blue.auth).status_code == 200  # its own address works
    release(team.blue, state=TrafficState.GROUPING)
    wait_until(lambda: team.ask().status_code == 200, "the released member answers", 5)
    assert all(team.ask().status_code == 200 for _ in range(10))
    release(team.blue, state=TrafficState.STANDALONE)
    release(team.green, state=TrafficState.STANDALONE)
    wait_until(lambda: team.ask().status_code == 503, "nobody is released", 5)
    assert "Release one" in team.ask().text
    assert told(engines)[1] == 0


def test_the_group_s_token_opens_the_group_and_a_member_s_the_member_alone(server: Server, team: Team) -> None:
    assert httpx.post(team.url + CHAT, json=ASKED, headers=team.blue.auth).status_code == 401
    assert httpx.post(team.blue.url + CHAT, json=ASKED, headers=team.auth).status_code == 401
    assert httpx.post(team.url + CHAT, json=ASKED).status_code == 401
    old = team.auth
    groups.rotate_group_token(team.group, person())
    wait_until(lambda: httpx.get(team.url, headers=old).status_code == 401, "the old token is refused", 5)
    team.group.refresh_from_db()
    assert team.ask().status_code == 200


def test_openai_s_client_and_anthropic_s_dialect_take_a_group_for_a_service(server: Server, team: Team) -> None:
    token, name = team.auth["Authorization"], team.group.name
    asked: list[Any] = ASKED["messages"]  # type: ignore[assignment]
    below = openai.OpenAI(base_url=f"{team.url}/v1", api_key=token, max_retries=0)
    flat = openai.OpenAI(base_url=f"{server.url}/v1", api_key=token, max_retries=0)
    for client in (below, flat):
        assert [one.id for one in client.models.list()] == [name]
        said = client.chat.completions.create(model=name, messages=asked)
        assert said.choices[0].message.content == "word "
        streamed = client.chat.completions.create(model=name, messages=asked, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == "word "
    for base in (team.url, server.url):
        body = {"model": name, "max_tokens": 8, "messages": asked}
        answer = httpx.post(f"{base}/v1/messages", json=body, headers={"x-api-key": token}, timeout=30)
        assert answer.json()["content"] == [{"type": "text", "text": "word "}]
    described = httpx.get(team.url, headers=team.auth).json()
    assert described["protocols"]["eas"] == f"POST /api/predict/{name}"


def test_a_key_reaches_the_members_that_it_is_for(
    server: Server, team: Team, engines: tuple[EndlessEngine, EndlessEngine]
) -> None:
    workspace = team.blue.row.workspace
    other = deploy(server, free_port())

    def ask(*services: Deployed, scopes: tuple[str, ...] = ("chat",)) -> httpx.Response:
        terms = KeyTerms("laptop", scopes, tuple(one.row.uid for one in services))
        _, secret = api_keys.issue_api_key(person(), workspace, terms)
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.post(team.url + CHAT, json=ASKED, headers=headers, timeout=30)

    assert ask().status_code == 200
    before = told(engines)
    for _ in range(10):
        assert ask(team.green).status_code == 200
    assert told(engines) == (before[0], before[1] + 10)
    assert code_of(ask(other)) == "service_not_allowed"
    assert code_of(ask(scopes=("embeddings",))) == "scope_missing"
    elsewhere = Workspace.objects.create(slug="elsewhere", name="Elsewhere")
    _, secret = api_keys.issue_api_key(person(), elsewhere, KeyTerms("laptop"))
    refused = httpx.post(team.url + CHAT, json=ASKED, headers={"Authorization": secret})
    assert (refused.status_code, code_of(refused)) == (403, "service_not_allowed")


def test_openai_s_client_lists_the_groups_that_a_key_may_call_and_describes_them(server: Server, team: Team) -> None:
    workspace, name = team.blue.row.workspace, team.group.name
    other = deploy(server, free_port())

    def client(*services: Deployed, scopes: tuple[str, ...] = ("chat",)) -> openai.OpenAI:
        terms = KeyTerms("laptop", scopes, tuple(one.row.uid for one in services))
        _, secret = api_keys.issue_api_key(person(), workspace, terms)
        return openai.OpenAI(base_url=f"{server.url}/v1", api_key=secret, max_retries=0)

    def listed(by: openai.OpenAI) -> list[str]:
        return [one.id for one in by.models.list()]

    blue, green = team.blue.row.name, team.green.row.name
    everything, for_green, for_other = client(), client(team.green), client(other)
    assert listed(everything) == sorted((blue, green, name, other.row.name))
    assert listed(for_green) == sorted((green, name))
    assert listed(for_other) == [other.row.name]
    told = openai.OpenAI(base_url=f"{server.url}/v1", api_key=team.auth["Authorization"], max_retries=0)
    plain = told.models.retrieve(name).to_dict() | {"created": 0}
    for by in (everything, for_green, client(team.green, scopes=("embeddings",))):
        assert by.models.retrieve(name).to_dict() | {"created": 0} == plain
        found = next(one for one in by.models.list() if one.id == name)
        assert found.to_dict() | {"created": 0} == plain
    with pytest.raises(openai.PermissionDeniedError):
        for_other.models.retrieve(name)
    release(team.green, state=TrafficState.STANDALONE)
    wait_until(lambda: listed(for_green) == [green], "the member that the key is for takes none of its requests", 5)
    assert listed(everything) == sorted((blue, green, name, other.row.name))
    with pytest.raises(openai.PermissionDeniedError):
        for_green.models.retrieve(name)
    elsewhere = Workspace.objects.create(slug="elsewhere", name="Elsewhere")
    _, secret = api_keys.issue_api_key(person(), elsewhere, KeyTerms("laptop"))
    assert listed(openai.OpenAI(base_url=f"{server.url}/v1", api_key=secret, max_retries=0)) == []


def test_a_conversation_stays_with_its_member_and_is_remembered(
    team: Team, engines: tuple[EndlessEngine, EndlessEngine]
) -> None:
    for _ in range(8):
        conversation = str(uuid.uuid4())
        before = told(engines)
        for _ in range(4):
            assert team.ask(**{"X-Slipway-Conversation": conversation}).status_code == 200
        assert {now - then for now, then in zip(told(engines), before, strict=True)} == {0, 4}
    rounds = max(len(body["messages"]) for engine in engines for body in engine.asked)
    assert rounds >= 7  # three rounds before the question


def test_a_websocket_is_one_member_s_and_ends_with_the_group_s_token(
    team: Team, engines: tuple[EndlessEngine, EndlessEngine]
) -> None:
    header = [f"Authorization: {team.auth['Authorization']}"]
    socket = websocket.create_connection(team.url.replace("http", "ws"), header=header, timeout=30)
    for _ in range(5):
        socket.send("one")
        assert [socket.recv(), socket.recv()] == ["word ", "<EOS>"]
    assert sorted(told(engines)) == [0, 5]
    lifecycle.rotate_token(team.blue.row, person())
    lifecycle.rotate_token(team.green.row, person())
    socket.send("members' tokens do not matter")
    assert [socket.recv(), socket.recv()] == ["word ", "<EOS>"]
    old = team.auth
    groups.rotate_group_token(team.group, person())
    wait_until(lambda: httpx.get(team.url, headers=old).status_code == 401, "the old token is refused", 5)
    socket.send("two")
    opcode, data = socket.recv_data()
    assert (opcode, data[:2]) == (websocket.ABNF.OPCODE_CLOSE, (1008).to_bytes(2, "big"))
    assert sorted(told(engines)) == [0, 6]


def test_usage_is_that_of_the_member_that_answered(team: Team, engines: tuple[EndlessEngine, EndlessEngine]) -> None:
    for _ in range(10):
        assert team.ask().status_code == 200

    def counted() -> list[int]:
        return [UsageEvent.objects.filter(service_uid=one.row.uid).count() for one in (team.blue, team.green)]

    wait_until(lambda: counted() == list(told(engines)), "each member's requests are counted", 30)
    assert not UsageEvent.objects.filter(service_name=team.group.name).exists()


def test_a_group_is_found_as_soon_as_it_is_made_and_gone_with_its_last_member(server: Server) -> None:
    workspace, _ = Workspace.objects.get_or_create(slug="default", defaults={"name": "Default"})
    name = f"team_{uuid.uuid4().hex[:8]}"
    url = f"{server.url}/api/predict/{name}"
    assert httpx.get(url, headers={"Authorization": "x"}).status_code == 404
    document = tiny_document(f"member_{uuid.uuid4().hex[:8]}", group=name)
    service = lifecycle.create(workspace, person(), ServiceSpec.parse(document))
    wait_until(lambda: httpx.get(url, headers={"Authorization": "x"}).status_code == 401, "the group is known", 5)
    document["metadata"]["group"] = ""
    lifecycle.update(service, ServiceSpec.parse(document), person())
    wait_until(lambda: httpx.get(url, headers={"Authorization": "x"}).status_code == 404, "the group is gone", 5)


def test_an_answer_is_resumed_under_the_group_s_name_whichever_member_takes_requests_now(server: Server) -> None:
    scripts = Slow(20), Slow(20)
    with RawEngine(scripts[0]) as blue, RawEngine(scripts[1]) as green:
        members = [deploy(server, one.port, **policy(30)) for one in (blue, green)]
        team = form_team(server, *members)
        with httpx.stream("POST", team.url + CHAT, json=QUESTION, headers=team.auth, timeout=30) as response:
            generation, got = response.headers["x-slipway-generation"], next(response.iter_raw())
        asked = members[0 if blue.turns else 1]
        release(asked, state=TrafficState.STANDALONE)
        other = {one.row.name for one in members} - {asked.row.name}
        wait_until(
            lambda: {httpx.get(team.url, headers=team.auth).json()["service"] for _ in range(8)} == other,
            "the other member takes all requests",
            5,
        )
        for script in scripts:
            script.go.set()
        rest = f"/.slipway/generations/{generation}?offset={len(got)}"
        resumed = httpx.get(team.url + rest, headers=team.auth, timeout=30)
        assert (resumed.status_code, got + resumed.content) == (200, WHOLE)
        assert httpx.get(asked.url + rest, headers=asked.auth).status_code == 404
        assert len(blue.turns) + len(green.turns) == 1


def test_discovery_knows_a_group_while_somebody_answers_for_it(server: Server, team: Team) -> None:
    address = f"{server.url}{DISCOVERY}/{team.group.name}"
    assert httpx.get(address).json()["endpoints"]["items"][0]["port"] == server.port
    release(team.blue, state=TrafficState.STANDALONE)
    release(team.green, state=TrafficState.STANDALONE)
    wait_until(lambda: httpx.get(address).json() == {"endpoints": {"items": []}}, "nobody answers", 5)
