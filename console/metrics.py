"""``/metrics``: what the gateway of this machine answered, for Prometheus (docs/observability.md).

It names services and says how much they are used, so it is for administrators (a session, HTTP Basic or a personal
token) and for whoever has ``SLIPWAY_METRICS_TOKEN``. Where a request comes from counts for nothing: behind a proxy
everybody comes from loopback.
"""

from __future__ import annotations

import hmac

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client.exposition import choose_encoder

from deployments.accounts import PasswordChangeRequired, TooManyTries, find_user
from deployments.models import Service
from inference_gateway.monitoring.exposition import add_up, render
from inference_gateway.monitoring.recording import metrics_folder
from inference_gateway.monitoring.shared import read_all

BEARER = "Bearer "


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """200 in the form that is asked for, 401 without and 403 with a person who is no administrator."""
    refusal = _refusal(request)
    if refusal is not None:
        return refusal
    known = frozenset(Service.objects.values_list("uid", flat=True))
    writer, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(render(add_up(read_all(metrics_folder()), known), writer), content_type=content_type)


def _refusal(request: HttpRequest) -> HttpResponse | None:
    """Why the asker hears nothing; None where they do."""
    authorization = request.headers.get("Authorization", "")
    expected: str | None = settings.SLIPWAY_METRICS_TOKEN
    if expected and authorization.startswith(BEARER):
        given = authorization.removeprefix(BEARER).strip()
        if hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode()):
            return None
    user = request.user
    if authorization:
        try:
            found = find_user(authorization, request.META.get("REMOTE_ADDR", ""))
        except TooManyTries as error:
            return _tell(429, str(error), {"Retry-After": str(error.wait_seconds)})
        except PasswordChangeRequired as error:
            return _tell(403, str(error), {})
    else:
        found = user if user.is_authenticated else None
    if found is None:
        told = "Send `Authorization: Bearer` and SLIPWAY_METRICS_TOKEN, or sign in as an administrator."
        return _tell(401, told, {"WWW-Authenticate": 'Basic realm="Slipway", charset="UTF-8"'})
    if not found.is_superuser:
        return _tell(403, "Metrics name every service, so they are for administrators.", {})
    return None


def _tell(status: int, sentence: str, headers: dict[str, str]) -> HttpResponse:
    return HttpResponse(sentence + "\n", status=status, headers=headers, content_type="text/plain; charset=utf-8")
