"""``/api/v2/groups``: service groups, and ``…/release``, by which a service takes part in its group's requests."""

from __future__ import annotations

from typing import TypedDict

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import groups
from deployments.accounts import may_change, require_change
from deployments.addresses import address_of, endpoint_of
from deployments.api import query
from deployments.api.authentication import caller
from deployments.api.body import read_object, whole
from deployments.api.errors import not_found, wrong
from deployments.api.fields import time_text, token_of
from deployments.api.lookup import check_cluster, find_workspace, get_service_to_change
from deployments.api.openapi import answers, body, paging, parameters
from deployments.api.service import ChangeAnswer, Endpoint, EndpointsAnswer, MessageAnswer, endpoint_at
from deployments.group_models import NO_WEIGHT, ServiceGroup, TrafficMode, TrafficState
from deployments.spec import check_name


class GroupFields(TypedDict):
    """A service group. ``AccessToken`` is "" in lists and for viewers."""

    Name: str
    ClusterId: str
    WorkspaceId: str
    CreateTime: str
    UpdateTime: str
    QueueService: str
    InternetEndpoint: str
    IntranetEndpoint: str
    AccessToken: str
    TrafficMode: str


class GroupList(TypedDict):
    """A page of groups, newest first."""

    Groups: list[GroupFields]
    PageNumber: int
    PageSize: int
    TotalCount: int


class GroupTokenAnswer(MessageAnswer):
    """A new token of a group."""

    AccessToken: str


def group_fields(group: ServiceGroup, base_url: str, token: str = "") -> GroupFields:
    url = endpoint_of(base_url, group.name)
    return GroupFields(
        Name=group.name,
        ClusterId=settings.SLIPWAY_REGION,
        WorkspaceId=group.workspace.slug,
        CreateTime=time_text(group.created_at),
        UpdateTime=time_text(group.updated_at),
        QueueService="",
        InternetEndpoint=url,
        IntranetEndpoint=url,
        AccessToken=token,
        TrafficMode=group.traffic_mode,
    )


def get_group(request: Request, cluster: str, name: str) -> ServiceGroup:
    """The group a path names. Raises 404 for unknown regions and names, and for strangers."""
    check_cluster(cluster)
    rows = groups.groups_visible_to(caller(request))
    group = rows.filter(name=name).first() if check_name(name) is None else None
    if group is None:
        raise not_found("GroupNotFound", "There is no service group of that name that you may see. List them all.")
    return group


def get_group_to_change(request: Request, cluster: str, name: str) -> ServiceGroup:
    """The same, for callers who may change it. Raises ``NotAllowed``, which names the owners."""
    group = get_group(request, cluster, name)
    require_change(caller(request), group.workspace, group.name)
    return group


class GroupsView(APIView):
    """ListGroups."""

    @extend_schema(
        operation_id="ListGroups",
        parameters=[*paging(), *parameters(OpenApiTypes.STR, "Filter", "WorkspaceId")],
        responses=answers(GroupList),
    )
    def get(self, request: Request) -> Response:
        """The groups the caller may see. Tokens are left out: describe a group for its token."""
        page = query.page(request)
        rows = groups.groups_visible_to(caller(request))
        if part := query.text(request, "Filter"):
            rows = rows.filter(name__icontains=part)
        if said := query.text(request, "WorkspaceId"):
            workspace = find_workspace(caller(request), said)
            rows = rows.none() if workspace is None else rows.filter(workspace=workspace)
        found = [group_fields(row, address_of(request)) for row in page.of(rows)]
        return Response(GroupList(Groups=found, PageNumber=page.number, PageSize=page.size, TotalCount=rows.count()))


