"""A conversation as a file that a person keeps: JSON with every branch, Markdown of one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from inference_gateway.models import Conversation, Turn

FORMAT = "slipway-conversation"
VERSION = 1
#: What stands under an answer that did not finish.
UNFINISHED = {
    Turn.Status.GENERATING: "Still being written.",
    Turn.Status.STOPPED: "Stopped here.",
    Turn.Status.INTERRUPTED: "Cut off here: the server went away.",
}


def export_json(conversation: Conversation, turns: Iterable[Turn]) -> dict[str, Any]:
    """The whole tree: ``turns`` oldest first, each naming by ``parent`` the number of the turn it goes on from."""
    rows = list(turns)
    numbers = {turn.pk: turn.number for turn in rows}
    return {
        "format": FORMAT,
        "version": VERSION,
        "title": conversation.title,
        "service": conversation.service_name,
        "system_prompt": conversation.system_prompt,
        "parameters": conversation.parameters,
        "created_at": conversation.created_at.isoformat(),
        "updated_at": conversation.updated_at.isoformat(),
        "turns": [
            {
                "number": turn.number,
                "parent": numbers.get(turn.parent_id or 0),
                "question": turn.question,
                "answer": turn.answer,
                "status": turn.status,
                "error": {"code": turn.error_code, "message": turn.error_message} if turn.error_code else None,
                "finish_reason": turn.finish_reason or None,
                "revision": turn.revision_number,
                "parameters": turn.parameters,
                "prompt_tokens": turn.prompt_tokens,
                "completion_tokens": turn.completion_tokens,
                "first_token_ms": turn.first_token_ms,
                "duration_ms": turn.duration_ms,
                "created_at": turn.created_at.isoformat(),
            }
            for turn in rows
        ],
    }


def export_markdown(conversation: Conversation, path: Sequence[Turn]) -> str:
    """The turns of one branch under the headings **You** and **Answer**; an answer is Markdown already."""
    parts = [f"# {conversation.title or conversation.service_name}", f"Service: {conversation.service_name}"]
    if conversation.system_prompt:
        parts += ["## System prompt", conversation.system_prompt]
    for turn in path:
        parts += ["## You", turn.question, "## Answer", turn.answer]
        ending = turn.error_message if turn.status == Turn.Status.FAILED else UNFINISHED.get(Turn.Status(turn.status))
        if ending:
            parts.append(f"*{ending}*")
    return "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"
