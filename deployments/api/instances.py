"""A service's instances and their logs."""

from __future__ import annotations

from typing import TypedDict

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments.api import query
from deployments.api.authentication import caller
from deployments.api.errors import not_found, wrong
from deployments.api.fields import (
    INSTANCE_STATUSES,
    InstanceFields,
    instance_fields,
)
from deployments.api.lookup import get_service, get_service_to_change
from deployments.api.openapi import answers, paging, parameters
from deployments.api.service import MessageAnswer
from deployments.clusters import get_cluster
from deployments.clusters.base import Cluster, LogPage, LogQuery
from deployments.models import Instance, Service
from deployments.restarting import InstanceMissing, restart_instances

LOG_PAGE_SIZE = 500
MAX_LINE = 1_000_000_000
MATCHES_AT_ONCE = 10_000


class InstanceList(TypedDict):
    """A page of instances."""

    Instances: list[InstanceFields]
    PageNumber: int
    PageSize: int
    TotalCount: int


class LogAnswer(TypedDict):
    """A page of one instance's log, oldest line first; ``Instances`` are those whose logs are kept."""

    Logs: list[str]
    PageNum: int
    PageSize: int
    TotalCount: int
    TotalPageNum: int
    InstanceName: str
    Instances: list[str]
    NextLine: int


class InstancesView(APIView):
    """ListServiceInstances."""

    @extend_schema(
        operation_id="ListServiceInstances",
        parameters=[*paging(), *parameters(OpenApiTypes.STR, "InstanceName", "InstanceStatus")],
        responses=answers(InstanceList),
    )
    def get(self, request: Request, cluster: str, name: str) -> Response:
        """The instances as they were last seen."""
        service = get_service(request, cluster, name)
        page = query.page(request)
        rows = service.instances.order_by("name")
        if instance := query.text(request, "InstanceName"):
            rows = rows.filter(name=instance)
        found = [instance_fields(row, wanted_version(service)) for row in rows]
        if status := query.choice(request, "InstanceStatus", INSTANCE_STATUSES):
            found = [one for one in found if one["Status"] == status]
        return Response(
            InstanceList(
                Instances=list(page.of_list(found)),
                PageNumber=page.number,
                PageSize=page.size,
                TotalCount=len(found),
            )
        )

    @extend_schema(
        operation_id="DeleteServiceInstances",
        parameters=parameters(OpenApiTypes.STR, "InstanceList"),
        request=None,
        responses=answers(MessageAnswer),
    )
    def delete(self, request: Request, cluster: str, name: str) -> Response:
        """Restart the instances that ``InstanceList`` names, with commas between: each ends as at a scale-in, and
        another is started in its place.
        """
        service = get_service_to_change(request, cluster, name)
        names = [part.strip() for part in query.text(request, "InstanceList").split(",") if part.strip()]
        if not names:
            raise wrong("InstanceList", "missing", "InstanceList must name one or more instances, with commas between.")
        try:
            going = restart_instances(service, names, caller(request))
        except InstanceMissing as missing:
            raise not_found("InstanceNotFound", str(missing)) from None
        told = f"Restarting {', '.join(going)}." if going else "They are stopping already."
        return Response(MessageAnswer(Message=told))


class InstanceView(APIView):
    """One instance."""

    @extend_schema(operation_id="DescribeServiceInstance", responses=answers(InstanceFields))
    def get(self, request: Request, cluster: str, name: str, instance: str) -> Response:
        """An instance as it was last seen."""
        service = get_service(request, cluster, name)
        row = None if "\0" in instance else Instance.objects.filter(service=service, name=instance).first()
        if row is None:
            raise not_found("InstanceNotFound", f"{service.name} has no instance of that name. List them all.")
        return Response(instance_fields(row, wanted_version(service)))


def wanted_version(service: Service) -> int:
    return service.wanted_revision.number if service.wanted_revision else 0


class LogsView(APIView):
    """DescribeServiceLog."""

    @extend_schema(
        operation_id="DescribeServiceLog",
        parameters=[
            *paging("PageNum"),
            *parameters(OpenApiTypes.STR, "Keyword", "InstanceName"),
            *parameters(OpenApiTypes.BOOL, "Previous"),
            *parameters(OpenApiTypes.INT, "FromLine", "Tail"),
        ],
        responses=answers(LogAnswer),
    )
    def get(self, request: Request, cluster: str, name: str) -> Response:
        """The log of one instance, by default of the newest; also of one that has ended. Not for viewers.

        ``Tail`` takes the last lines instead of a page, ``FromLine`` those from a line on: pass on
        ``NextLine`` to follow a log.
        """
        service = get_service_to_change(request, cluster, name)
        page = query.page(request, number="PageNum", size=LOG_PAGE_SIZE)
        tail = query.whole(request, "Tail", 0, 1, query.MAX_PAGE_SIZE)
        from_line = query.whole(request, "FromLine", -1, 0, MAX_LINE)
        backend = get_cluster()
        kept = list(backend.list_logs(service.uid))
        instance = query.text(request, "InstanceName") or (kept[0] if kept else "")
        wanted = LogQuery(
            instance=instance,
            keyword=query.text(request, "Keyword"),
            previous=bool(query.flag(request, "Previous")),
        )
        if instance not in kept and query.text(request, "InstanceName"):
            raise not_found("InstanceNotFound", f"{service.name} has no log of an instance of that name.")
        if tail:
            found = read(backend, service, wanted, None, tail)
        elif from_line >= 0:
            found = read(backend, service, wanted, from_line, page.size)
        else:
            found = read_numbered_page(backend, service, wanted, page)
        return Response(
            LogAnswer(
                Logs=[line for _, line in found.lines],
                PageNum=page.number,
                PageSize=page.size,
                TotalCount=found.total,
                TotalPageNum=page.count_of(found.total),
                InstanceName=instance,
                Instances=kept,
                NextLine=found.next_line,
            )
        )


def read(backend: Cluster, service: Service, wanted: LogQuery, first: int | None, limit: int) -> LogPage:
    found = LogQuery(wanted.instance, first, limit, wanted.keyword, wanted.previous)
    return backend.read_log(service.uid, found)


def read_numbered_page(backend: Cluster, service: Service, wanted: LogQuery, page: query.Page) -> LogPage:
    """A page counted from the oldest line still kept; with a keyword, from the oldest line that holds it."""
    oldest = read(backend, service, wanted, 0, 1)
    if page.first >= oldest.total or not oldest.lines:
        return LogPage((), oldest.next_line, oldest.total)
    if not wanted.keyword:
        return read(backend, service, wanted, oldest.lines[0][0] + page.first, page.size)
    passed, line = 0, 0
    while passed < page.first:
        found = read(backend, service, wanted, line, min(page.first - passed, MATCHES_AT_ONCE))
        if not found.lines:
            return LogPage((), found.next_line, found.total)
        passed, line = passed + len(found.lines), found.next_line
    return read(backend, service, wanted, line, page.size)
