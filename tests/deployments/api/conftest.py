"""The cast for the REST control plane: an owner, an operator, a viewer, a stranger, an administrator."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from deployments import lifecycle
from deployments.models import Membership, Role, Service, Workspace
from deployments.spec import ServiceSpec
from tests.deployments.driving import tiny_document

PASSWORD = "a long enough secret"


class Api:
    """Requests as one person, through Django's whole stack. Answers are checked for EAS's envelope."""

    def __init__(self, user: User | None) -> None:
        self.user = user
        self.client = Client()
        self.headers: dict[str, str] = {}
        if user is not None:
            pair = base64.b64encode(f"{user.username}:{PASSWORD}".encode()).decode()
            self.headers["Authorization"] = f"Basic {pair}"

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Status and body. ``body`` may be bytes; anything else is sent as JSON."""
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        response = self.client.generic(
            method,
            f"/api/v2/{path}",
            raw,
            content_type="application/json" if raw else "application/octet-stream",
            headers={**self.headers, **(headers or {})},
            query_params=query or {},
        )
        answer = json.loads(response.content)
        assert answer["RequestId"] == response["x-request-id"]
        assert len(answer["RequestId"]) == 36
        if response.status_code >= 400:
            assert answer["Code"]
            assert answer["Message"]
        return response.status_code, answer

    def get(self, path: str, **query: str) -> tuple[int, dict[str, Any]]:
        return self.request("GET", path, query=query)

    def put(self, path: str, body: Any = None, **query: str) -> tuple[int, dict[str, Any]]:
        return self.request("PUT", path, body, query=query)

    def post(self, path: str, body: Any = None, **query: str) -> tuple[int, dict[str, Any]]:
        return self.request("POST", path, body, query=query)

    def delete(self, path: str, **query: str) -> tuple[int, dict[str, Any]]:
        return self.request("DELETE", path, query=query)


@pytest.fixture
def workspace(db: None) -> Workspace:
    return Workspace.objects.create(slug="red", name="Red")


@pytest.fixture
def member(workspace: Workspace) -> Callable[[str, Role | None], Api]:
    def make(name: str, role: Role | None) -> Api:
        user = User.objects.create_user(name, password=PASSWORD)
        if role is not None:
            Membership.objects.create(workspace=workspace, user=user, role=role)
        return Api(user)

    return make


@pytest.fixture
def owner(member: Callable[[str, Role | None], Api]) -> Api:
    return member("olga", Role.OWNER)


@pytest.fixture
def operator(member: Callable[[str, Role | None], Api]) -> Api:
    return member("oscar", Role.OPERATOR)


@pytest.fixture
def viewer(member: Callable[[str, Role | None], Api], owner: Api) -> Api:
    return member("vera", Role.VIEWER)


@pytest.fixture
def stranger(member: Callable[[str, Role | None], Api]) -> Api:
    return member("stan", None)


@pytest.fixture
def make_service(workspace: Workspace, owner: Api) -> Callable[..., Service]:
    """Creates a row as the owner; nothing reconciles it unless the test does."""

    def make(name: str = "chat", **changes: Any) -> Service:
        assert owner.user is not None
        document = {**tiny_document(name), **changes}
        return lifecycle.create(workspace, owner.user, ServiceSpec.parse(document))

    return make


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    return make_service()
