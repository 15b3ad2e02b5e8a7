"""Pages for 400, 403, 404 and 500, in the dialect of their path: JSON below ``/api`` and ``/v1``, HTML elsewhere."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

_API_PREFIXES = ("/api/", "/v1/")


def _answer(request: HttpRequest, status: int, code: str, message: str) -> HttpResponse:
    if request.path.startswith(_API_PREFIXES):
        return JsonResponse({"Code": code, "Message": message}, status=status)
    return render(request, f"{status}.html", {"message": message}, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400, "BadRequest", "The request could not be understood. Go back and try again.")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403, "Forbidden", "Your role does not allow this. Ask an owner of the workspace.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _answer(
        request, 403, "CsrfFailed", "This page was open for too long, or cookies are blocked. Reload it and try again."
    )


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 404, "NotFound", "There is nothing here. The address may be wrong, or it was deleted.")


def server_error(request: HttpRequest) -> HttpResponse:
    return _answer(request, 500, "InternalError", "Something went wrong here. The server's log says what.")
