"""``/api/v2/services``: the list, and creating."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypedDict

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Count, F, Max, Q
from django.db.models.fields.json import KeyTransform
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import lifecycle
from deployments.accounts import workspaces_to_change
from deployments.addresses import address_of, endpoint_of
from deployments.api import query
from deployments.api.authentication import caller
from deployments.api.body import read_document
from deployments.api.errors import wrong
from deployments.api.fields import Seen, ServiceFields, service_fields
from deployments.api.lookup import find_workspace, workspace_for_create
from deployments.api.openapi import answers, paging, parameters
from deployments.group_models import TrafficState
from deployments.models import Instance, Revision, Service, ServiceQuerySet
from deployments.spec import ENGINE_LABEL, LLM_ENGINES, ServiceSpec
from deployments.spec.document import ServiceDocument

#: Every status of EAS (eas.md §4.3): asking for one that Slipway never has finds nothing.
STATUSES = (
    "Creating", "Starting", "Waiting", "Running", "Updating", "HotUpdate", "Scaling", "Committing", "Developing",
    "Cloning", "Pending", "Stopping", "Stopped", "Deleting", "Deleted", "DeleteFailed", "Failed", "Complete",
)  # fmt: skip
TYPES = (
    "Async", "Standard", "Queue", "LLM", "RAG", "Serverless", "LLMGatewayService", "OfflineTask", "SDCluster",
    "ScalableJob", "ScalableJobService", "AssistantJob",
)  # fmt: skip
SORTS = {
    "CreateTime": "created_at",
    "UpdateTime": "updated_at",
    "ServiceName": "name",
    "ServiceStatus": "status",
    "Status": "status",
}
WANTED = "wanted_revision__document"
#: Parameters that compare with one text of the document.
DOCUMENT_PARAMETERS = {
    "GroupName": ("metadata", "group"),
    "ResourceId": ("metadata", "resource"),
    "ResourceName": ("metadata", "resource"),
    "QuotaId": ("metadata", "quota_id"),
    "Gateway": ("networking", "gateway"),
}


class ServiceList(TypedDict):
    """A page of services, newest first."""

    Services: list[ServiceFields]
    PageNumber: int
    PageSize: int
    TotalCount: int


class CreateAnswer(TypedDict):
    """What CreateService answers."""

    ServiceId: str
    ServiceName: str
    Status: str
    Region: str
    InternetEndpoint: str
    IntranetEndpoint: str
    Message: str


class DryRunAnswer(TypedDict):
    """What would be created: the document, what it runs, and what one instance takes."""

    document: dict[str, Any]
    command: str
    resources: dict[str, Any]


class ServicesView(APIView):
    """ListServices and CreateService."""

    @extend_schema(
        operation_id="ListServices",
        parameters=[
            *paging(),
            *parameters(OpenApiTypes.STR, "Filter", "Sort", "Order", "ServiceName", "ServiceStatus", "ServiceType"),
            *parameters(OpenApiTypes.STR, "Label", "WorkspaceId", "ServiceUid", "TrafficState", *DOCUMENT_PARAMETERS),
        ],
        responses=answers(ServiceList),
    )
    def get(self, request: Request) -> Response:
        """The services the caller may see. Tokens are left out: describe a service for its token."""
        page = query.page(request)
        rows = matching(request, Service.objects.visible_to(caller(request)))
        services = page.of(
            rows.order_by(*order_of(request)).select_related(
                "workspace", "wanted_revision", "serving_revision", "created_by"
            )
        )
        seen = Seen(address_of(request), 0, 0)
        ready, latest = counts_of(services)
        own = set(workspaces_to_change(caller(request)).values_list("pk", flat=True))
        return Response(
            ServiceList(
                Services=[
                    service_fields(
                        row,
                        replace(
                            seen,
                            ready_instances=ready.get(row.pk, 0),
                            latest_version=latest.get(row.pk, 0),
                            may_change=row.workspace_id in own,
                        ),
                    )
                    for row in services
                ],
                PageNumber=page.number,
                PageSize=page.size,
                TotalCount=rows.count(),
            )
        )

    @extend_schema(
        operation_id="CreateService",
        parameters=[
            *parameters(OpenApiTypes.STR, "WorkspaceId", "Labels"),
            *parameters(OpenApiTypes.BOOL, "Develop", "dry_run"),
        ],
        request={"application/json": ServiceDocument},
        responses=answers(CreateAnswer, 201, validates=True) | answers(DryRunAnswer),
    )
    def post(self, request: Request) -> Response:
        """Create a service from its document and start it; answered at once, while the work goes on."""
        if query.flag(request, "Develop"):
            raise wrong("Develop", "unsupported", "Develop mode is not supported. Leave Develop out.")
        spec = ServiceSpec.parse(with_labels(read_document(request), query.labels(request, "Labels")))
        if query.flag(request, "dry_run"):
            workspace_for_create(caller(request), query.text(request, "WorkspaceId"), spec.workspace)
            spec = lifecycle.with_engine_label(spec)
            lifecycle.refuse_unrunnable(spec)
            return Response(preview_of(spec))
        return create(request, spec)


def create(request: Request, spec: ServiceSpec) -> Response:
    """Create and answer as CreateService does."""
    user = caller(request)
    workspace = workspace_for_create(user, query.text(request, "WorkspaceId"), spec.workspace)
    service = lifecycle.create(workspace, user, spec)
    url = endpoint_of(address_of(request), service.name)
    answer = CreateAnswer(
        ServiceId=service.uid,
        ServiceName=service.name,
        Status=str(service.status),
        Region=settings.SLIPWAY_REGION,
        InternetEndpoint=url,
        IntranetEndpoint=url,
        Message=f"Creating service [{service.name}] in region [{settings.SLIPWAY_REGION}].",
    )
    return Response(answer, status=201)


def preview_of(spec: ServiceSpec) -> DryRunAnswer:
    """A valid document in its canonical form, which holds no token."""
    container = spec.container
    command = container.script if container.script is not None else container.command or ""
    metadata = spec.parsed.metadata
    return DryRunAnswer(
        document=dict(spec.document),
        command=command if isinstance(command, str) else " ".join(command),
        resources={"cpu": metadata.cpu or 0, "memory": metadata.memory or 0, "gpu": metadata.gpu},
    )


def with_labels(document: dict[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """The document with the labels of the parameter, which win over its own."""
    own = document.get("labels") or {}
    return {**document, "labels": {**own, **labels}} if labels and isinstance(own, dict) else document


def counts_of(services: Iterable[Service]) -> tuple[dict[int, int], dict[int, int]]:
    """Instances that answer and the last version, by service: two queries however many there are."""
    keys = [service.pk for service in services]
    ready = Instance.objects.filter(Instance.routable(), service__in=keys).values("service").annotate(n=Count("pk"))
    latest = Revision.objects.filter(service__in=keys).values("service").annotate(n=Max("number"))
    return (
        {row["service"]: row["n"] for row in ready.order_by()},
        {row["service"]: row["n"] for row in latest.order_by()},
    )


def matching(request: Request, rows: ServiceQuerySet) -> ServiceQuerySet:
    """The rows that the request's parameters let through."""
    if part := query.text(request, "Filter"):
        rows = rows.filter(name__icontains=part)
    if state := query.choice(request, "TrafficState", TrafficState.values):
        rows = rows.filter(traffic_state=state)
    if name := query.text(request, "ServiceName"):
        rows = rows.filter(name=name)
    if uid := query.text(request, "ServiceUid") or query.text(request, "ServiceId"):
        rows = rows.filter(uid=uid)
    if status := query.choice(request, "ServiceStatus", STATUSES):
        rows = rows.filter(status=status)
    if kind := query.choice(request, "ServiceType", TYPES):
        rows = of_type(rows, kind)
    for parameter, (section, key) in DOCUMENT_PARAMETERS.items():
        if value := query.text(request, parameter):
            rows = rows.filter(**{f"{WANTED}__{section}__{key}": value})
    if said := query.text(request, "WorkspaceId"):
        rows = in_workspace(rows, caller(request), said)
    if query.text(request, "ParentServiceUid"):
        rows = rows.none()  # no service has a parent
    if labels := query.labels(request, "Label"):
        rows = labelled(rows, labels)
    return rows


