"""Who is asking: programs by their ``Authorization`` header, pages by their session (with CSRF)."""

from __future__ import annotations

from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from deployments.accounts import find_user


class ProgramAuthentication(BaseAuthentication):
    """HTTP Basic, ``Bearer slp_…`` or a bare personal token. A wrong header is never passed over."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        authorization = request.headers.get("Authorization", "")
        if not authorization.strip():
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


def caller(request: Request) -> User:
    """The signed-in person. Only for views behind ``IsAuthenticated``."""
    user = request.user
    assert isinstance(user, User)
    return user
