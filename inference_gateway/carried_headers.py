"""Headers of requests that the gateway only carries: which are for the instance, and which for the caller. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from multidict import CIMultiDict

from deployments.clusters.passage import Passage
from inference_gateway.chat import ChatError
from inference_gateway.http import Scope, find_header
from inference_gateway.trace_context import outgoing

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"expect",  # the server has answered it by the time that the body is read
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
#: What we say ourselves, about whom we speak for: a program may believe these of its gateway.
FORWARDED = frozenset((b"host", b"forwarded", b"x-real-ip", b"true-client-ip"))
FORWARDED_PREFIX = b"x-forwarded-"
#: Cookies of the console (session, CSRF, language) begin with this.
OWN_COOKIES = "slipway_"
WEBSOCKET_HEADERS = frozenset(
    (
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-extensions",
        b"sec-websocket-protocol",
        b"content-length",
    )
)


#: One makes a tunnel of a proxy, the other shows a caller's headers.
NOT_CARRIED = frozenset({"CONNECT", "TRACE"})


def check_method(method: str) -> None:
    """Raises ChatError 405 for what asks of a proxy what no instance should answer."""
    if method in NOT_CARRIED:
        raise ChatError(405, "method_not_allowed", f"{method} is not carried to instances.")


def render_request_headers(scope: Scope, prefix: str, request_id: str) -> CIMultiDict[str]:
    """The headers for the instance. Pure."""
    named = connection_named(scope["headers"])
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in scope["headers"]:
        if name in HOP_BY_HOP or name in FORWARDED or name in named or name in (b"authorization", b"x-request-id"):
            continue
        if name.startswith(FORWARDED_PREFIX):
            continue
        text = bytes(value).decode("latin-1")
        if name == b"cookie":
            text = without_own_cookies(text)
        if text or name != b"cookie":
            headers.add(bytes(name).decode("latin-1"), text)
    headers["X-Forwarded-For"] = scope["client"][0] if scope.get("client") else "unknown"
    headers["X-Forwarded-Proto"] = "https" if scope["scheme"] in ("https", "wss") else "http"
    headers["X-Forwarded-Host"] = find_header(scope, b"host") or ""
    headers["X-Forwarded-Prefix"] = prefix
    headers["X-Request-Id"] = request_id
    headers.update(outgoing.get())
    return headers


def render_way_headers(headers: CIMultiDict[str], passage: Passage) -> CIMultiDict[str]:
    """The same with what the way to one instance wants, and without what it does not take. Pure."""
    kept: CIMultiDict[str] = CIMultiDict(
        (name, value) for name, value in headers.items() if passage.takes_header(name.lower())
    )
    kept.update(passage.headers)
    return kept


def render_response_headers(raw: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers for the caller, repeated ones kept apart. Pure."""
    given = [(name.lower(), value) for name, value in raw]
    named = connection_named(given)
    return [
        (name, value)
        for name, value in given
        if name not in HOP_BY_HOP
        and name not in named
        and name not in (b"x-request-id", b"date")  # Both are ours; a second Date would be no date at all.
        and not (name == b"set-cookie" and value.strip().lower().startswith(OWN_COOKIES.encode()))
    ]


def connection_named(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """Headers that ``Connection`` names are hop-by-hop too."""
    values = [bytes(value) for name, value in headers if name == b"connection"]
    return frozenset(word.strip().lower() for value in values for word in value.split(b","))


def without_own_cookies(cookies: str) -> str:
    kept = [pair for pair in cookies.split(";") if not pair.strip().lower().startswith(OWN_COOKIES)]
    return ";".join(kept).strip()