def in_workspace(rows: ServiceQuerySet, user: User, said: str) -> ServiceQuerySet:
    workspace = find_workspace(user, said)
    return rows.none() if workspace is None else rows.filter(workspace=workspace)


def of_type(rows: ServiceQuerySet, kind: str) -> ServiceQuerySet:
    """By ``fields.service_type``: what the document says, else whether its label names an engine."""
    engine = Q()
    for label in LLM_ENGINES:
        engine |= Q(**{f"{WANTED}__labels__{ENGINE_LABEL}__iexact": label})
    said = Q(**{f"{WANTED}__metadata__type__isnull": False})
    found = Q(**{f"{WANTED}__metadata__type": kind})
    if kind == "LLM":
        found |= engine & ~said
    elif kind == "Standard":
        # A missing label compares as NULL, which a plain negation would drop.
        has_engine = rows.filter(engine).values("pk")
        found |= ~said & ~Q(pk__in=has_engine)
    return rows.filter(found)


def labelled(rows: ServiceQuerySet, wanted: Mapping[str, str]) -> ServiceQuerySet:
    """Compared here: a database would read a key such as ``0`` or ``a__gt`` as a path of its own."""
    pairs = rows.order_by().annotate(found=KeyTransform("labels", F(WANTED))).values_list("pk", "found")
    keys = [
        pk
        for pk, found in pairs
        if isinstance(found, dict)
        and all(key in found and query.label_text(found[key]) == value for key, value in wanted.items())
    ]
    return rows.filter(pk__in=keys)


def order_of(request: Request) -> tuple[str, str]:
    column = SORTS[query.choice(request, "Sort", SORTS, "CreateTime")]
    sign = "" if query.choice(request, "Order", ("asc", "desc"), "desc") == "asc" else "-"
    return f"{sign}{column}", f"{sign}pk"
