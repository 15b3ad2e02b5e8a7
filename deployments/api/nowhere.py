"""Every other path below ``/api/v2/``: a 404 in EAS's shape, for any method."""

from __future__ import annotations

from typing import Any, NoReturn

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from deployments.api.errors import not_found


@extend_schema(exclude=True)
class NowhereView(APIView):
    """There is nothing here."""

    def handle(self, request: Request, *args: Any, **kwargs: Any) -> NoReturn:
        raise not_found("NotFound", "There is no such path. /api/schema/ lists those there are.")

    get = post = put = patch = delete = options = handle
