"""Who is asking: programs by their ``Authorization`` header, pages by their session (with CSRF)."""

from __future__ import annotations

from urllib.parse import quote

from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from deployments.access_keys import get_user_by_signature
from deployments.accounts import find_user
from deployments.api.body import read_bytes
from deployments.signatures import SignedRequest, is_signed


class ProgramAuthentication(BaseAuthentication):
    """HTTP Basic, ``Bearer slp_…`` or a bare personal token. A wrong header is never passed over."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        authorization = request.headers.get("Authorization", "")
        if not authorization.strip() or is_signed(authorization):
            return None
        user = find_user(authorization, request.META.get("REMOTE_ADDR", ""))
        if user is None:
            raise AuthenticationFailed(
                "The name, password or token is wrong, or the token has expired. Use HTTP Basic, "
                "or `Bearer` and a personal access token."
            )
        return user, None

    def authenticate_header(self, request: Request) -> str:
        """``Basic`` for programs. A page's own fetch gets another word, or the browser would ask by itself."""
        is_fetch = request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
        return 'Session realm="Slipway"' if is_fetch else 'Basic realm="Slipway", charset="UTF-8"'


class SignatureAuthentication(BaseAuthentication):
    """A request that an access key has signed, as Alibaba's SDKs send them (sdk-wire.md §1-§3)."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        """Raises ``SignatureRefused`` or ``TooManyTries``: a wrong signature is never passed over."""
        if not is_signed(request.headers.get("Authorization", "")):
            return None
        return get_user_by_signature(signed_request_of(request), request.META.get("REMOTE_ADDR", "")), None


def signed_request_of(request: Request) -> SignedRequest:
    """The request as it came over the wire."""
    # The raw path: a %2F inside a name is signed as it was written. A server that keeps none (WSGI) decoded it.
    raw_path: bytes | None = getattr(request._request, "scope", {}).get("raw_path")
    headers = {name.lower(): value for name, value in request.headers.items()}
    if "SIGNED_HOST" in request.META:  # the header as it was sent, where the console had to mend it
        headers["host"] = request.META["SIGNED_HOST"]
    return SignedRequest(
        method=request.method or "",
        raw_path=quote(request.path) if raw_path is None else raw_path.decode("latin-1"),
        raw_query=request.META.get("QUERY_STRING", ""),
        headers=headers,
        body=read_bytes(request),
    )


def caller(request: Request) -> User:
    """The signed-in person. Only for views behind ``IsAuthenticated``."""
    user = request.user
    assert isinstance(user, User)
    return user
