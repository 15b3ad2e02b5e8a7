"""What an engine, or the server on the way to it, says instead of an answer: as one of our errors. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from deployments.clusters.passage import Failure, Lost
from deployments.words import say
from inference_gateway.chat import ChatError

#: Of a number of seconds: more is no time that anybody waits.
MOST_DIGITS = 9


def read_refusal(
    status: int,
    body: bytes,
    is_refusal: Callable[[str], bool] = lambda message: False,
    retry_after: str | None = None,
) -> ChatError:
    """What an answer with another status than 200 says, as one of ours. ``retry_after`` is its header of that name."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = {}
    error = value.get("error") if isinstance(value, dict) else None
    if status == 500 and isinstance(error, dict) and is_refusal(str(error.get("message"))):
        return ChatError(400, "invalid_request", str(error["message"])[:2000])
    told = read_engine_error(status, value if isinstance(value, dict) else {})
    if told.status in (429, 503):
        told.wait_seconds = parse_wait(retry_after)
    return told


def parse_wait(retry_after: str | None) -> int | None:
    """A ``Retry-After`` header in seconds from now: it is a number of them or a date. None where it is neither."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return int(text[:MOST_DIGITS])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0, math.ceil((at - datetime.now(UTC)).total_seconds()))


def read_engine_error(status: int, value: Mapping[str, Any]) -> ChatError:
    """What an engine said went wrong, as one of ours. Its own words reach the caller only for a 4xx."""
    error = value.get("error")
    fields = error if isinstance(error, dict) else value
    message = str(fields.get("message") or (error if isinstance(error, str) else "") or "")[:2000]
    code = fields.get("code")
    if isinstance(code, int) and 400 <= code < 600:
        status = code
    kind = f"{fields.get('type')} {code} {message}".lower()
    if "exceed_context" in kind or "context_length" in kind or "maximum context length" in kind:
        return _context_exceeded(fields, message)
    if status == 429:
        return ChatError(429, "engine_busy", message or say("The engine is busy. Try again in a moment."))
    if status == 503:
        return ChatError(503, "engine_unavailable", say("The engine is not ready yet. Try again in a moment."))
    if 400 <= status < 500:
        own = code if isinstance(code, str) and code else "invalid_request"
        param = fields.get("param")
        told = message or say("The engine refused the request with %(status)s.", status=str(status))
        return ChatError(status, own, told, param if isinstance(param, str) else None)
    if status in (502, 504):
        return ChatError(502, "engine_down", unreachable().message)
    return ChatError(502, "engine_error", say("The engine failed while it answered. Its log says why."))


def _context_exceeded(fields: Mapping[str, Any], message: str) -> ChatError:
    prompt, context = fields.get("n_prompt_tokens"), fields.get("n_ctx")
    if isinstance(prompt, int) and isinstance(context, int):
        message = say(
            "The prompt is %(prompt)s tokens long and the model's context holds %(context)s. "
            "Shorten the prompt or the history.",
            prompt=prompt,
            context=context,
        )
    return ChatError(400, "context_length_exceeded", message, "messages")


def broken(what: str) -> ChatError:
    """The answer did not come whole; ``what`` follows a colon."""
    return ChatError(502, "engine_stream_broken", say("The engine's answer broke off: %(what)s. Ask again.", what=what))


def unreachable() -> ChatError:
    """No instance has got the question."""
    return ChatError(503, "engine_unreachable", say("The engine cannot be reached. It may be starting or stopping."))


def lost_error(failure: Failure) -> ChatError:
    """What the server on the way said instead of an engine. Nothing has been answered, so another may be asked."""
    code = "cluster_refuses" if failure.lost is Lost.REFUSED else "engine_unreachable"
    return ChatError(503, code, failure.message)
