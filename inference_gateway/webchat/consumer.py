"""The chat page's WebSocket, ``/ws/chat/<service>``: one a tab, for questions and for answers.

A session signs in, so the Origin is checked, and every message that changes something looks again whether
the session is still valid and the service still visible. The connection owns two tasks: one follows the
conversation on the page, one the service's state. Neither generates; leaving ends nothing but these two.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import Any
from uuid import UUID

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import translation

from deployments.accounts import find_user_by_session, find_visible_service
from deployments.models import Service
from deployments.notices import Unread, look_for_unread
from deployments.reader import chosen_language, requested_language
from deployments.sign_ins import note_seen
from deployments.words import say, translated
from inference_gateway.answer import INTERNAL_ERROR
from inference_gateway.chat import ChatError
from inference_gateway.database import in_database
from inference_gateway.http import cancel_and_wait
from inference_gateway.models import Turn
from inference_gateway.webchat.chat import WebChat
from inference_gateway.webchat.following import Follower
from inference_gateway.webchat.messages import Continue, Leave, Regenerate, Send, Stop, Watch, parse_message
from inference_gateway.webchat.origin import is_own_origin, origin_of, read_cookie, read_header
from inference_gateway.webchat.state import ServiceState, find_state
from inference_gateway.webchat.turns import Asked, is_theirs, turn_as_json

logger = logging.getLogger(__name__)

STATE_EVERY_SECONDS = 1.0
#: Close codes of our own: the page stops trying for the first, and asks to sign in for the second.
GONE, SIGNED_OUT = 4404, 4401


class ChatConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """See the module."""

    # Nothing travels by the channel layer, and a page must keep working while Valkey is away.
    channel_layer_alias = None

    def __init__(self, web_chat: WebChat) -> None:
        super().__init__()
        self._web_chat = web_chat

    async def connect(self) -> None:
        self._following: asyncio.Task[None] | None = None
        self._state: asyncio.Task[None] | None = None
        self._name: str = self.scope["url_route"]["kwargs"]["name"]
        self._session_key = read_cookie(self.scope, settings.SESSION_COOKIE_NAME)
        if not is_own_origin(self.scope, settings.SLIPWAY_PUBLIC_URL):
            await self.close(GONE)
            return
        await self.accept()
        accept_language = read_header(self.scope, b"accept-language")
        self._browser_language = requested_language(
            read_cookie(self.scope, settings.LANGUAGE_COOKIE_NAME), accept_language
        )
        translation.activate(self._browser_language)  # for this connection's task and those that it starts
        try:
            _, service = await self._admit()
        except ChatError as error:
            # Accepted first: a browser tells a page nothing about a handshake that was refused.
            await self._tell_error(error)
            await self.close(SIGNED_OUT if error.status == 401 else GONE)
            return
        self._state = asyncio.create_task(self._tell_state(service.pk), name="webchat service state")

    async def disconnect(self, code: int) -> None:
        for task in (self._following, self._state):
            if task is not None:
                await cancel_and_wait(task)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        message_id: str | None = None
        try:
            message = parse_message(text_data or "")
            message_id = str(message.id) if isinstance(message, Send | Regenerate | Continue) else None
            user, service = await self._admit()
            match message:
                case Send() | Regenerate():
                    await self._ask(user, service, message)
                case Continue():
                    await self._go_on(user, service, message)
                case Watch():
                    await self._watch(user, service, message)
                case Leave():
                    await self._follow(None)
                case Stop():
                    await self._check_theirs(user, service, message)
                    await self._web_chat.stop(message.conversation)
        except ChatError as error:
            await self._tell_error(error, message_id)
        except Exception:  # an edge: the page is told, and what was typed stays there
            logger.exception("service %s: a message of the web chat failed", self._name)
            await self._tell_error(INTERNAL_ERROR, message_id)

    async def _admit(self) -> tuple[User, Service]:
        """Who is asking, now. Raises ChatError 401 ``signed_out`` or 404 ``service_not_found``."""
        user, service, language = await in_database(admit, self._session_key, self._name)
        translation.activate(language or self._browser_language)
        if user is None:
            raise signed_out()
        if service is None:
            raise ChatError(
                404, "service_not_found", say("%(name)s is not here any more, or not for you.", name=self._name)
            )
        return user, service

    async def _ask(self, user: User, service: Service, message: Send | Regenerate) -> None:
        asked = Asked(
            id=message.id,
            conversation=message.conversation,
            question=message.question if isinstance(message, Send) else "",
            parent=message.parent if isinstance(message, Send) else None,
            system_prompt=message.system_prompt,
            parameters=message.parameters,
        )
        if isinstance(message, Send):
            turn = await self._web_chat.ask(user, service, asked)
        else:
            turn = await self._web_chat.ask_again(user, service, asked, message.turn)
        await self._tell_accepted(message.conversation, turn)

    async def _go_on(self, user: User, service: Service, message: Continue) -> None:
        turn = await self._web_chat.go_on(user, service, message.conversation, message.turn, message.id)
        await self._tell_accepted(message.conversation, turn)

    async def _tell_accepted(self, conversation: UUID, turn: Turn) -> None:
        told = await in_database(turn_as_json, turn)
        await self._tell({"type": "accepted", "conversation": str(conversation), **told})

    async def _watch(self, user: User, service: Service, message: Watch) -> None:
        await self._check_theirs(user, service, message)
        await self._follow(
            Follower(
                self._web_chat.generations,
                self._tell,
                message.conversation,
                message.turn,
                message.offset,
                message.ended,
            )
        )

    async def _check_theirs(self, user: User, service: Service, message: Watch | Stop) -> None:
        if not await in_database(is_theirs, user, service, message.conversation):
            raise ChatError(404, "conversation_not_found", say("This conversation is gone. Start a new one."))

    async def _follow(self, follower: Follower | None) -> None:
        if self._following is not None:
            await cancel_and_wait(self._following)
        self._following = None
        if follower is not None:
            self._following = asyncio.create_task(self._run_follower(follower), name="webchat follower")

    async def _run_follower(self, follower: Follower) -> None:
        try:
            await follower.follow()
        except Exception:  # an edge: the page reconnects and follows from where it is
            logger.exception("service %s: following a conversation failed", self._name)
            with contextlib.suppress(Exception):  # it may be closed already
                await self.close(1011)

    async def _tell_state(self, service_id: int) -> None:
        """Tell the page the service's state and what is unread, and every change of them, until the connection ends.

        Rights that are taken, and a session that ends, close it within the second too.
        """
        told: dict[str, Any] | None = None
        told_unread: Unread | None = None
        while True:
            try:
                state, unread = await in_database(look, self.scope, self._session_key, service_id)
            except ChatError as error:
                await self._tell_error(error)
                await self.close(SIGNED_OUT)
                return
            except Exception:  # an edge: the database may be away for a moment
                logger.exception("service %s: its state could not be read", self._name)
            else:
                if state is None:
                    await self.close(GONE)
                    return
                if state.as_json() != told:
                    told = state.as_json()
                    await self._tell({"type": "service", **told})
                if unread != told_unread:
                    told_unread = unread
                    await self._tell({"type": "notices", "unread": unread.count, "newest": unread.newest})
            await asyncio.sleep(STATE_EVERY_SECONDS)

    async def _tell_error(self, error: ChatError, message_id: str | None = None) -> None:
        told = {"code": error.code, "message": translated(error.message), "field": error.field}
        await self._tell({"type": "error", "id": message_id, **told})

    async def _tell(self, message: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(message, ensure_ascii=False))


def signed_out() -> ChatError:
    return ChatError(401, "signed_out", say("Your session has ended. Sign in again; your message is kept."))


def look(scope: dict[str, Any], session_key: str, service_id: int) -> tuple[ServiceState | None, Unread]:
    """The state of a service, None unless the session's person may see it now, and what they have not read.

    Raises ChatError 401.
    """
    user = find_user_by_session(session_key)
    if user is None:
        raise signed_out()
    note_seen(user, session_key, *origin_of(scope))
    is_visible = Service.objects.visible_to(user).filter(pk=service_id).exists()
    return find_state(user, service_id) if is_visible else None, look_for_unread(user)


def admit(session_key: str, name: str) -> tuple[User | None, Service | None, str]:
    """The person whose session that is, the service of that name if they may see it, and the language they chose."""
    user = find_user_by_session(session_key)
    return (None, None, "") if user is None else (user, find_visible_service(user, name), chosen_language(user))
