"""Every page in the language of its reader; what programs ask is answered in English.

Takes the place of Django's own middleware, which knows of no choice that belongs to a person.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import patch_vary_headers

from deployments.languages import ENGLISH, language_tag
from deployments.reader import chosen_language, requested_language

#: Their words are part of a contract, or nobody reads them.
PROGRAMS = ("/api/", "/v1/", "/healthz", "/readyz", "/metrics")


class PageLanguageMiddleware:
    """Activates the reader's language for the time of a request. Runs after the person is known."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(PROGRAMS):
            with translation.override(ENGLISH.code):
                return self.get_response(request)
        language = find_language(request)
        with translation.override(language):
            response = self.get_response(request)
        patch_vary_headers(response, ("Accept-Language", "Cookie"))
        response.headers.setdefault("Content-Language", language_tag(language))
        return response


def find_language(request: HttpRequest) -> str:
    """The person's choice, else the browser's. A database that does not answer leaves the latter."""
    try:
        chosen = chosen_language(request.user)
    except (InterfaceError, OperationalError):
        chosen = ""  # the page will say that it is away
    if chosen:
        return chosen
    cookie = request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME, "")
    return requested_language(cookie, request.META.get("HTTP_ACCEPT_LANGUAGE", ""))
