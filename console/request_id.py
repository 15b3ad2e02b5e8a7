"""A short id for every request, shown on error pages and written beside the error in the log."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from deployments.request_ids import request_id


class RequestIdMiddleware:
    """Sets ``request.id`` and answers with it as ``X-Request-Id``."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.id = secrets.token_hex(4)  # type: ignore[attr-defined]
        request_id.set(request.id)  # type: ignore[attr-defined]
        response = self.get_response(request)
        response.headers.setdefault("X-Request-Id", request.id)  # type: ignore[attr-defined]
        return response
