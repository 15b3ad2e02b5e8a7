"""The choice of language, from the account menu and from the sign-in page."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import override
from django.views.decorators.http import require_POST

from console.views.sign_in import show_form
from deployments.languages import language_tag
from deployments.models import Preferences
from deployments.reader import requested_language

YEAR_SECONDS = 365 * 24 * 3600


@require_POST
def choose_language(request: HttpRequest) -> HttpResponse:
    """Keep the choice, with the person and in this browser, and go back. An empty one follows the browser again.

    In the browser too, so that its sign-in page speaks that language after the session has ended.
    """
    wanted = request.POST.get("language", "")
    language = wanted if wanted in dict(settings.LANGUAGES) else ""
    if isinstance(request.user, User):
        Preferences.objects.update_or_create(user=request.user, defaults={"language": language})
    there = request.POST.get("next", "/")
    is_safe = url_has_allowed_host_and_scheme(
        there, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    response: HttpResponse = HttpResponseRedirect(there if is_safe else "/")
    if request.POST.get("kept_form") and not request.user.is_authenticated:
        # The sign-in page that an unsent form waits behind: an address could not carry that.
        spoken = requested_language(language, request.META.get("HTTP_ACCEPT_LANGUAGE", ""))
        with override(spoken):
            response = show_form(request, there if is_safe else "/", {})
        response["Content-Language"] = language_tag(spoken)
    if not language:
        response.delete_cookie(settings.LANGUAGE_COOKIE_NAME, samesite="Lax")
        return response
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=YEAR_SECONDS,
        samesite="Lax",
        secure=settings.LANGUAGE_COOKIE_SECURE,
        httponly=True,
    )
    return response
