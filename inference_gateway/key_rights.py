"""What an API key may do: which scope a request needs, and whether the key has it and may call the service. Pure.

``chat`` is to talk to a language model, in any dialect; ``embeddings`` is what engines have beside it below ``/v1``
and is carried flat, too; ``call`` is every other path of a service, of which only its program knows what it does. To
list and describe what a key may call needs none.
"""

from __future__ import annotations

from datetime import UTC, datetime

from deployments.api_keys import KeyScope
from inference_gateway.chat import ChatError
from inference_gateway.key_rows import KeyEntry, KeyService
from inference_gateway.targets import CARRIED_FLAT, FLAT, Kind, Target

_CHATTING = (Kind.CHAT_COMPLETIONS, Kind.COMPLETIONS, Kind.MESSAGES, Kind.COUNT_TOKENS, Kind.GENERATION)
_READING = ("GET", "HEAD", "OPTIONS")
#: Carried, and a dialogue all the same.
_CHATTING_CARRIED = "responses"


def scope_needed(target: Target, method: str, *, is_socket: bool, is_language_model: bool) -> KeyScope | None:
    """The scope that a request needs; None for what every key may ask."""
    kind = target.kind
    if kind in _CHATTING:
        return KeyScope.CHAT
    only_reads = method in _READING and not is_socket
    if kind is Kind.ROOT and is_language_model:
        return None if only_reads else KeyScope.CHAT
    if kind in (Kind.MODELS, Kind.MODEL) and only_reads:
        return None
    if target.rest.startswith(FLAT + "/"):
        head = target.rest.removeprefix(FLAT + "/").split("/")[0]
        if head == _CHATTING_CARRIED:
            return KeyScope.CHAT
        if head in CARRIED_FLAT:
            return KeyScope.EMBEDDINGS
    return KeyScope.CALL


def check_counts(entry: KeyEntry) -> None:
    """Raise ChatError 401 unless the key counts now. Only who has the key is told why it does not."""
    if entry.ended is not None:
        raise ChatError(401, *entry.ended)
    if entry.expires_at is not None and entry.expires_at <= datetime.now(UTC):
        message = f"This API key expired on {entry.expires_at:%Y-%m-%d}. Create another on the page Keys."
        raise ChatError(401, "api_key_expired", message)


def may_call(entry: KeyEntry, service: KeyService) -> bool:
    """Whether the service is one of those that the key is for."""
    return entry.principal.workspace_id == service.workspace_id and (
        not entry.service_uids or service.uid in entry.service_uids
    )


def check_scope(entry: KeyEntry, scope: KeyScope | None) -> None:
    """Raise ChatError 403 that names the scope which is missing."""
    if scope is not None and scope not in entry.scopes:
        message = f"This API key lacks the scope {scope.value!r}. Its owner adds it on the page Keys."
        raise ChatError(403, "scope_missing", message)
