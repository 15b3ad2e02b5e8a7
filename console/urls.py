"""Every address of the console and of the REST control plane.

``/api/predict`` and ``/v1`` never get here: ``console.asgi`` hands them to the inference gateway first.
"""

from __future__ import annotations

from django.urls import path

from console.health import healthz, readyz

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
]

handler400 = "console.error_pages.bad_request"
handler403 = "console.error_pages.permission_denied"
handler404 = "console.error_pages.page_not_found"
handler500 = "console.error_pages.server_error"
