"""A service's WebSocket for programs and pages: one recorded conversation a connection (eas.md §1.6, docs/gateway.md).

The reply runs in a task of the connection (``inference_gateway.websocket``). The token is checked at the
handshake, by the gateway, so Origin says nothing here and is not looked at.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from inference_gateway.accounts import Payer
from inference_gateway.chat import ChatEvent, ChatRequest
from inference_gateway.codecs.chat_socket import ChatDialect
from inference_gateway.codecs.dialogue import Past, SocketDialect
from inference_gateway.codecs.websocket import EasDialect
from inference_gateway.database import in_database
from inference_gateway.directory import ServiceEntry
from inference_gateway.guard import TokenGuard
from inference_gateway.handshake import CONVERSATION_HEADER, Opening
from inference_gateway.history import History, NewTurn, RecordedEngine, TurnRecorder, read_past
from inference_gateway.http import Scope
from inference_gateway.models import Conversation, Turn
from inference_gateway.recall import parameters_of, question_of, system_prompt_of
from inference_gateway.resuming.naming import GENERATION_HEADER
from inference_gateway.resuming.rounds import Rounds
from inference_gateway.resuming.streams import Streams
from inference_gateway.routed_engine import EngineMaker
from inference_gateway.server_protocols import take_restart
from inference_gateway.websocket import Dialogue, Manner

#: How long answers under way may still take once the server ends, of the ten seconds that it has.
DRAIN_SECONDS = 5.0


class DialogueEngine:
    """An ``Engine`` for one connection: each round is routed anew and is a turn of one conversation."""

    def __init__(
        self,
        make_engine: EngineMaker,
        history: History,
        service: ServiceEntry,
        find_payer: Callable[[], Awaitable[Payer]],
        conversation_id: uuid.UUID,
        restarting: asyncio.Event,
    ) -> None:
        self._make_engine = make_engine
        self._history = history
        self._service = service
        self._find_payer = find_payer
        self._conversation_id = conversation_id
        self._restarting = restarting

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """See ``Engine``; and ChatError 401, 403 and 404 for who is let in no more."""
        payer = await self._find_payer()
        recorder = await self._open(request)
        engine = RecordedEngine(self._make_engine(self._service, payer, recorder.note_route), recorder, self._cut_off)
        async with aclosing(engine.generate(request)) as events:
            async for event in events:
                yield event

    def _cut_off(self) -> Turn.Status:
        return Turn.Status.INTERRUPTED if self._restarting.is_set() else Turn.Status.STOPPED

    async def _open(self, request: ChatRequest) -> TurnRecorder:
        return await self._history.open(
            NewTurn(
                service=self._service,
                conversation_id=self._conversation_id,
                source=Conversation.Source.WEBSOCKET,
                question=question_of(request),
                system_prompt=system_prompt_of(request),
                parameters=parameters_of(request),
            )
        )


@dataclass(frozen=True, slots=True)
class Dialogues:
    """Holds the connections of one server process."""

    make_engine: EngineMaker
    history: History
    streams: Streams

    async def hold(
        self, service: ServiceEntry, payer: Payer, opening: Opening, scope: Scope, guard: TokenGuard
    ) -> None:
        """Answer a connection whose token was checked and whose connect message was received, until it ends.

        Each question is on ``payer``'s account with the limits of then, which ``guard`` knows.
        ``opening`` may name an earlier conversation to go on with; without one the connection begins its own, with
        its first question. When the server ends, the caller learns the conversation with 1012, and goes on with it
        over a new connection. Raises ChatError 404 before anything is sent.
        """
        conversation_id = opening.conversation_id or uuid.uuid4()

        async def look_back() -> Past:
            return Past(*await in_database(read_past, conversation_id, service))

        async def find_payer() -> Payer:
            return replace(payer, principal=await guard.find_principal())

        past = Past() if opening.conversation_id is None else await look_back()
        rounds = Rounds(self.streams, service, payer.principal, self.streams.choose_name(), look_back)
        restarting = take_restart(scope)
        manner = Manner(
            subprotocol=opening.subprotocol,
            headers=(
                (CONVERSATION_HEADER.lower().encode(), str(conversation_id).encode()),
                (GENERATION_HEADER, rounds.name.encode()),
            ),
            draining=restarting,
            drain_seconds=DRAIN_SECONDS,
            restart_reason=f"restarting; conversation {conversation_id}",
        )
        engine = DialogueEngine(self.make_engine, self.history, service, find_payer, conversation_id, restarting)
        dialect = choose_dialect(service, opening, conversation_id)
        await Dialogue(guard.receive, guard.send, engine, dialect, past=past, manner=manner, keeper=rounds).run()


def choose_dialect(service: ServiceEntry, opening: Opening, conversation_id: uuid.UUID) -> SocketDialect:
    """The way of speaking that the handshake asked for."""
    defaults = service.traits.eas_defaults
    if not opening.is_chat:
        return EasDialect(defaults)
    session = {"service": service.name, "conversation": str(conversation_id)}
    return ChatDialect(session, defaults.max_rounds)
