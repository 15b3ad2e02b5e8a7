"""Every address of the console and of the REST control plane.

``/api/predict`` and ``/v1`` never get here: ``console.asgi`` hands them to the inference gateway first.
"""

from __future__ import annotations

from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.negotiation import DefaultContentNegotiation

from console.health import healthz, readyz
from console.metrics import metrics
from console.usage_api import UsageHoursView, UsageView

urlpatterns = [
    path("", include("console.page_urls")),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("api/v2/usage", UsageView.as_view()),
    path("api/v2/usage/hours", UsageHoursView.as_view()),
    path("api/v2/", include("deployments.api.urls")),
    path(
        "api/schema/",
        SpectacularAPIView.as_view(
            authentication_classes=[], permission_classes=[], content_negotiation_class=DefaultContentNegotiation
        ),
        name="schema",
    ),
]

handler400 = "console.error_pages.bad_request"
handler403 = "console.error_pages.permission_denied"
handler404 = "console.error_pages.page_not_found"
handler500 = "console.error_pages.server_error"
