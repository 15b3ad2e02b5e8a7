"""Who may call a service: whoever has its token (eas.md §2.1, §2.2). People's tokens and sessions do not count.

Pure: the token comes from ``inference_gateway.directory``, which forgets it within a second of a change.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from inference_gateway.chat import ChatError
from inference_gateway.http import Scope

CURE = (
    "Send the service's token in the Authorization header, as it is or after Bearer. "
    "Invocation Information on the service's page shows it."
)

#: Before a token among a WebSocket's subprotocols.
TOKEN_PROTOCOL = "slipway.token."


def find_authorization(scope: Scope) -> bytes | None:
    """The header's value; None where there is none. Raises ChatError 401 for more than one."""
    values = [bytes(value).strip() for name, value in scope["headers"] if name == b"authorization"]
    if scope["type"] == "websocket" and not values:
        values = read_token_protocols(scope.get("subprotocols", ()))
    if len(values) > 1:
        raise ChatError(401, "Unauthorized", f"The request has {len(values)} Authorization headers. Send one.")
    return values[0] if values and values[0] else None


def read_token_protocols(subprotocols: Iterable[str]) -> list[bytes]:
    """Tokens that came as subprotocols: a page in a browser can set no header, and an address is logged.

    Each is ``slipway.token.`` and the token in base64url, with or without ``=`` at its end. What cannot be read is
    a wrong token.
    """
    given = [name.removeprefix(TOKEN_PROTOCOL) for name in subprotocols if name.startswith(TOKEN_PROTOCOL)]
    tokens = []
    for text in given:
        try:
            tokens.append(base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), b"-_", validate=True))
        except ValueError:
            tokens.append(b"unreadable")
    return tokens


def is_signature(authorization: bytes | None) -> bool:
    """Whether the body is needed to check it: ``EAS <signature>``."""
    return authorization is not None and authorization[:4].lower() == b"eas "


def find_bearer(authorization: bytes | None) -> str | None:
    """The token presented, raw or after ``Bearer``; None for none and for a signature."""
    if authorization is None or is_signature(authorization):
        return None
    scheme, _, rest = authorization.partition(b" ")
    return (rest.strip() if scheme.lower() == b"bearer" and rest else authorization).decode("latin-1")


def check_token(scope: Scope, token: str | None, body: bytes = b"") -> None:
    """Raise ChatError 401 unless the request carries ``token`` in one of the three shapes.

    ``body`` matters for ``is_signature`` alone.
    """
    authorization = find_authorization(scope)
    if authorization is None:
        raise ChatError(401, "Unauthorized", f"The token is missing. {CURE}")
    presented = find_bearer(authorization)
    if token is not None:
        if presented is None:
            if is_right_signature(scope, authorization[4:].strip(), token, body):
                return
        elif is_token(presented, token):
            return
    raise ChatError(401, "Unauthorized", f"Invalid token. {CURE}")


def is_token(presented: str, token: str) -> bool:
    """In a time that tells nothing."""
    return hmac.compare_digest(presented.encode("latin-1"), token.encode())


def is_right_signature(scope: Scope, signature: bytes, token: str, body: bytes) -> bool:
    """Check PredictClient's signature (eas.md §2.2).

    The client signs the path as its caller wrote it, query included, and sends it percent-encoded, so both
    spellings count. The digest is of the body received: Content-MD5 is a header that anybody can send. The
    date is the client's local clock under another zone's name, so its age says nothing.
    """
    raw_path, query = bytes(scope["raw_path"]), bytes(scope["query_string"])
    spellings = {raw_path, unquote_to_bytes(raw_path)}
    if query:
        spellings |= {path + b"?" + text for path in spellings for text in (query, unquote_to_bytes(query))}
    headers = {bytes(name): bytes(value) for name, value in scope["headers"]}
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest().encode("ascii")
    head = [
        scope.get("method", "GET").encode("ascii"),
        digest,
        headers.get(b"content-type", b""),
        headers.get(b"date", b""),
    ]
    is_right = False
    for path in spellings:
        message = b"\n".join([*head, path]).strip()
        right = base64.b64encode(hmac.digest(token.encode(), message, "sha1"))
        is_right |= hmac.compare_digest(right, signature)
    return is_right
