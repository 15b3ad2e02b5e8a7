"""Which language somebody reads: what they chose, else what their browser asks for.

A person's choice is kept in the database and follows them to every browser; a stranger's in a cookie. Whatever they
choose has to be offered now (``settings.LANGUAGES``), else the next source is asked.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpRequest
from django.utils.translation import get_language_from_request


def chosen_language(user: AbstractBaseUser | AnonymousUser | None) -> str:
    """The language that the person chose, "" where they chose none (the browser's then) or it is not offered now."""
    try:
        language: str = user.preferences.language  # type: ignore[union-attr]
    except (AttributeError, ObjectDoesNotExist):
        return ""
    return language if language in dict(settings.LANGUAGES) else ""


def requested_language(cookie: str, accept_language: str) -> str:
    """The language of a browser: its cookie of ours, else its own settings, else English."""
    request = HttpRequest()
    request.COOKIES = {settings.LANGUAGE_COOKIE_NAME: cookie}
    request.META["HTTP_ACCEPT_LANGUAGE"] = accept_language
    return get_language_from_request(request)
