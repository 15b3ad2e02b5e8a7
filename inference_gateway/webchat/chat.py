"""The web chat of one server process: takes a person's question and sees to its answer."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from django.contrib.auth.models import User

from deployments.models import Service
from deployments.words import say
from inference_gateway.accounted_engine import AccountedEngine
from inference_gateway.accounts import Payer
from inference_gateway.chat import ChatError, ChatRequest
from inference_gateway.codecs.eas import Round, decode_fields
from inference_gateway.database import in_database
from inference_gateway.directory import ServiceEntry
from inference_gateway.gateway import Gateway
from inference_gateway.history import Kept, OpenedTurn, storable
from inference_gateway.keybook import find_session_principal
from inference_gateway.models import Turn
from inference_gateway.routing import no_service
from inference_gateway.webchat.continuing import CONTINUING, ContinuedEngine, render_continuation
from inference_gateway.webchat.engine import PatientEngine
from inference_gateway.webchat.generation import Generation, Generations
from inference_gateway.webchat.turns import (
    Asked,
    begin_continuation,
    begin_turn,
    find_turn,
    kept_of,
    load_rounds,
    stop_turns,
)

#: A page shows the whole dialogue, so the model gets as much of it as its context holds, not the last five
#: rounds as a program's request does (eas.md §1.7, ``--max_round``).
MAX_ROUNDS = 200
NOTHING = Kept()


class WebChat:
    """One for each server process; it uses the gateway of that process."""

    def __init__(self, gateway: Gateway) -> None:
        self.generations = Generations()
        self._gateway = gateway

    async def close(self) -> None:
        """Record every answer under way as interrupted, before the server goes."""
        await self.generations.close()

    async def ask(self, user: User, service: Service, asked: Asked) -> Turn:
        """Save the question and begin to answer it. The same ``asked.id`` again returns the same turn.

        Raises ChatError: a parameter out of range, or see ``begin_turn``.
        """
        entry = await self._gateway.directory.find(service.name)
        if entry is None:
            raise no_service(service.name)
        asked = replace(asked, question=storable(asked.question), system_prompt=storable(asked.system_prompt))
        render_request(entry, asked, ())  # what cannot be asked is refused before anything is saved
        turn, is_new = await in_database(begin_turn, user, service, asked)
        if is_new:
            await self._generate(entry, user, asked, turn)
        return turn

    async def go_on(self, user: User, service: Service, conversation: UUID, number: int, key: UUID) -> Turn:
        """Write on at the answer of turn ``number``, which was cut off. The same ``key`` again does it once.

        Raises ChatError: ``continue_unsupported`` for an engine that cannot, or see ``begin_continuation``.
        """
        entry = await self._gateway.directory.find(service.name)
        if entry is None:
            raise no_service(service.name)
        if entry.traits.engine not in CONTINUING:
            told = say(
                "The engine of %(name)s cannot go on within an answer. Regenerate asks once more.", name=service.name
            )
            raise ChatError(409, "continue_unsupported", told)
        turn, is_new = await in_database(begin_continuation, user, service, conversation, number, key)
        if is_new:
            parameters = dict(turn.parameters)
            system_prompt = str(parameters.pop("system_prompt", ""))
            asked = Asked(key, conversation, turn.question, None, system_prompt, parameters)
            await self._generate(entry, user, asked, turn, kept_of(turn))
        return turn

    async def _generate(self, entry: ServiceEntry, user: User, asked: Asked, turn: Turn, kept: Kept = NOTHING) -> None:
        """Begin to answer ``turn``, or to go on after ``kept``."""
        rounds = await in_database(load_rounds, turn, MAX_ROUNDS)
        opened = OpenedTurn(turn.pk, turn.generation, turn.conversation_id, asked.system_prompt, rounds, kept)
        generation = Generation(turn.number, self._gateway.history.follow(opened, is_ahead=True))
        engine = self._gateway.make_engine(entry, generation.note_route)
        request = render_request(entry, asked, rounds)
        if kept.text:
            engine, request = ContinuedEngine(engine, kept.text), render_continuation(request, kept.text)
        patient = PatientEngine(engine, generation.note_wait, generation.note_shortened)
        payer = Payer(await find_session_principal(user.pk, entry), "chat", str(turn.generation))
        accounted = AccountedEngine(patient, self._gateway.accounts, entry, payer)
        self.generations.start(generation, accounted, request)

    async def ask_again(self, user: User, service: Service, asked: Asked, number: int) -> Turn:
        """Answer the question of turn ``number`` once more, beside its answers so far."""
        turn = await in_database(find_turn, user, service, asked.conversation, number)
        if turn is None:
            raise ChatError(404, "turn_not_found", say("This message is gone. Reload the page."))
        parent = turn.parent.number if turn.parent is not None else None
        return await self.ask(user, service, replace(asked, question=turn.question, parent=parent))

    async def stop(self, conversation: UUID) -> None:
        """Stop what is being generated for a conversation, on whichever process that is."""
        await self.generations.stop(conversation)
        await in_database(stop_turns, conversation)


def render_request(service: ServiceEntry, asked: Asked, rounds: tuple[Round, ...]) -> ChatRequest:
    """The question in EAS's terms (eas.md §1.3), with the service's defaults. Raises ChatError 400. Pure."""
    defaults = replace(service.traits.eas_defaults, max_rounds=MAX_ROUNDS)
    fields = asked.parameters | {"prompt": asked.question, "system_prompt": asked.system_prompt or None}
    return decode_fields(fields, defaults, history=rounds).request
