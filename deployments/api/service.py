"""``/api/v2/services/{ClusterId}/{ServiceName}``: one service, and the verbs on it."""

from __future__ import annotations

import re
from typing import Any, TypedDict

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import lifecycle
from deployments.accounts import may_change
from deployments.addresses import address_of, endpoint_of
from deployments.api import query
from deployments.api.authentication import caller
from deployments.api.body import read_document, read_object, whole
from deployments.api.errors import wrong
from deployments.api.fields import Seen, ServiceFields, part, service_fields, token_of
from deployments.api.lookup import get_service, get_service_to_change
from deployments.api.openapi import answers, body, parameters
from deployments.api.services import counts_of
from deployments.lifecycle import Conflict
from deployments.models import Service
from deployments.spec import ServiceSpec, merge_documents
from deployments.spec.document import ServiceDocument

MERGE_TRIES = 5
MAX_VERSION = 2_147_483_647


class MessageAnswer(TypedDict):
    """What most changes answer."""

    Message: str


class ChangeAnswer(MessageAnswer):
    """A change, and the service's status after it."""

    ServiceName: str
    Status: str


class TokenAnswer(ChangeAnswer):
    """A new service token."""

    AccessToken: str


class Endpoint(TypedDict):
    """One way in to a service."""

    EndpointType: str
    BackendId: str
    InternetEndpoints: list[str]
    IntranetEndpoints: list[str]
    PathType: str
    Port: int


class EndpointsAnswer(MessageAnswer):
    """Where a service answers, and its token for those who may have it."""

    AccessToken: str
    Endpoints: list[Endpoint]


def changed(before: Service, after: Service, doing: str) -> ChangeAnswer:
    """The answer to a change: what is being done, or that nothing was left to do."""
    where = f"service [{after.name}] in region [{settings.SLIPWAY_REGION}]"
    if before.generation == after.generation:
        message = f"Nothing to change: {where} has status [{after.status}]."
    else:
        message = f"{doing} {where}."
    return ChangeAnswer(Message=message, ServiceName=after.name, Status=str(after.status))


class ServiceView(APIView):
    """DescribeService, UpdateService and DeleteService."""

    @extend_schema(operation_id="DescribeService", responses=answers(ServiceFields))
    def get(self, request: Request, cluster: str, name: str) -> Response:
        """A service. ``AccessToken`` and ``ServiceConfig`` are for owners and operators, "" for viewers."""
        service = get_service(request, cluster, name)
        ready, latest = counts_of([service])
        changes = may_change(caller(request), service.workspace)
        token = token_of(service) if changes else ""
        seen = Seen(address_of(request), ready.get(service.pk, 0), latest.get(service.pk, 0), changes, token)
        fields = service_fields(service, seen)
        return Response(fields, headers={"ETag": f'"{fields["WantedVersion"]}"'})

    @extend_schema(
        operation_id="UpdateService",
        parameters=[
            *parameters(OpenApiTypes.STR, "UpdateType", "Reason"),
            *parameters(OpenApiTypes.INT, "Revision"),
        ],
        request={"application/json": ServiceDocument},
        responses=answers(ChangeAnswer, validates=True),
    )
    def put(self, request: Request, cluster: str, name: str) -> Response:
        """Want another document; ``UpdateType=merge`` (the default) changes only the keys that are given.

        ``Revision`` or ``If-Match`` names the version the edit began with: 409 where another came since.
        """
        service = get_service_to_change(request, cluster, name)
        how = query.choice(request, "UpdateType", ("merge", "replace"), "merge")
        base, reason = base_of(request), query.text(request, "Reason")[:500]
        given = read_document(request)
        if how == "replace":
            spec = parse_update(service, given)
            after = lifecycle.update(service, spec, caller(request), reason=reason, base=base)
            return Response(changed(service, after, "Updating"))
        for tries_left in reversed(range(MERGE_TRIES)):
            merged = merge_documents(service.document, given)
            on = service.wanted_revision.number if service.wanted_revision else None
            try:
                spec = parse_update(service, merged)
                after = lifecycle.update(
                    service,
                    spec,
                    caller(request),
                    reason=reason,
                    base=base or on,
                    keep_instances="instance" not in part(given, "metadata"),
                )
            except Conflict as conflict:
                # Without a base of its own, an edit of a few keys applies to whatever is there now.
                if conflict.code != "edited_meanwhile" or base or not tries_left:
                    raise
                service = get_service_to_change(request, cluster, name)
            else:
                return Response(changed(service, after, "Updating"))
        raise AssertionError("the last try returns or raises")

    @extend_schema(operation_id="DeleteService", responses=answers(ChangeAnswer))
    def delete(self, request: Request, cluster: str, name: str) -> Response:
        """Want the service gone; its instances end first."""
        service = get_service_to_change(request, cluster, name)
        return Response(changed(service, lifecycle.delete(service, caller(request)), "Deleting"))


