"""``/ws/live``: one WebSocket a tab that says what changed; the page then fetches what it shows.

Messages are hints, ``{"topic": "service:<name>"}`` for services the person may see and ``{"topic": "services"}``
for the rest, never data; ``{"topic": "notices"}`` when there is something new in the bell,
``{"topic": "access"}`` when the person's rights changed, ``{"topic": "members"}`` when somebody came to a workspace,
went or got another role, ``{"topic": "pong"}`` answers whatever the page says. Hints that come close together are sent
as one, after one question to the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings

from deployments.accounts import find_user_by_session
from deployments.hints import GROUP, MEMBERS
from deployments.models import Membership, Service
from deployments.notices import TOPIC as NOTICE_TOPIC
from deployments.sign_ins import NOTE_EVERY_SECONDS, note_seen
from inference_gateway.database import in_database
from inference_gateway.webchat.origin import is_own_origin, origin_of, read_cookie

logger = logging.getLogger(__name__)
GATHER_SECONDS = 0.1
SIGNED_OUT, FOREIGN, BROKEN = 4401, 4403, 1011
LIST_TOPIC = "services"
PREFIX = "service:"
PERSON_PREFIX = "person:"
ACCESS, PONG, NOTICES = "access", "pong", "notices"


class SignedOut(Exception):
    """The session of this socket has ended."""


class LiveConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """Forwards hints to one tab. Its socket is accepted before it is refused, so that the page gets the code."""

    groups = [GROUP]

    async def connect(self) -> None:
        """Refuse other sites' pages, and people without a session: the page shows the sign-in then."""
        self.pending: set[str] = set()
        self.person_topic, self.noted_at = "", 0.0
        self.sender: asyncio.Task[None] | None = None
        self.session_key = read_cookie(self.scope, settings.SESSION_COOKIE_NAME)
        if not is_own_origin(self.scope, settings.SLIPWAY_PUBLIC_URL):
            await self.close(FOREIGN)
            return
        await self.accept()
        try:
            self.person_topic = await in_database(self.greet)
        except SignedOut:
            await self.close(SIGNED_OUT)

    def greet(self) -> str:
        """The topic of this person's own hints; notes that they are here. Raises ``SignedOut``."""
        user = find_user_by_session(self.session_key)
        if user is None:
            raise SignedOut
        self.noted_at = time.monotonic()
        note_seen(user, self.session_key, *origin_of(self.scope))
        return f"{PERSON_PREFIX}{user.pk}"

    async def receive_json(self, content: Any, **_: Any) -> None:
        """A page only asks whether anybody is there: a server that hangs keeps its connections open."""
        await self.send_json({"topic": PONG})
        if time.monotonic() - self.noted_at > NOTE_EVERY_SECONDS:
            with contextlib.suppress(SignedOut):  # it is told so with the next hint
                await in_database(self.greet)

    async def hint(self, event: dict[str, Any]) -> None:
        """Called by Channels for each message of the group."""
        topic = str(event["topic"])
        if topic.startswith(PERSON_PREFIX) and topic != self.person_topic:
            return
        self.pending.add(topic)
        if self.sender is None or self.sender.done():
            self.sender = asyncio.create_task(self.send_pending(), name="live updates")

    async def send_pending(self) -> None:
        """Gather for a moment, ask once who may see what, send."""
        try:
            while self.pending:
                await asyncio.sleep(GATHER_SECONDS)
                topics, self.pending = self.pending, set()
                for topic in await self.allowed(topics):
                    await self.send_json({"topic": topic})
        except SignedOut:
            await self.close(SIGNED_OUT)
        except OSError:
            pass  # the tab went away meanwhile
        except Exception:  # an edge: the page connects again and looks
            logger.exception("live updates of a page broke off")
            await self.close(BROKEN)

    async def allowed(self, topics: set[str]) -> list[str]:
        """The topics as this person may know them; one ``services`` stands for all others."""
        noticed = {topic for topic in topics if topic.startswith(NOTICE_TOPIC)}
        names = {topic.removeprefix(PREFIX) for topic in topics if topic.startswith(PREFIX)}
        seen = await in_database(visible_names, self.session_key, names)
        if self.person_topic in topics:
            return [ACCESS]  # the page looks at everything again
        told = [PREFIX + name for name in sorted(seen)]
        if len(told) < len(topics - {MEMBERS}) - len(noticed):
            told.append(LIST_TOPIC)
        if MEMBERS in topics:
            told.append(MEMBERS)
        return [*told, NOTICES] if noticed and await in_database(told_spaces, self.session_key, noticed) else told

    async def disconnect(self, code: int) -> None:
        """End the sender with the socket."""
        if self.sender is not None and not self.sender.done() and self.sender is not asyncio.current_task():
            self.sender.cancel()
            await asyncio.gather(self.sender, return_exceptions=True)


def told_spaces(session_key: str, topics: set[str]) -> set[str]:
    """Those of the topics whose notices went to the session's person: members of the workspace got one."""
    user = find_user_by_session(session_key)
    if user is None:
        return set()
    spaces = [int(topic.removeprefix(NOTICE_TOPIC)) for topic in topics]
    mine = Membership.objects.filter(user=user, workspace__in=spaces).values_list("workspace_id", flat=True)
    return {f"{NOTICE_TOPIC}{space}" for space in mine}


def visible_names(session_key: str, names: set[str]) -> set[str]:
    """Those of ``names`` that the session's person may see now. Raises ``SignedOut``.

    Asked anew each time: a session ends, and rights are taken, while a tab stays open.
    """
    user = find_user_by_session(session_key)
    if user is None:
        raise SignedOut
    if not names:
        return set()
    return set(Service.objects.visible_to(user).filter(name__in=names).values_list("name", flat=True))
