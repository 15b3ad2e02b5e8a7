"""Rows of the web chat: the question is saved before anything else. Answers are written by ``history``.

Turns form a tree: each goes on from its ``parent``, and one that answers a question again has the parent
of the first. So nothing is ever overwritten.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from deployments.models import Service
from deployments.words import say
from inference_gateway.chat import ChatError
from inference_gateway.codecs.eas import Round
from inference_gateway.history import Kept
from inference_gateway.models import TITLE_LENGTH, Conversation, ConversationQuerySet, Turn
from inference_gateway.webchat.continuing import is_continuable

LONGEST_QUESTION = 400_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person sends. ``id`` is the page's own: sending it twice asks once.

    ``parent`` is the number of the turn that it goes on from, None at the start of a conversation. Its texts
    are ``storable``.
    """

    id: UUID
    conversation: UUID
    question: str
    parent: int | None = None
    system_prompt: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


def begin_turn(user: User, service: Service, asked: Asked) -> tuple[Turn, bool]:
    """Save a question; the conversation too where it is new. Returns the turn, and whether it is new.

    Raises ChatError: ``conversation_not_found`` for another's or a deleted one, ``conversation_busy`` while
    an answer is being written, ``turn_not_found`` for a ``parent`` that is not there.
    """
    question = asked.question
    if not question.strip():
        raise ChatError(400, "empty_message", say("The message is empty. Type something first."), "question")
    if len(question) > LONGEST_QUESTION:
        raise ChatError(413, "message_too_long", say("The message is too long. Send less of it."), "question")
    with transaction.atomic():
        conversation = _get_conversation(user, service, asked, question)
        turns = conversation.turns.all()
        repeated = _find_repeated(turns, asked.id)
        if repeated is not None:
            return repeated, False
        parent = turns.filter(number=asked.parent).first() if asked.parent is not None else None
        if asked.parent is not None and parent is None:
            raise ChatError(404, "turn_not_found", say("The message before this one is gone. Reload the page."))
        now = timezone.now()
        conversation.system_prompt = asked.system_prompt
        conversation.parameters = asked.parameters
        conversation.service = service
        conversation.updated_at = now
        conversation.save(update_fields=("system_prompt", "parameters", "service", "updated_at"))
        turn = Turn.objects.create(
            conversation=conversation,
            number=_last_number(turns) + 1,
            parent=parent,
            question=question,
            generation=asked.id,
            parameters=asked.parameters | ({"system_prompt": asked.system_prompt} if asked.system_prompt else {}),
            created_at=now,
            updated_at=now,
        )
    return turn, True


def begin_continuation(
    user: User, service: Service, conversation_id: UUID, number: int, key: UUID
) -> tuple[Turn, bool]:
    """Open an answer that was cut off again, to be written on. Returns the turn, and whether it was opened now.

    The newest turn goes on itself. An older one may have been answered already, so it goes on as a branch of its
    own that begins with the same words. Raises ChatError: as ``begin_turn``, and ``answer_complete``.
    """
    with transaction.atomic():
        conversation = _lock_conversation(user, service, conversation_id)
        turns = conversation.turns.select_related("parent")
        repeated = _find_repeated(turns, key)
        if repeated is not None:
            return repeated, False
        turn = turns.filter(number=number).first()
        if turn is None:
            raise ChatError(404, "turn_not_found", say("This message is gone. Reload the page."))
        if not is_continuable(turn):
            raise ChatError(409, "answer_complete", say("This answer is complete. Ask for more in a new message."))
        now = timezone.now()
        last = _last_number(turns)
        if turn.number != last:
            turn.pk, turn.number, turn.created_at = None, last + 1, now
            turn._state.adding = True
        turn.generation, turn.status, turn.updated_at = key, Turn.Status.GENERATING, now
        turn.error_code = turn.error_message = turn.finish_reason = ""
        turn.error_words = []
        turn.save()
        Conversation.objects.filter(pk=conversation.pk).update(updated_at=now)
    return turn, True


def _find_repeated(turns: QuerySet[Turn], key: UUID) -> Turn | None:
    """The turn that a message sent once more has begun already. Raises ChatError while another is under way."""
    repeated = turns.filter(generation=key).first()
    if repeated is None and turns.filter(status=Turn.Status.GENERATING).exists():
        raise ChatError(409, "conversation_busy", say("An answer is being written here. Stop it first, or wait."))
    return repeated


def _last_number(turns: QuerySet[Turn]) -> int:
    return turns.aggregate(last=Max("number"))["last"] or 0


def _get_conversation(user: User, service: Service, asked: Asked, question: str) -> Conversation:
    """The conversation, made at its first question; see ``_lock_conversation``."""
    Conversation.objects.get_or_create(
        pk=asked.conversation,
        defaults={
            "service": service,
            "service_name": service.name,
            "workspace": service.workspace,
            "owner": user,
            "title": make_title(question),
            "source": Conversation.Source.WEB,
        },
    )
    return _lock_conversation(user, service, asked.conversation)


def _lock_conversation(user: User, service: Service, conversation_id: UUID) -> Conversation:
    """Locked until the transaction ends (on SQLite the transaction itself is the lock). Raises ChatError 404."""
    rows = conversations_of(user, service).select_for_update(of=("self",))
    conversation = rows.filter(pk=conversation_id).first()
    if conversation is None:
        raise ChatError(404, "conversation_not_found", say("This conversation is gone. Start a new one."))
    return conversation


