"""``networking.gateway_policy``: what the document asks of Slipway's gateway (eas.md §1.5, §2.5).

The rest of ``networking`` is EAS's own and kept whole, so this part is read and checked here and not by a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from deployments.spec.errors import FieldError
from deployments.words import number

#: Requests under way over the whole service; requests a second over the whole service.
LIMITS = ("concurrency_limit", "rate_limit")
MOST = 1_000_000
#: How a streamed answer of EAS's dialect comes: each frame with the text so far, or with the new piece alone.
EAS_STREAMS = ("cumulative", "delta")
#: The longest that a streamed answer may go on while nobody reads it.
MOST_RESUME_SECONDS = 3600
_LIMIT = {
    "type": "object",
    "properties": {"enable": {"type": "boolean"}, "limit": {"type": "integer", "minimum": 1, "maximum": MOST}},
}
SCHEMA = {
    "type": "object",
    "properties": dict.fromkeys(LIMITS, _LIMIT)
    | {
        "eas_stream": {"type": "string", "enum": list(EAS_STREAMS)},
        "resume_seconds": {"type": "integer", "minimum": 0, "maximum": MOST_RESUME_SECONDS},
    },
}


@dataclass(frozen=True, slots=True)
class GatewayPolicy:
    """None is no limit. ``resume_seconds``: how long a streamed answer goes on without a reader; 0 is not at all."""

    concurrency_limit: int | None = None
    requests_per_second: int | None = None
    is_delta: bool = False
    resume_seconds: int = 0


def read_policy(document: Mapping[str, Any]) -> GatewayPolicy:
    """The policy of a document in which ``policy_errors`` found nothing; null is as good as absent."""
    policy = (document.get("networking") or {}).get("gateway_policy") or {}
    limits = [policy.get(name) or {} for name in LIMITS]
    concurrency, rate = (int(limit["limit"]) if limit.get("enable") else None for limit in limits)
    resume_seconds = int(policy.get("resume_seconds") or 0)
    return GatewayPolicy(concurrency, rate, policy.get("eas_stream") == "delta", resume_seconds)


def policy_errors(document: Mapping[str, Any]) -> list[FieldError]:
    """What the gateway could not act on."""
    place: Any = document
    path = ""
    for key in ("networking", "gateway_policy"):
        if place.get(key) is None:
            return []
        place, path = place[key], f"{path}.{key}".lstrip(".")
        if not isinstance(place, dict):
            return [FieldError(path, "not_an_object", not_an_object(path))]
    errors = [error for name in LIMITS for error in _limit_errors(place.get(name), f"{path}.{name}")]
    if place.get("eas_stream") not in (None, *EAS_STREAMS):
        message = _("%(path)s must be %(rule)s.")
        message %= {"path": f"{path}.eas_stream", "rule": _("cumulative or delta")}
        errors.append(FieldError(f"{path}.eas_stream", "stream_invalid", message))
    seconds = place.get("resume_seconds")
    if seconds is not None and not _is_whole(seconds, 0, MOST_RESUME_SECONDS):
        errors.append(_wrong_number(f"{path}.resume_seconds", "resume_invalid", 0, MOST_RESUME_SECONDS))
    return errors


def _limit_errors(given: Any, path: str) -> list[FieldError]:
    if given is None:
        return []
    if not isinstance(given, dict):
        return [FieldError(path, "not_an_object", not_an_object(path))]
    limit = given.get("limit")
    if given.get("enable") and not _is_whole(limit, 1, MOST):
        return [_wrong_number(f"{path}.limit", "limit_invalid", 1, MOST)]
    return []


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _wrong_number(path: str, code: str, least: int, most: int) -> FieldError:
    message = _("%(path)s must be a whole number from %(least)s to %(most)s.")
    return FieldError(path, code, message % {"path": path, "least": number(least), "most": number(most)})


def not_an_object(path: str) -> str:
    return _("%(path)s must be an object.") % {"path": path}
