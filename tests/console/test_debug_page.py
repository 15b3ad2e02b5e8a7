"""Online debugging's page: for those who may know the token, which is not in it; samples that fit the service."""

from __future__ import annotations

import json
import re
from typing import Any

from django.test import Client

from deployments.models import AuditEntry, Revision
from tests.console.conftest import TOKEN, ServiceMaker, document


def samples(client: Client, name: str) -> dict[str, Any]:
    page = client.get(f"/services/{name}/debug").content.decode()
    found = re.search(r'<script id="debug-samples" type="application/json">(.*?)</script>', page)
    assert found
    told: dict[str, Any] = json.loads(found[1])
    return told


def test_the_page_is_for_those_who_may_know_the_token(
    owner: Client, operator: Client, viewer: Client, stranger: Client, make_service: ServiceMaker
) -> None:
    make_service("chat_a")
    assert operator.get("/services/chat_a/debug").status_code == 200
    assert viewer.get("/services/chat_a/debug").status_code == 403
    assert stranger.get("/services/chat_a/debug").status_code == 404
    assert "Online debugging" in operator.get("/services/chat_a").content.decode()
    assert "Online debugging" not in viewer.get("/services/chat_a").content.decode()


def test_the_token_comes_on_request_and_that_is_audited(operator: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    assert TOKEN not in operator.get("/services/chat_a/debug").content.decode()
    answer = operator.post("/services/chat_a/token", {"purpose": "debug"}, headers={"HX-Request": "true"})
    assert answer.json() == {"token": TOKEN}
    assert AuditEntry.objects.filter(action="service.debug_token", target="chat_a").count() == 1


def test_the_samples_fit_what_runs(operator: Client, make_service: ServiceMaker) -> None:
    make_service("chat_a")
    assert {"eas", "eas-stream", "chat-stream", "models"} <= set(samples(operator, "chat_a"))
    service = make_service("tool")
    plain = document("tool")
    plain["labels"] = {}
    revision = Revision.objects.create(service=service, number=2, document=plain)
    service.wanted_revision = revision
    service.save(update_fields=["wanted_revision"])
    assert list(samples(operator, "tool")) == ["get"]