def conversations_of(user: User, service: Service) -> ConversationQuerySet:
    """A person's conversations with a service, newest first, deleted ones left out."""
    rows = Conversation.objects.owned_by(user)
    return rows.filter(service_name=service.name, workspace_id=service.workspace_id)


def is_theirs(user: User, service: Service, conversation: UUID) -> bool:
    """Whether it is their conversation with this service, or nobody's yet: its first message is on its way."""
    if conversations_of(user, service).filter(pk=conversation).exists():
        return True
    return not Conversation.objects.filter(pk=conversation).exists()


def find_turn(user: User, service: Service, conversation: UUID, number: int) -> Turn | None:
    """A turn of one of their conversations, its parent with it."""
    rows = Turn.objects.filter(conversation__in=conversations_of(user, service), conversation_id=conversation)
    return rows.filter(number=number).select_related("parent").first()


def make_title(question: str) -> str:
    """The first question in one line, cut at a word."""
    line = " ".join(question.split())
    if len(line) <= TITLE_LENGTH:
        return line
    cut = line[: TITLE_LENGTH - 1]
    head, _, _ = cut.rpartition(" ")
    return (head if len(head) > TITLE_LENGTH // 2 else cut) + "…"


def path_to(turns: Iterable[Turn], number: int | None = None) -> list[Turn]:
    """The dialogue that runs through turn ``number`` (the newest without one), oldest first.

    Turns form a tree by ``parent``; from ``number`` on it follows the newest answer each time.
    """
    by_id = {turn.pk: turn for turn in turns}
    if not by_id:
        return []
    children: dict[int | None, Turn] = {}
    for turn in sorted(by_id.values(), key=lambda turn: turn.number):
        children[turn.parent_id] = turn
    newest = max(by_id.values(), key=lambda turn: turn.number)
    wanted = next((turn for turn in by_id.values() if turn.number == number), newest)
    path = [wanted]
    while (parent := by_id.get(path[-1].parent_id or 0)) is not None:
        path.append(parent)
    path.reverse()
    while (child := children.get(path[-1].pk)) is not None:
        path.append(child)
    return path


def load_rounds(turn: Turn, most: int) -> tuple[Round, ...]:
    """The last questions and answers before ``turn``, oldest first; what was never answered is left out."""
    path = [one.pk for one in path_to(load_outline(turn.conversation_id), turn.number) if one.number < turn.number]
    told = dict_by_pk(Turn.objects.filter(pk__in=path[max(0, len(path) - most) :]).exclude(answer=""))
    return tuple((told[pk].question, told[pk].answer) for pk in path if pk in told)


def load_outline(conversation: UUID) -> list[Turn]:
    """Every turn of a conversation, oldest first, without what was said: however long, it is read in no time."""
    rows = Turn.objects.filter(conversation_id=conversation).only("number", "parent_id", "conversation_id")
    return list(rows.order_by("number"))


def dict_by_pk(turns: Iterable[Turn]) -> dict[int, Turn]:
    return {turn.pk: turn for turn in turns}


def kept_of(turn: Turn) -> Kept:
    """What a turn has already when it goes on."""
    return Kept(turn.answer, turn.completion_tokens or 0, turn.first_token_ms, turn.duration_ms or 0)


def load_dialogue(conversation: UUID) -> list[Turn]:
    """Every turn of a conversation, oldest first."""
    return list(Turn.objects.filter(conversation_id=conversation).order_by("number"))


def is_generating(turn_id: int, generation: UUID) -> bool:
    return Turn.objects.filter(pk=turn_id, generation=generation, status=Turn.Status.GENERATING).exists()


def stop_turns(conversation_id: UUID, number: int | None = None) -> None:
    """Note a stop: the process that generates sees it with its next save."""
    rows = Turn.objects.filter(conversation_id=conversation_id, status=Turn.Status.GENERATING)
    if number is not None:
        rows = rows.filter(number=number)
    rows.update(status=Turn.Status.STOPPED, updated_at=timezone.now())


def turn_as_json(turn: Turn) -> dict[str, Any]:
    """A turn without its answer, as pages are told of it."""
    return {
        "turn": turn.number,
        "id": str(turn.generation),
        "parent": turn.parent.number if turn.parent is not None else None,
        "question": turn.question,
        "status": turn.status,
        "error": {"code": turn.error_code, "message": turn.error_sentence} if turn.error_code else None,
        "finish_reason": turn.finish_reason,
        "stats": stats_of(turn),
        "is_continuable": is_continuable(turn),
        "rounds_left_out": turn.rounds_left_out,
    }


def stats_of(turn: Turn) -> dict[str, Any]:
    """First token in milliseconds, tokens in and out, tokens a second after the first, revision; None unknown.

    ``context_tokens`` is what the dialogue fills of the model's context up to here.
    """
    rate = None
    if turn.completion_tokens and turn.completion_tokens > 1 and turn.duration_ms is not None:
        writing_ms = turn.duration_ms - (turn.first_token_ms or 0)
        rate = round((turn.completion_tokens - 1) * 1000 / writing_ms, 1) if writing_ms > 0 else None
    return {
        "first_token_ms": turn.first_token_ms,
        "tokens_per_second": rate,
        "prompt_tokens": turn.prompt_tokens,
        "completion_tokens": turn.completion_tokens,
        "revision": turn.revision_number,
        "context_tokens": None if turn.prompt_tokens is None else turn.prompt_tokens + (turn.completion_tokens or 0),
    }
