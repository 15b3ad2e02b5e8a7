"""How a service performs: charts of what the gateway answered and of what its engines say."""

from __future__ import annotations

from datetime import timedelta

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from console.access import SignedInRequest, get_service, signed_in
from console.monitoring_view import RANGE_WORDS, find_range, monitoring_of
from console.rollouts import marks_of, rollouts_of
from console.service_view import page_of
from deployments.spec import ENGINE_LABEL
from inference_gateway.monitoring.history import read_history
from inference_gateway.monitoring.scraping import ENGINES


@require_safe
@signed_in
def monitoring(request: SignedInRequest, name: str) -> HttpResponse:
    """``?range=`` is one of RANGES, ``?yesterday=off`` leaves the day before out. For viewers too."""
    service = get_service(request, name)
    context = page_of(request.user, service, "monitoring")
    asked = find_range(request.GET.get("range"))
    compares = request.GET.get("yesterday") != "off"
    engine = str(service.document.get("labels", {}).get(ENGINE_LABEL, "")).lower()
    history = read_history(service.uid, asked, context["now"])
    begins_at, step_seconds, count = history.steps[0].begins_at, asked.step_seconds, len(history.steps)
    rollouts = rollouts_of(service, begins_at, begins_at + timedelta(seconds=step_seconds * count))
    marks = marks_of(rollouts, begins_at, step_seconds, count)
    context |= monitoring_of(history, marks, compares=compares, has_engine=engine in ENGINES)
    context |= {
        "rollouts": rollouts,
        "range": asked,
        "ranges": [(key, _(word)) for key, word in RANGE_WORDS.items()],
        "compares": compares,
        "shows_days": asked.seconds > 24 * 3600,
    }
    return render(request, "console/service/monitoring.html", context)
