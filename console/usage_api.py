"""Usage over REST: what the page Usage shows, for whom it shows it. Here because ``deployments`` counts nothing."""

from __future__ import annotations

from typing import TypedDict

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from console import usage
from deployments.api import query
from deployments.api.authentication import caller
from deployments.api.fields import time_text
from deployments.api.lookup import get_workspace
from deployments.api.openapi import answers, paging, parameters
from deployments.models import Workspace

RANGE = OpenApiParameter("Range", OpenApiTypes.STR, enum=tuple(usage.RANGES))
GROUP_BY = OpenApiParameter("GroupBy", OpenApiTypes.STR, enum=tuple(usage.DIMENSIONS))


class UsedFields(TypedDict):
    """Sums. ``Failed`` are those of the requests that were answered with a status from 400 on."""

    Requests: int
    Failed: int
    PromptTokens: int
    CompletionTokens: int


class BarFields(UsedFields):
    """A part of the time, from ``StartTime`` until the next begins."""

    StartTime: str


class GroupFields(UsedFields):
    """One service, key, person or model."""

    Name: str


class UsageAnswer(TypedDict):
    """What was used since ``StartTime``. ``Groups`` has the most tokens first, and the least of many as one."""

    Range: str
    GroupBy: str
    StartTime: str
    Total: UsedFields
    OverTime: list[BarFields]
    Groups: list[GroupFields]


class HourFields(UsedFields):
    """One hour of one service, person, key and model. Of who is gone there is the number; "" is nobody known."""

    Hour: str
    WorkspaceId: str
    ServiceName: str
    UserName: str
    ApiKeyPrefix: str
    Proof: str
    Model: str


class HourList(TypedDict):
    """Hours with usage, oldest first."""

    Hours: list[HourFields]
    PageNumber: int
    PageSize: int
    TotalCount: int


def used_fields(used: usage.Used) -> UsedFields:
    return UsedFields(
        Requests=used.requests,
        Failed=used.failed,
        PromptTokens=used.prompt_tokens,
        CompletionTokens=used.completion_tokens,
    )


def read_range(request: Request) -> str:
    return query.choice(request, "Range", usage.RANGES, "24h")


def read_workspace(request: Request) -> Workspace | None:
    """Raises 400 for one that is not the caller's."""
    slug = query.text(request, "WorkspaceId")
    return get_workspace(caller(request), slug, "WorkspaceId") if slug else None


class UsageView(APIView):
    """Usage, summed up."""

    @extend_schema(
        operation_id="DescribeUsage",
        parameters=[RANGE, GROUP_BY, *parameters(OpenApiTypes.STR, "WorkspaceId")],
        responses=answers(UsageAnswer, validates=True),
    )
    def get(self, request: Request) -> Response:
        """What was used, over time and by service, key, person or model: administrators see all, owners their
        workspaces, everybody their own.
        """
        kept, now = read_range(request), timezone.now()
        dimension = query.choice(request, "GroupBy", usage.DIMENSIONS, "service")
        rows = usage.visible_usage(caller(request), read_workspace(request))
        bars = usage.sum_over_time(rows, kept, now)
        groups = usage.sum_by(rows, dimension, kept, now)
        return Response(
            UsageAnswer(
                Range=kept,
                GroupBy=dimension,
                StartTime=time_text(usage.first_instant(kept, now)),
                Total=used_fields(usage.total_of(bars)),
                OverTime=[BarFields(StartTime=time_text(one.begins_at), **used_fields(one)) for one in bars],
                Groups=[GroupFields(Name=one.name, **used_fields(one)) for one in groups],
            )
        )


class UsageHoursView(APIView):
    """Usage as it is kept."""

    @extend_schema(
        operation_id="ListUsageHours",
        parameters=[*paging(), RANGE, *parameters(OpenApiTypes.STR, "WorkspaceId")],
        responses=answers(HourList, validates=True),
    )
    def get(self, request: Request) -> Response:
        """The same hour by hour, as the page's CSV has it."""
        page, kept = query.page(request), read_range(request)
        rows = usage.visible_usage(caller(request), read_workspace(request))
        hours = usage.hours_of(rows, kept, timezone.now())
        return Response(
            HourList(
                Hours=[hour_fields(one) for one in usage.name_hours(page.of(hours))],
                PageNumber=page.number,
                PageSize=page.size,
                TotalCount=hours.count(),
            )
        )


def hour_fields(one: usage.NamedHour) -> HourFields:
    row = one.row
    return HourFields(
        Hour=time_text(row.hour),
        WorkspaceId=one.workspace,
        ServiceName=row.service_name,
        UserName=one.person,
        ApiKeyPrefix=one.key,
        Proof=row.proof,
        Model=row.model,
        Requests=row.requests,
        Failed=row.failed,
        PromptTokens=row.prompt_tokens,
        CompletionTokens=row.completion_tokens,
    )
