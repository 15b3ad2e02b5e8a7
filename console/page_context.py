"""What the frame of every page needs: how the person wants it, and which layout to extend.

Theme and density are written into the first byte of HTML, so that nothing is repainted. They are a person's, in
every browser; their cookies are for pages without a person (sign-in) and for those that must not ask the database
(errors). A live refetch (header ``X-Slipway-Live``) extends the bare layout: the frame is on the page already.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpRequest, HttpResponse
from django.utils.translation import get_language

from deployments.languages import language_tag, offered_languages
from deployments.models import Preferences

THEME_COOKIE = "slipway_theme"
DENSITY_COOKIE = "slipway_density"
THEMES = ("system", "light", "dark")
DENSITIES = ("comfortable", "compact")
LANGUAGES = offered_languages(settings.LOCALE_PATHS[0])
LIVE_HEADER = "X-Slipway-Live"
YEAR_SECONDS = 365 * 24 * 3600


def page_context(request: HttpRequest) -> dict[str, Any]:
    """Variables of ``base.html``."""
    # ``signed_in`` puts them there; elsewhere nobody's are known.
    preferences: Preferences = getattr(request, "preferences", None) or Preferences()
    return {
        "theme": chosen(preferences.theme or request.COOKIES.get(THEME_COOKIE), THEMES),
        "density": chosen(preferences.density or request.COOKIES.get(DENSITY_COOKIE), DENSITIES),
        "preferences": preferences,
        "layout": "bare.html" if LIVE_HEADER in request.headers else "base.html",
        "request_id": getattr(request, "id", ""),
        "language_tag": language_tag(get_language()),
        "languages": LANGUAGES,
        "slipway_version": settings.SLIPWAY_VERSION,
    }


def preferences_of(user: User) -> Preferences:
    """A person's preferences; unsaved defaults where they never chose any. The backend has fetched them."""
    try:
        return user.preferences
    except ObjectDoesNotExist:
        return Preferences(user=user)


def keep_in_cookies(response: HttpResponse, preferences: Preferences) -> None:
    """Let pages that know nobody look as the last person in this browser wants them."""
    for cookie, value in ((THEME_COOKIE, preferences.theme), (DENSITY_COOKIE, preferences.density)):
        if value:
            response.set_cookie(
                cookie,
                value,
                max_age=YEAR_SECONDS,
                samesite="Lax",
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
            )


def chosen(value: str | None, known: tuple[str, ...]) -> str:
    """``value`` where it is one of ``known``, else the first: cookies are the visitor's to write."""
    return value if value in known else known[0]