def base_of(request: Request) -> int | None:
    """The version an edit began with: the parameter ``Revision``, else ``If-Match`` with an ETag of ours."""
    number = query.whole(request, "Revision", 0, 1, MAX_VERSION)
    if number:
        return number
    tag = request.headers.get("If-Match", "").strip()
    if tag in {"", "*"}:
        return None
    match = re.fullmatch(r'(?:W/)?"?r?([0-9]{1,9})"?', tag)
    if match is None:
        raise wrong("If-Match", "invalid", "If-Match must be the ETag of a description, a version's number in quotes.")
    return int(match[1])


def parse_update(service: Service, document: dict[str, Any]) -> ServiceSpec:
    """The new spec; without a name it keeps the service's. A service never moves to another workspace."""
    if isinstance(document.get("metadata", {}), dict) and "name" not in document:
        document = {**document, "metadata": {"name": service.name, **document.get("metadata", {})}}
    spec = ServiceSpec.parse(document)
    before = service.find_spec()
    own = {service.workspace.slug, str(service.workspace.pk), before.workspace if before else None, None}
    if spec.workspace not in own:
        message = f"A service keeps its workspace: metadata.workspace_id must stay {service.workspace.slug}."
        raise wrong("metadata.workspace_id", "workspace_fixed", message)
    return spec


class VerbView(APIView):
    """StartService, StopService and RestartService; ``verb`` is one of ``lifecycle.VERBS``."""

    verb = "start"
    doing = {"start": "Starting", "stop": "Stopping", "restart": "Restarting"}

    @extend_schema(request=None, responses=answers(ChangeAnswer))
    def put(self, request: Request, cluster: str, name: str) -> Response:
        """Ask for it; a repetition is a success that changes nothing."""
        service = get_service_to_change(request, cluster, name)
        after = lifecycle.VERBS[self.verb](service, caller(request))
        return Response(changed(service, after, self.doing[self.verb]))


class ScaleView(APIView):
    """Scaling on its own: no new version, and running instances stay."""

    @extend_schema(
        operation_id="ScaleService", request=body(Instances="integer"), responses=answers(ChangeAnswer, validates=True)
    )
    def put(self, request: Request, cluster: str, name: str) -> Response:
        """Want ``Instances`` instances, 0 to 1000."""
        service = get_service_to_change(request, cluster, name)
        instances = whole(read_object(request), "Instances", 0, lifecycle.MAX_INSTANCES)
        return Response(changed(service, lifecycle.scale(service, instances, caller(request)), "Scaling"))


class TokenView(APIView):
    """The service token."""

    @extend_schema(operation_id="RotateServiceToken", request=None, responses=answers(TokenAnswer))
    def post(self, request: Request, cluster: str, name: str) -> Response:
        """Give the service a new token; the old one is refused from now on."""
        service = get_service_to_change(request, cluster, name)
        after = lifecycle.rotate_token(service, caller(request))
        answer = changed(service, after, "Rotating the token of")
        return Response(TokenAnswer(**answer, AccessToken=token_of(after)))


class EndpointsView(APIView):
    """DescribeServiceEndpoints."""

    @extend_schema(operation_id="DescribeServiceEndpoints", responses=answers(EndpointsAnswer))
    def get(self, request: Request, cluster: str, name: str) -> Response:
        """The addresses of a service."""
        service = get_service(request, cluster, name)
        token = token_of(service) if may_change(caller(request), service.workspace) else ""
        endpoints = [endpoint_at(request, service.name)]
        return Response(EndpointsAnswer(Message="", AccessToken=token, Endpoints=endpoints))


def endpoint_at(request: Request, name: str) -> Endpoint:
    """The gateway's address of a service or a group."""
    url = endpoint_of(address_of(request), name)
    return Endpoint(
        EndpointType="DefaultGateway",
        BackendId="default",
        InternetEndpoints=[url],
        IntranetEndpoints=[url],
        PathType="",
        Port=port_of(request),
    )


def port_of(request: Request) -> int:
    """The port in the address, or its scheme's."""
    scheme, _, host = address_of(request).partition("://")
    match = re.search(r":([0-9]+)$", host)
    return int(match[1]) if match else 443 if scheme == "https" else 80
