"""What a WebSocket's handshake asks for in its subprotocols: the only thing that a page in a browser can choose. Pure.

``slipway.eas`` and ``slipway.chat`` name the dialect, ``slipway.token.<base64url>`` carries the token
(``inference_gateway.authentication``), ``slipway.conversation.<UUID>`` the conversation to go on with. All others are
for the program that a connection is carried to.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from inference_gateway.authentication import TOKEN_PROTOCOL
from inference_gateway.chat import ChatError
from inference_gateway.http import Scope, find_header
from inference_gateway.targets import Kind

OWN = "slipway."
EAS, CHAT = "slipway.eas", "slipway.chat"
CONVERSATION_PROTOCOL = "slipway.conversation."
CONVERSATION_HEADER = "X-Slipway-Conversation"


@dataclass(frozen=True, slots=True)
class Opening:
    """How a dialogue is to be held. ``subprotocol`` is the one to accept."""

    is_chat: bool
    subprotocol: str | None
    conversation_id: uuid.UUID | None


def read_opening(scope: Scope, kind: Kind) -> Opening:
    """The dialect by the path or the subprotocol. Raises ChatError 400."""
    offered = scope.get("subprotocols", ())
    is_chat = kind is Kind.CHAT_COMPLETIONS or CHAT in offered
    dialect = CHAT if is_chat else EAS
    if dialect not in offered and any(name.startswith(OWN) for name in offered):
        # A browser takes no answer that names none of the subprotocols it offered, and says nothing of why.
        message = f"Offer the subprotocol {dialect} beside the others: it is the one that is accepted."
        raise ChatError(400, "subprotocol_missing", message)
    return Opening(is_chat, dialect if dialect in offered else None, find_conversation_id(scope))


def offers_for_program(scope: Scope) -> list[str]:
    """The subprotocols that go on to an instance; the token and what else is ours do not."""
    return [name for name in scope.get("subprotocols", ()) if not name.startswith(OWN)]


def choose_own(scope: Scope) -> str | None:
    """What to accept where a carried program chose nothing, so that a browser takes the answer."""
    secret = (TOKEN_PROTOCOL, CONVERSATION_PROTOCOL)
    offered = scope.get("subprotocols", ())
    return next((name for name in offered if name.startswith(OWN) and not name.startswith(secret)), None)


def find_conversation_id(scope: Scope) -> uuid.UUID | None:
    """The conversation that the caller names. Raises ChatError 400 for what is no UUID."""
    given = find_header(scope, CONVERSATION_HEADER.lower().encode())
    if given is None:
        offered = scope.get("subprotocols", ())
        named = (name for name in offered if name.startswith(CONVERSATION_PROTOCOL))
        given = next(named, CONVERSATION_PROTOCOL).removeprefix(CONVERSATION_PROTOCOL) or None
    if given is None:
        return None
    try:
        if len(given) != 36:
            raise ValueError
        return uuid.UUID(given)
    except ValueError:
        message = f"{CONVERSATION_HEADER} must be a UUID, such as {uuid.uuid4()}."
        raise ChatError(400, "invalid_conversation", message, CONVERSATION_HEADER) from None
