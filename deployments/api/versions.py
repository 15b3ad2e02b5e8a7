"""A service's versions: its revisions in EAS's words, where ``ImageId`` is the number (sdk-wire.md §4)."""

from __future__ import annotations

import json
from typing import Any, TypedDict

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import lifecycle
from deployments.api import query
from deployments.api.authentication import caller
from deployments.api.body import read_object, whole
from deployments.api.errors import not_found
from deployments.api.fields import time_text
from deployments.api.lookup import get_service, get_service_to_change
from deployments.api.openapi import answers, body, paging
from deployments.api.service import MAX_VERSION, ChangeAnswer, changed
from deployments.clusters import get_cluster
from deployments.clusters.base import Cluster
from deployments.models import Revision, Service
from deployments.spec import ServiceSpec, SpecInvalid


class VersionFields(TypedDict):
    """One version. ``ImageAvailable`` and ``ServiceRunnable`` are true, false or unknown, as texts."""

    ImageId: int
    BuildTime: str
    ImageAvailable: str
    ServiceRunnable: str
    Message: str
    Version: int
    Author: str
    Reason: str
    Current: bool
    Wanted: bool


class VersionList(TypedDict):
    """A page of versions, newest first."""

    Versions: list[VersionFields]
    PageNumber: int
    PageSize: int
    TotalCount: int


class VersionDocument(VersionFields):
    """One version with its document."""

    Document: dict[str, Any]
    ServiceConfig: str


class VersionsView(APIView):
    """ListServiceVersions."""

    @extend_schema(operation_id="ListServiceVersions", parameters=paging(), responses=answers(VersionList))
    def get(self, request: Request, cluster: str, name: str) -> Response:
        """The versions of a service."""
        service = get_service(request, cluster, name)
        page = query.page(request)
        rows = service.revisions.select_related("author")
        backend = get_cluster()
        return Response(
            VersionList(
                Versions=[version_fields(row, service, backend) for row in page.of(rows)],
                PageNumber=page.number,
                PageSize=page.size,
                TotalCount=rows.count(),
            )
        )


class VersionView(APIView):
    """One version with its document."""

    @extend_schema(operation_id="DescribeServiceVersion", responses=answers(VersionDocument))
    def get(self, request: Request, cluster: str, name: str, number: str) -> Response:
        """A version's document; it holds no token, but the environment: not for viewers."""
        service = get_service_to_change(request, cluster, name)
        row = None
        if number.isascii() and number.isdigit() and len(number) < 10:
            row = service.revisions.select_related("author").filter(number=int(number)).first()
        if row is None:
            raise not_found("VersionNotFound", f"{service.name} has no such version. Versions lists those it has.")
        return Response(
            VersionDocument(
                **version_fields(row, service, get_cluster()),
                Document=row.document,
                ServiceConfig=json.dumps(row.document, ensure_ascii=False),
            )
        )


class SwitchVersionView(APIView):
    """UpdateServiceVersion."""

    @extend_schema(
        operation_id="UpdateServiceVersion",
        request=body(Version="integer"),
        responses=answers(ChangeAnswer, validates=True),
    )
    def put(self, request: Request, cluster: str, name: str) -> Response:
        """Want an earlier, or a later, version again."""
        service = get_service_to_change(request, cluster, name)
        number = whole(read_object(request), "Version", 1, MAX_VERSION)
        after = lifecycle.switch_version(service, number, caller(request))
        return Response(changed(service, after, f"Switching to version [{number}]:"))


def version_fields(row: Revision, service: Service, backend: Cluster) -> VersionFields:
    is_serving = row.pk == service.serving_revision_id
    runnable, message = judge(row, backend)
    return VersionFields(
        ImageId=row.number,
        BuildTime=time_text(row.created_at),
        ImageAvailable="true" if is_serving else "unknown",
        ServiceRunnable=runnable,
        Message=message,
        Version=row.number,
        Author=row.author.get_username() if row.author else "",
        Reason=row.reason,
        Current=is_serving,
        Wanted=row.pk == service.wanted_revision_id,
    )


def judge(row: Revision, backend: Cluster) -> tuple[str, str]:
    """Whether the cluster could run a version now, and why not. Rules may have changed since it was stored."""
    try:
        refusal = backend.refuse(ServiceSpec.parse(row.document))
    except SpecInvalid as invalid:
        return "false", str(invalid)
    return ("true", "") if refusal is None else ("false", f"{refusal.message} {refusal.cure}".strip())
