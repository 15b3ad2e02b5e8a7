"""A service's WebSocket for programs: EAS's dialogue (eas.md §1.6), one recorded conversation a connection.

The reply runs in a task of the connection (``inference_gateway.websocket``). The token is checked at the
handshake, by the gateway, so Origin says nothing here and is not looked at.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from inference_gateway.chat import ChatEvent, ChatRequest
from inference_gateway.codecs.eas import Round
from inference_gateway.database import in_database
from inference_gateway.directory import ServiceEntry
from inference_gateway.history import History, NewTurn, RecordedEngine, TurnRecorder, read_past
from inference_gateway.http import Receive, Send
from inference_gateway.models import Conversation
from inference_gateway.recall import parameters_of, question_of, system_prompt_of
from inference_gateway.routing import EngineMaker
from inference_gateway.websocket import Dialogue


class DialogueEngine:
    """An ``Engine`` for one connection: each round is routed anew and is a turn of one conversation."""

    def __init__(
        self, make_engine: EngineMaker, history: History, service: ServiceEntry, conversation_id: uuid.UUID
    ) -> None:
        self._make_engine = make_engine
        self._history = history
        self._service = service
        self._conversation_id = conversation_id

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """See ``Engine``."""
        recorder = await self._open(request)
        engine = RecordedEngine(self._make_engine(self._service, recorder.note_route), recorder)
        async with aclosing(engine.generate(request)) as events:
            async for event in events:
                yield event

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


async def hold_dialogue(
    service: ServiceEntry,
    make_engine: EngineMaker,
    history: History,
    conversation_id: uuid.UUID | None,
    receive: Receive,
    send: Send,
) -> None:
    """Answer a connection whose token was checked and whose connect message was received, until it ends.

    ``conversation_id`` names an earlier conversation to go on with; without one the connection begins its
    own, with its first question. Raises ChatError 409 before anything is sent.
    """
    system_prompt: str = ""
    rounds: tuple[Round, ...] = ()
    if conversation_id is not None:
        system_prompt, rounds = await in_database(read_past, conversation_id, service)
    dialogue = Dialogue(
        receive,
        send,
        DialogueEngine(make_engine, history, service, conversation_id or uuid.uuid4()),
        defaults=replace(service.traits.eas_defaults, system_prompt=system_prompt),
        history=rounds,
    )
    await dialogue.run()