class GroupView(APIView):
    """DescribeGroup and UpdateGroup."""

    @extend_schema(operation_id="DescribeGroup", responses=answers(GroupFields))
    def get(self, request: Request, cluster: str, name: str) -> Response:
        """A group. ``AccessToken`` is for owners and operators, "" for viewers."""
        group = get_group(request, cluster, name)
        token = token_of(group) if may_change(caller(request), group.workspace) else ""
        return Response(group_fields(group, address_of(request), token))

    @extend_schema(
        operation_id="UpdateGroup", request=body(TrafficMode="string"), responses=answers(MessageAnswer, validates=True)
    )
    def put(self, request: Request, cluster: str, name: str) -> Response:
        """Share out requests by instances that answer (``auto``), or by weights (``customized``)."""
        group = get_group_to_change(request, cluster, name)
        mode = choice(read_object(request), "TrafficMode", TrafficMode.values)
        if mode is None:
            raise wrong("TrafficMode", "missing", f"TrafficMode is missing. Give {' or '.join(TrafficMode.values)}.")
        after = groups.set_traffic_mode(group, TrafficMode(mode), caller(request))
        where = f"group [{after.name}] in region [{settings.SLIPWAY_REGION}]"
        is_changed = group.traffic_mode != after.traffic_mode
        message = f"Updating {where}." if is_changed else f"Nothing to change: {where} has mode [{mode}]."
        return Response(MessageAnswer(Message=message))


class GroupEndpointsView(APIView):
    """DescribeGroupEndpoints."""

    @extend_schema(operation_id="DescribeGroupEndpoints", responses=answers(EndpointsAnswer))
    def get(self, request: Request, cluster: str, name: str) -> Response:
        """The addresses of a group."""
        group = get_group(request, cluster, name)
        token = token_of(group) if may_change(caller(request), group.workspace) else ""
        endpoints: list[Endpoint] = [endpoint_at(request, group.name)]
        return Response(EndpointsAnswer(Message="", AccessToken=token, Endpoints=endpoints))


class GroupTokenView(APIView):
    """The group's token."""

    @extend_schema(operation_id="RotateGroupToken", request=None, responses=answers(GroupTokenAnswer))
    def post(self, request: Request, cluster: str, name: str) -> Response:
        """Give the group a new token; the old one is refused from now on."""
        after = groups.rotate_group_token(get_group_to_change(request, cluster, name), caller(request))
        message = f"Rotating the token of group [{after.name}] in region [{settings.SLIPWAY_REGION}]."
        return Response(GroupTokenAnswer(Message=message, AccessToken=token_of(after)))


class ReleaseView(APIView):
    """ReleaseService."""

    @extend_schema(
        operation_id="ReleaseService",
        request=body(Weight="integer", TrafficState="string"),
        responses=answers(ChangeAnswer, validates=True),
    )
    def put(self, request: Request, cluster: str, name: str) -> Response:
        """Take requests of the service's group (``grouping``) or none (``standalone``), with this weight."""
        service = get_service_to_change(request, cluster, name)
        given = read_object(request)
        weight = None if given.get("Weight") is None else whole(given, "Weight", NO_WEIGHT, groups.MAX_WEIGHT)
        state = choice(given, "TrafficState", TrafficState.values)
        if weight is None and state is None:
            raise wrong("Weight", "missing", "Give Weight, TrafficState or both.")
        after = groups.release(
            service, caller(request), weight=weight, traffic_state=None if state is None else TrafficState(state)
        )
        message = (
            f"Releasing service [{after.name}] in region [{settings.SLIPWAY_REGION}] "
            f"with weight [{after.weight}], service status: [{after.status}]"
        )
        return Response(ChangeAnswer(Message=message, ServiceName=after.name, Status=str(after.status)))


def choice(given: dict[str, object], field: str, values: list[str]) -> str | None:
    """One of ``values`` from a body; None where the field is left out. Raises ``SpecInvalid``."""
    value = given.get(field)
    if value is None:
        return None
    if value not in values:
        raise wrong(field, "unknown_value", f"{field} must be {' or '.join(values)}.")
    return str(value)
