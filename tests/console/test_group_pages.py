"""A service's group on its pages: its part in it, the group's addresses and its token."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from console.snippets import TOKEN_MARK
from deployments.encryption import decrypt, encrypt
from deployments.models import AuditEntry, Instance, Service, ServiceGroup, Status
from tests.console.conftest import TOKEN, ServiceMaker

GROUP_TOKEN = "group-token-abcdefghijkl"
SCRIPT = {"HX-Request": "true"}


@pytest.fixture
def group(make_service: ServiceMaker) -> ServiceGroup:
    """The group ``chat``, whose only member is ``chat_a``; it takes requests."""
    service = make_service("chat_a", ready=1)
    group = ServiceGroup.objects.create(name="chat", workspace=service.workspace, token_encrypted=encrypt(GROUP_TOKEN))
    Service.objects.update(group=group, traffic_state="grouping")
    return group


def test_a_service_s_group_is_shown_and_its_part_in_it_changed(
    operator: Client, viewer: Client, make_service: ServiceMaker
) -> None:
    service = make_service("chat_a")
    assert "release" not in operator.get("/services/chat_a").content.decode()
    assert operator.get("/services/chat_a/release").status_code == 409
    group = ServiceGroup.objects.create(name="chat", workspace=service.workspace, token_encrypted=encrypt("x"))
    Service.objects.update(group=group)
    page = operator.get("/services/chat_a").content.decode()
    assert "/api/predict/chat<" in page
    assert "takes none of its requests" in page
    assert "/services/chat_a/release" not in viewer.get("/services/chat_a").content.decode()
    form = operator.get("/services/chat_a/release").content.decode()
    assert re.search(
        r'value="standalone" selected.*value="auto" selected.*name="weight"[^>]* value="-1"', form, re.DOTALL
    )
    given = {"traffic_state": "grouping", "traffic_mode": "customized", "weight": "40"}
    assert operator.post("/services/chat_a/release", given).status_code == 302
    service.refresh_from_db()
    group.refresh_from_db()
    assert (service.weight, service.traffic_state, group.traffic_mode) == (40, "grouping", "customized")
    page = operator.get("/services/chat_a").content.decode()
    assert "takes requests of the group" in page
    assert "weight 40" in page
    wrong = ({"weight": "1001"}, {"weight": "-2"}, {"weight": "x"}, {"weight": "9" * 40}, {"traffic_state": "on"})
    for change in (*wrong, {"traffic_mode": ""}):
        answer = operator.post("/services/chat_a/release", given | change)
        assert answer.status_code == 422
        assert 'role="alert"' in answer.content.decode()
    service.refresh_from_db()
    assert service.weight == 40


def test_a_group_s_addresses_are_shown_and_its_token_only_when_asked_for(
    operator: Client, viewer: Client, stranger: Client, group: ServiceGroup
) -> None:
    assert 'href="/services/chat_a/group"' in viewer.get("/services/chat_a").content.decode()
    for client in (operator, viewer):
        for headers in ({}, SCRIPT):
            answer = client.get("/services/chat_a/group", headers=headers)
            page = answer.content.decode()
            assert "no-store" in answer["Cache-Control"]
            assert {"/api/predict/chat<", "/api/predict/chat/v1<"} <= set(
                re.findall(r"/api/predict/chat(?:/v1)?<", page)
            )
            assert not [one for one in (GROUP_TOKEN, TOKEN, TOKEN_MARK) if one in page]
            assert ("/services/chat_a/group/token/rotate" in page) is (client is operator)
    assert stranger.get("/services/chat_a/group").status_code == 404
    assert Client().get("/services/chat_a/group").status_code == 302
    assert not AuditEntry.objects.exists()
    answer = operator.post("/services/chat_a/group/token", {"purpose": "copy"}, headers=SCRIPT)
    assert answer.json() == {"token": GROUP_TOKEN}
    assert "no-store" in answer["Cache-Control"]
    answer = operator.post("/services/chat_a/group/token")
    assert GROUP_TOKEN in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    actions = AuditEntry.objects.order_by("pk").values_list("action", "actor_name", "target")
    assert list(actions) == [("group.copy_token", "oskar", "chat"), ("group.reveal_token", "oskar", "chat")]


def test_a_viewer_is_not_told_the_group_s_token(owner: Client, viewer: Client, group: ServiceGroup) -> None:
    for path in ("token", "token/rotate"):
        answer = viewer.post(f"/services/chat_a/group/{path}", {"typed_name": "chat"})
        assert answer.status_code == 403
        assert "olga" in answer.content.decode()
    group.refresh_from_db()
    assert decrypt(group.token_encrypted) == GROUP_TOKEN


def test_rotating_a_group_s_token_says_what_breaks_and_wants_the_group_s_name(
    operator: Client, group: ServiceGroup
) -> None:
    address = "/services/chat_a/group/token/rotate"
    page = operator.get(address).content.decode()
    for said in (
        "Rotate the token of the group chat?",
        "/api/predict/chat with the present one gets 401",
        ">chat</code>",
    ):
        assert said in page
    refused = operator.post(address, {"typed_name": "chat_a"}, headers=SCRIPT)
    assert refused.status_code == 422
    assert "Type chat, exactly" in refused.content.decode()
    group.refresh_from_db()
    assert decrypt(group.token_encrypted) == GROUP_TOKEN
    assert operator.post(address, {"typed_name": "chat"})["Location"] == "/services/chat_a/group"
    group.refresh_from_db()
    service = Service.objects.get()
    assert decrypt(group.token_encrypted) not in (GROUP_TOKEN, TOKEN)
    assert decrypt(service.token_encrypted) == TOKEN
    assert AuditEntry.objects.get().action == "group.rotate_token"


def test_a_service_in_no_group_has_no_page_of_one(operator: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    for path in ("group", "group/token/rotate"):
        assert operator.get(f"/services/chat_a/{path}").status_code == 404
        assert operator.post(f"/services/chat_a/{path}").status_code in (404, 405)
    assert operator.post("/services/chat_a/group/token").status_code == 404


def test_a_group_that_nobody_answers_for_says_so(operator: Client, group: ServiceGroup) -> None:
    def is_told() -> bool:
        return "No member that takes" in operator.get("/services/chat_a/group").content.decode()

    assert not is_told()
    Service.objects.update(status=Status.UPDATING)  # as long as an instance answers
    assert not is_told()
    Service.objects.update(traffic_state="standalone")
    assert is_told()
    Service.objects.update(traffic_state="grouping", weight=0)
    assert not is_told()  # weights do not count in this mode
    ServiceGroup.objects.update(traffic_mode="customized")
    assert is_told()
    Service.objects.update(weight=-1)
    assert not is_told()
    Instance.objects.update(ready_at=None)
    assert is_told()
