"""A conversation brought back from the file that ``export`` wrote (console.md §6 "Conversations")."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from deployments.models import Service
from deployments.spec.messages import explain
from deployments.words import number
from inference_gateway.export import VERSION
from inference_gateway.history import storable
from inference_gateway.models import TITLE_LENGTH, Conversation, Turn
from inference_gateway.webchat.turns import LONGEST_QUESTION, make_title

LARGEST_FILE_BYTES = 10 * 1024 * 1024
MOST_TURNS = 10_000
LONGEST_ANSWER = 4_000_000
# With the numbers of LONGEST_QUESTION and TITLE_LENGTH: a whole phrase is what can be translated.
A_QUESTION, A_TITLE = gettext_noop("a text of at most 400,000 letters"), gettext_noop("a text of at most 80 letters")
AN_EXPORT = gettext_noop("slipway-conversation, as Export as JSON writes it")
A_TIME = gettext_noop("a time such as 2024-01-31T12:00:00Z")
Count = Annotated[int | None, Field(ge=0, le=2**31 - 1, description=gettext_noop("a whole number from 0"))]
Text = Annotated[str, Field(max_length=LONGEST_QUESTION, description=A_QUESTION)]


class ImportRefused(Exception):
    """A file that is no conversation. ``sentences`` name the fields and the cures."""

    def __init__(self, *sentences: str) -> None:
        super().__init__(" ".join(sentences))
        self.sentences = sentences


class Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ImportedTurn(Part):
    number: Annotated[int, Field(ge=1, le=10**6, description=gettext_noop("a whole number from 1 to 1,000,000"))]
    parent: Annotated[int | None, Field(description=gettext_noop("the number of an earlier turn, or null"))] = None
    question: Annotated[Text, Field(min_length=1)]
    answer: Annotated[str, Field(max_length=LONGEST_ANSWER, description=gettext_noop("a text"))] = ""
    status: Annotated[
        Literal["generating", "finished", "stopped", "interrupted", "failed"],
        Field(description=gettext_noop("finished, stopped, interrupted or failed")),
    ] = "finished"
    finish_reason: Annotated[
        str | None, Field(max_length=32, description=gettext_noop("a text of at most 32 letters"))
    ] = None
    revision: Count = None
    prompt_tokens: Count = None
    completion_tokens: Count = None
    first_token_ms: Count = None
    duration_ms: Count = None
    parameters: Annotated[dict[str, Any], Field(description=gettext_noop("an object"))] = Field(default_factory=dict)
    created_at: Annotated[AwareDatetime | None, Field(description=A_TIME)] = None


class ImportedConversation(Part):
    format: Annotated[
        Literal["slipway-conversation"],
        Field(description=AN_EXPORT),
    ]
    version: Annotated[Literal[1], Field(description=f"{VERSION}")]
    title: Annotated[str, Field(max_length=TITLE_LENGTH, description=A_TITLE)] = ""
    system_prompt: Text = ""
    parameters: Annotated[dict[str, Any], Field(description=gettext_noop("an object"))] = Field(default_factory=dict)
    turns: Annotated[
        list[ImportedTurn],
        Field(min_length=1, max_length=MOST_TURNS, description=gettext_noop("a list of 1 to 10,000 turns")),
    ]


def parse_export(raw: bytes) -> ImportedConversation:
    """Raises ``ImportRefused`` with a sentence for each wrong field."""
    if len(raw) > LARGEST_FILE_BYTES:
        told = _("The file is larger than %(size)s MiB. Choose another.")
        raise ImportRefused(told % {"size": number(LARGEST_FILE_BYTES // 1024**2)})
    try:
        # Once more through UTF-8: half characters, which JSON can spell, are replaced.
        given = json.loads(json.dumps(json.loads(raw), ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise ImportRefused(_("The file is not JSON. Choose one that Export as JSON wrote.")) from None
    if not isinstance(given, dict):
        raise ImportRefused(_("The file holds no conversation. Choose one that Export as JSON wrote."))
    try:
        found = ImportedConversation.model_validate(given)
    except ValidationError as problem:
        raise ImportRefused(*(error.message for error in explain(problem, ImportedConversation))) from None
    seen: set[int] = set()
    for index, turn in enumerate(found.turns):
        if turn.number in seen:
            told = _("%(field)s is %(number)s, as an earlier turn's is. Number each once.")
            raise ImportRefused(told % {"field": f"turns[{index}].number", "number": turn.number})
        if turn.parent is not None and turn.parent not in seen:
            told = _("%(field)s is %(number)s, which is no earlier turn's number.")
            raise ImportRefused(told % {"field": f"turns[{index}].parent", "number": turn.parent})
        seen.add(turn.number)
    return found


def save_import(user: User, service: Service, found: ImportedConversation) -> Conversation:
    """A new conversation of that person with the service: importing twice makes two."""
    now = timezone.now()
    with transaction.atomic():
        conversation = Conversation.objects.create(
            service=service,
            service_name=service.name,
            workspace=service.workspace,
            owner=user,
            title=storable(found.title) or make_title(storable(found.turns[0].question)),
            source=Conversation.Source.WEB,
            system_prompt=storable(found.system_prompt),
            parameters=plain_parameters(found.parameters),
            created_at=now,
            updated_at=now,
        )
        rows = Turn.objects.bulk_create([turn_of(conversation, turn, now) for turn in found.turns], batch_size=500)
        by_number = {row.number: row for row in rows}
        for row, turn in zip(rows, found.turns, strict=True):
            row.parent = by_number[turn.parent] if turn.parent is not None else None
        Turn.objects.bulk_update([row for row in rows if row.parent_id], ["parent"], batch_size=500)
    return conversation


def turn_of(conversation: Conversation, turn: ImportedTurn, now: datetime) -> Turn:
    # Nobody writes on at an answer that was exported while it was being written.
    is_cut_off = turn.status == "generating"
    return Turn(
        conversation=conversation,
        number=turn.number,
        question=storable(turn.question),
        answer=storable(turn.answer),
        status=Turn.Status.INTERRUPTED if is_cut_off else turn.status,
        finish_reason=storable(turn.finish_reason or ""),
        revision_number=turn.revision,
        prompt_tokens=turn.prompt_tokens,
        completion_tokens=turn.completion_tokens,
        first_token_ms=turn.first_token_ms,
        duration_ms=turn.duration_ms,
        parameters=plain_parameters(turn.parameters),
        created_at=turn.created_at or now,
        updated_at=now,
    )


def plain_parameters(given: Mapping[str, Any]) -> dict[str, float | bool | str]:
    """Those that are numbers, switches or short texts; a file may hold anything."""
    return {
        storable(name): storable(value) if isinstance(value, str) else value
        for name, value in given.items()
        if len(name) <= 64 and ((isinstance(value, str) and len(value) <= LONGEST_QUESTION) or is_finite_number(value))
    }


def is_finite_number(value: object) -> bool:
    """Switches are numbers too."""
    return isinstance(value, int | float) and abs(value) < 2**53 and math.isfinite(value)
