"""``/ws/live``: who is let in, and that hints name only what the person may see."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.layers import get_channel_layer
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from console.asgi import application
from console.live import FOREIGN, SIGNED_OUT
from deployments.hints import GROUP
from deployments.models import Membership
from tests.console.conftest import ServiceMaker

pytestmark = pytest.mark.django_db(transaction=True)


def socket_of(client: Client | None, origin: str = "http://testserver") -> ApplicationCommunicator:
    headers = [(b"host", b"testserver"), (b"origin", origin.encode())]
    if client is not None:
        key = client.cookies[settings.SESSION_COOKIE_NAME].value
        headers.append((b"cookie", f"{settings.SESSION_COOKIE_NAME}={key}".encode()))
    scope = {"type": "websocket", "path": "/ws/live", "query_string": b"", "headers": headers, "subprotocols": []}
    return ApplicationCommunicator(application, scope)


async def open_socket(socket: ApplicationCommunicator) -> dict[str, Any]:
    """Send the handshake and return what the application answers first."""
    await socket.send_input({"type": "websocket.connect"})
    answer: dict[str, Any] = await socket.receive_output(5)
    return answer


async def told(socket: ApplicationCommunicator) -> Any:
    return json.loads((await socket.receive_output(5))["text"])


@pytest.fixture
async def socket(viewer: Client) -> AsyncIterator[ApplicationCommunicator]:
    communicator = socket_of(viewer)
    assert (await open_socket(communicator))["type"] == "websocket.accept"
    yield communicator
    await communicator.send_input({"type": "websocket.disconnect", "code": 1000})
    await communicator.wait(5)


async def test_a_page_that_asks_is_answered(socket: ApplicationCommunicator) -> None:
    await socket.send_input({"type": "websocket.receive", "text": "{}"})
    assert await told(socket) == {"topic": "pong"}


async def hint(*topics: str) -> None:
    layer: Any = get_channel_layer()
    for topic in topics:
        await layer.group_send(GROUP, {"type": "hint", "topic": topic, "version": 1})


async def test_a_visitor_is_told_to_sign_in_by_the_close_code() -> None:
    communicator = socket_of(None)
    assert (await open_socket(communicator))["type"] == "websocket.accept"
    assert (await communicator.receive_output(5))["code"] == SIGNED_OUT


async def test_another_site_s_page_is_refused(viewer: Client) -> None:
    answer = await open_socket(socket_of(viewer, "http://testserver.evil.example"))
    assert (answer["type"], answer["code"]) == ("websocket.close", FOREIGN)


async def test_a_hint_names_a_service_that_the_person_may_see(
    socket: ApplicationCommunicator, make_service: ServiceMaker
) -> None:
    await sync_to_async(make_service)("chat_a")
    await hint("service:chat_a")
    assert await told(socket) == {"topic": "service:chat_a"}


async def test_a_hint_of_a_strange_service_says_only_that_something_changed(
    socket: ApplicationCommunicator, make_service: ServiceMaker, stranger: Client
) -> None:
    elsewhere = await sync_to_async(lambda: User.objects.get(username="sven").memberships.get().workspace)()
    await sync_to_async(make_service)("theirs", workspace=elsewhere)
    await hint("service:theirs", "service:theirs", "service:unknown")
    assert await told(socket) == {"topic": "services"}
    assert await socket.receive_nothing(0.4, 0.05)


async def test_rights_are_asked_at_every_hint(socket: ApplicationCommunicator, make_service: ServiceMaker) -> None:
    await sync_to_async(make_service)("chat_a")
    await sync_to_async(Membership.objects.filter(user__username="vera").delete)()
    await hint("service:chat_a")
    assert await told(socket) == {"topic": "services"}


async def test_signing_out_ends_the_socket_at_the_next_hint(
    socket: ApplicationCommunicator, viewer: Client, make_service: ServiceMaker
) -> None:
    await sync_to_async(viewer.post)("/sign-out")
    await hint("services")
    assert (await socket.receive_output(5))["code"] == SIGNED_OUT


async def test_pages_of_members_are_told_apart_from_pages_of_services(socket: ApplicationCommunicator) -> None:
    await hint("members")
    assert await told(socket) == {"topic": "members"}
    assert await socket.receive_nothing(0.5)
