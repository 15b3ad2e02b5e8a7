"""Whether a WebSocket handshake that a session cookie signs in comes from our own pages. Pure.

Browsers send cookies along from any site and let it read the answers: the Origin is all that tells.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit


def is_own_origin(scope: dict[str, Any], public_url: str | None) -> bool:
    """Whether Origin is the public address, or names the very host and port that was asked for."""
    origin, host = read_header(scope, b"origin"), read_header(scope, b"host")
    if not origin or not host:
        return False  # no browser leaves it out, and programs have their own paths and tokens
    parts = urlsplit(origin)
    if public_url:
        public = urlsplit(public_url)
        if (parts.scheme, parts.netloc.lower()) == (public.scheme, public.netloc.lower()):
            return True
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def origin_of(scope: dict[str, Any]) -> tuple[str, str]:
    """Where a handshake came from: the address, and what the browser calls itself."""
    client = scope.get("client") or ("",)
    return str(client[0]), read_header(scope, b"user-agent")


def read_cookie(scope: dict[str, Any], name: str) -> str:
    """The cookie's value, empty where there is none."""
    try:
        cookie = SimpleCookie(read_header(scope, b"cookie")).get(name)
    except CookieError:
        return ""
    return cookie.value if cookie is not None else ""


def read_header(scope: dict[str, Any], name: bytes) -> str:
    """The header's value (its name in lower case), empty where there is none."""
    return next((bytes(value).decode("latin-1") for key, value in scope["headers"] if key == name), "")
