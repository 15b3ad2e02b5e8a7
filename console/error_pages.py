"""Pages for 400, 403, 404, 500 and 503, in the dialect of their path: JSON below ``/api`` and ``/v1``, HTML elsewhere.

They must work when little else does: nothing here asks the database, so a failing one still gets a page.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from uuid import uuid4

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext

from console.page_context import page_context
from deployments.api.errors import DATABASE_DOWN

logger = logging.getLogger(__name__)
_API_PREFIXES = ("/api/", "/v1/")


def _answer(request: HttpRequest, status: int, code: str, heading: str, message: str) -> HttpResponse:
    if request.path.startswith(_API_PREFIXES):
        request_id = str(uuid4())
        if status >= 500:
            logger.error("request %s was answered as RequestId %s", getattr(request, "id", ""), request_id)
        body = {"RequestId": request_id, "Code": code, "Message": message}
        return JsonResponse(body, status=status, headers={"x-request-id": request_id})
    context = page_context(request) | {"status": status, "heading": heading, "message": message}
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(render_to_string("console/parts/refusal.html", context), status=status)
    return HttpResponse(render_to_string("console/error.html", context), status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    message = gettext("The request could not be understood. Go back and try again.")
    return _answer(request, 400, "BadRequest", gettext("Not understood"), message)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    message = gettext("Your role does not allow this. Ask an owner of the workspace.")
    return _answer(request, 403, "Forbidden", gettext("Not allowed"), message)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    message = gettext("This page was open for too long, or cookies are blocked. Reload it and try again.")
    return _answer(request, 403, "CsrfFailed", gettext("Reload the page"), message)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    message = gettext("Nothing here, or not for you. The address may be wrong, or it was deleted.")
    return _answer(request, 404, "NotFound", gettext("Nothing here"), message)


class MethodNotAllowedMiddleware:
    """A page for 405: an address that only forms are sent to, opened from the history, is no blank sheet."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code != 405 or response.streaming or response.content:
            return response
        message = gettext("Nothing here, or not for you. The address may be wrong, or it was deleted.")
        page = _answer(request, 405, "MethodNotAllowed", gettext("Nothing here"), message)
        page["Allow"] = response["Allow"]
        return page


def server_error(request: HttpRequest) -> HttpResponse:
    logger.error("%s %s failed", request.method, request.path)
    if isinstance(sys.exception(), OperationalError | InterfaceError):
        answer = _answer(request, 503, "DatabaseUnavailable", gettext("Unavailable"), gettext(DATABASE_DOWN))
        answer["Retry-After"] = "5"
        return answer
    message = gettext("Something broke here. The server's log says what, beside the request's number.")
    return _answer(request, 500, "InternalError", gettext("Something broke"), message)
