"""Every answer is one JSON object with a ``RequestId``, whatever the caller says it accepts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class EnvelopeRenderer(BaseRenderer):
    """JSON with ``RequestId`` first; the same id is in the header ``x-request-id``."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        request_id = str(uuid4())
        if renderer_context and "response" in renderer_context:
            renderer_context["response"]["x-request-id"] = request_id
        body = {"RequestId": request_id, **(data or {})}
        # Logs may hold half a character: written as JSON's own escape it is at least valid JSON.
        return json.dumps(body, ensure_ascii=False).encode(errors="backslashreplace")


class AlwaysJson(BaseContentNegotiation):
    """Clients send every kind of Accept and Content-Type (sdk-wire.md §1); neither may become 406 or 415."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        return next(iter(parsers))

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type or ""
