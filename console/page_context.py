"""What the frame of every page needs: theme and density from their cookies, and which layout to extend.

Theme and density live in cookies, so that the server writes them into the first byte of HTML and nothing is
repainted. A live refetch (header ``X-Slipway-Live``) extends the bare layout: the frame is on the page already.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import get_language

from deployments.languages import language_tag, offered_languages

THEME_COOKIE = "slipway_theme"
DENSITY_COOKIE = "slipway_density"
THEMES = ("system", "light", "dark")
DENSITIES = ("comfortable", "compact")
LANGUAGES = offered_languages(settings.LOCALE_PATHS[0])
LIVE_HEADER = "X-Slipway-Live"


def page_context(request: HttpRequest) -> dict[str, Any]:
    """Variables of ``base.html``."""
    return {
        "theme": chosen(request.COOKIES.get(THEME_COOKIE), THEMES),
        "density": chosen(request.COOKIES.get(DENSITY_COOKIE), DENSITIES),
        "layout": "bare.html" if LIVE_HEADER in request.headers else "base.html",
        "request_id": getattr(request, "id", ""),
        "language_tag": language_tag(get_language()),
        "languages": LANGUAGES,
        "slipway_version": settings.SLIPWAY_VERSION,
    }


def chosen(value: str | None, known: tuple[str, ...]) -> str:
    """``value`` where it is one of ``known``, else the first: cookies are the visitor's to write."""
    return value if value in known else known[0]
