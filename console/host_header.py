"""The Host header of clients that were given an address with its scheme, as ``http://127.0.0.1:8000``.

Alibaba's SDKs put the endpoint they are configured with into the header as it stands (sdk-wire.md §1). The name in it
is judged as any other by ``ALLOWED_HOSTS``.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

SCHEME = re.compile(r"https?://", re.IGNORECASE)


class HostHeaderMiddleware:
    """Takes the scheme off for Django; ``SIGNED_HOST`` keeps what was sent, for that is what is signed."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sent = request.META.get("HTTP_HOST", "")
        if found := SCHEME.match(sent):
            request.META["HTTP_HOST"] = sent[found.end() :].rstrip("/")
            request.META["SIGNED_HOST"] = sent
        return self.get_response(request)
