"""What a page may send over the chat's WebSocket. Everything else is answered with ``bad_message``."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from deployments.words import say
from inference_gateway.chat import ChatError

Number = Annotated[int, Field(ge=0, le=2**31 - 1)]


class Message(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Watch(Message):
    """Follow a conversation from turn ``turn`` (0: its beginning), ``offset`` UTF-16 units into its answer.

    ``offset`` null: the page shows another branch and has nothing of that answer.
    """

    type: Literal["watch"]
    conversation: UUID
    turn: Number = 0
    offset: Number | None = 0
    ended: bool = False


class Leave(Message):
    """Follow nothing any more."""

    type: Literal["leave"]


class Send(Message):
    """Ask. ``id`` and, for a new conversation, ``conversation`` are UUIDs that the page makes up."""

    type: Literal["send"]
    id: UUID
    conversation: UUID
    parent: Number | None = None
    question: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    system_prompt: str = ""


class Regenerate(Message):
    """Ask the question of ``turn`` once more; the old answer stays beside the new one."""

    type: Literal["regenerate"]
    id: UUID
    conversation: UUID
    turn: Number
    parameters: dict[str, Any] = Field(default_factory=dict)
    system_prompt: str = ""


class Continue(Message):
    """Go on with the answer of ``turn`` where it was cut off, with that turn's own parameters."""

    type: Literal["continue"]
    id: UUID
    conversation: UUID
    turn: Number


class Stop(Message):
    """Stop what is being generated for a conversation."""

    type: Literal["stop"]
    conversation: UUID


AnyMessage = Watch | Leave | Send | Regenerate | Continue | Stop
_READER: TypeAdapter[AnyMessage] = TypeAdapter(Annotated[AnyMessage, Field(discriminator="type")])


def parse_message(text: str) -> AnyMessage:
    """Raises ChatError ``bad_message``. Half characters, which a careless cut leaves, are replaced."""
    try:
        whole = json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "replace")
        return _READER.validate_json(whole)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "message"
        raise ChatError(
            400, "bad_message", say("The page sent something that is not understood (%(field)s).", field=where)
        ) from error
    except (ValueError, RecursionError) as error:
        raise ChatError(400, "bad_message", say("The page sent something that is not JSON.")) from error
