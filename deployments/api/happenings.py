"""What happened to a service, and how long what happens usually takes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypedDict

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments.accounts import may_change
from deployments.api import query
from deployments.api.authentication import caller
from deployments.api.fields import time_text
from deployments.api.lookup import get_service
from deployments.api.openapi import answers, paging, parameters
from deployments.models import ServiceEvent
from deployments.stages import Stage
from deployments.timelines import alike_of_service
from deployments.usual import Usual, usual_times

EVENTS_SINCE = timedelta(days=7)  # sdk-wire.md §4, "Documented defaults"


class FixFields(TypedDict):
    """What to change: a path of the service document, or ``model``, and the value to put there, "" where unknown."""

    Field: str
    Value: int | str


class EventFields(TypedDict):
    """Something that happened. ``Code`` is stable; ``Cure`` says what to do, "" where nothing has to be done.

    ``Cause`` is one of docs/failures.md; ``Times`` counts what happened again, last at ``LastTime``.
    """

    Time: str
    Type: str
    Reason: str
    Message: str
    Code: str
    Cure: str
    InstanceName: str
    Version: int
    LogTail: list[str]
    Cause: str
    Fix: FixFields
    Times: int
    LastTime: str


class UsualFields(TypedDict):
    """How long one stage usually takes: the median, what nine of ten stay under, when it is longer than usual.

    ``OfOthers``: the runs are those of services alike, for this one has none.
    """

    Stage: str
    Seconds: float
    P90Seconds: float
    SlowAfterSeconds: float
    Runs: int
    OfOthers: bool


class EventList(TypedDict):
    """A page of events, newest first."""

    Events: list[EventFields]
    PageNum: int
    PageSize: int
    TotalCount: int
    TotalPageNum: int


class UsualTimesAnswer(TypedDict):
    """How long the stages of this service's instances usually take; those of which nothing is known are left out."""

    UsualTimes: list[UsualFields]


class EventsView(APIView):
    """DescribeServiceEvent."""

    @extend_schema(
        operation_id="DescribeServiceEvent",
        parameters=[
            *paging("PageNum"),
            *parameters(OpenApiTypes.STR, "EventType", "InstanceName"),
            *parameters(OpenApiTypes.DATETIME, "StartTime", "EndTime"),
        ],
        responses=answers(EventList),
    )
    def get(self, request: Request, cluster: str, name: str) -> Response:
        """What happened to a service, by default in the last seven days."""
        service = get_service(request, cluster, name)
        page = query.page(request, number="PageNum")
        since = query.instant(request, "StartTime")
        until = query.instant(request, "EndTime")
        rows = service.events.filter(created_at__gte=since or timezone.now() - EVENTS_SINCE)
        if until:
            rows = rows.filter(created_at__lte=until)
        if kind := query.choice(request, "EventType", ServiceEvent.Type.values):
            rows = rows.filter(type=kind)
        if instance := query.text(request, "InstanceName"):
            rows = rows.filter(instance=instance)
        total = rows.count()
        changes = may_change(caller(request), service.workspace)
        return Response(
            EventList(
                Events=[event_fields(row, may_change=changes) for row in page.of(rows)],
                PageNum=page.number,
                PageSize=page.size,
                TotalCount=total,
                TotalPageNum=page.count_of(total),
            )
        )


class UsualTimesView(APIView):
    """How long it usually takes. EAS has no such operation."""

    @extend_schema(operation_id="DescribeUsualTimes", responses=answers(UsualTimesAnswer))
    def get(self, request: Request, cluster: str, name: str) -> Response:
        """From kept starts and ends of this service, else of services alike. ``ready`` is a whole start."""
        service = get_service(request, cluster, name)
        return Response(UsualTimesAnswer(UsualTimes=usual_fields(usual_times(service, alike_of_service(service)))))


def event_fields(event: ServiceEvent, *, may_change: bool) -> EventFields:
    """An event; its lines of the log are not for viewers."""
    return EventFields(
        Time=time_text(event.created_at),
        Type=event.type,
        Reason=event.code,
        Message=event.message,
        Code=event.code,
        Cure=event.cure,
        InstanceName=event.instance,
        Version=event.revision_number or 0,
        LogTail=event.log_tail.splitlines() if may_change else [],
        Cause=event.cause,
        Fix=fix_fields(event.fix),
        Times=event.times,
        LastTime=time_text(event.last_seen_at or event.created_at),
    )


def fix_fields(fix: Mapping[str, Any] | None) -> FixFields:
    """``failures.Fix`` as an event keeps it."""
    said = fix or {}
    value = said.get("value")
    return FixFields(Field=str(said.get("field", "")), Value="" if value is None else value)


def usual_fields(times: Mapping[Stage, Usual]) -> list[UsualFields]:
    """Usual times, in the order in which an instance goes through the stages."""
    return [
        UsualFields(
            Stage=str(stage),
            Seconds=round(times[stage].seconds, 3),
            P90Seconds=round(times[stage].p90_seconds, 3),
            SlowAfterSeconds=round(times[stage].slow_after_seconds, 3),
            Runs=times[stage].runs,
            OfOthers=times[stage].of_others,
        )
        for stage in Stage
        if stage in times
    ]
