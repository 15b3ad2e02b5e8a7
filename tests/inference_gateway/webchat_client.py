"""A page of the web chat as far as its WebSocket goes: signed in, asking, and keeping what it is told."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from websockets import Origin
from websockets.sync.client import ClientConnection, connect

from deployments.models import Membership, Role, Workspace
from inference_gateway.models import Turn
from tests.inference_gateway.rig import EndlessEngine, Server


def make_person(name: str, workspace: Workspace | None, role: Role = Role.VIEWER) -> User:
    person = User.objects.create_user(name, password="a-long-pass-phrase")
    if workspace is not None:
        Membership.objects.create(user=person, workspace=workspace, role=role)
    return person


def session_of(person: User) -> str:
    """A session as signing in makes it."""
    session = SessionStore()
    session[SESSION_KEY] = str(person.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = person.get_session_auth_hash()
    session.create()
    assert session.session_key is not None
    return session.session_key


class Page:
    """``heard`` is every message so far, ``text`` the answer of the newest turn as the page shows it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: list[dict[str, Any]] = []
        self.text = ""

    def say(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def ask(self, question: str, conversation: str | None = None, **more: Any) -> str:
        """Watch a conversation from its beginning and ask; returns its id."""
        conversation = conversation or str(uuid.uuid4())
        if "watched" not in more:
            self.say(type="watch", conversation=conversation)
        more.pop("watched", None)
        message = {"id": str(uuid.uuid4()), "question": question, **more}
        self.say(type="send", conversation=conversation, **message)
        return conversation

    def hear(self, until: Callable[[dict[str, Any]], bool], timeout_seconds: float = 30.0) -> dict[str, Any]:
        """Read until a message that fits, and return it."""
        while True:
            try:
                message: dict[str, Any] = json.loads(self.socket.recv(timeout=timeout_seconds))
            except TimeoutError:
                raise AssertionError(f"not heard; the last were {self.heard[-5:]}") from None
            self.heard.append(message)
            if message["type"] == "turn":
                self.text = ""
            elif message["type"] == "text":
                units = self.text.encode("utf-16-le")[: 2 * message["offset"]]
                self.text = units.decode("utf-16-le") + message["delta"]
            if until(message):
                return message

    def hear_type(self, kind: str, timeout_seconds: float = 30.0) -> dict[str, Any]:
        return self.hear(lambda message: message["type"] == kind, timeout_seconds)

    def hear_words(self, count: int) -> None:
        self.hear(lambda message: self.text.count(" ") >= count)


@contextmanager
def open_page(server: Server, person: User | None, service: str, origin: str | None = None) -> Iterator[Page]:
    cookie = f"{settings.SESSION_COOKIE_NAME}={session_of(person)}" if person is not None else ""
    address = f"ws://127.0.0.1:{server.port}/ws/chat/{service}"
    with connect(address, origin=Origin(origin or server.url), additional_headers={"Cookie": cookie}) as socket:
        yield Page(socket)


def only_turn() -> Turn:
    return Turn.objects.get()


def is_idle(endless: EndlessEngine) -> bool:
    return endless.active == 0
