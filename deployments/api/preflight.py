"""What would happen, before a service is created or updated: nothing is changed by asking."""

from __future__ import annotations

from typing import Any, TypedDict

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments.accounts import find_visible_service, require_change
from deployments.api import query
from deployments.api.authentication import caller
from deployments.api.body import read_document
from deployments.api.errors import ApiError
from deployments.api.lookup import workspace_for_create
from deployments.api.openapi import answers, parameters
from deployments.clusters.preview import Check
from deployments.lifecycle import with_engine_label
from deployments.models import Service
from deployments.preflight import ObjectChange, preflight
from deployments.spec import ServiceSpec
from deployments.spec.document import ServiceDocument


class ChangeFields(TypedDict):
    """One value that differs; of a secret only that it does."""

    Path: str
    Before: str
    After: str
    Secret: bool


class ObjectFields(TypedDict):
    """One object, ``Kind/name``. ``Act`` is ``create``, ``change``, ``keep`` or ``remove``. Secrets are masked."""

    Name: str
    Act: str
    Manifest: dict[str, Any]
    Changes: list[ChangeFields]


class CheckFields(TypedDict):
    """One answer: ``Check`` is ``cluster``, ``capacity``, ``quota``, ``pull_secret`` or ``storage``; ``State`` is
    ``ok``, ``waits``, ``fails`` or ``unknown``; ``Values`` are the numbers in ``Message``.
    """

    Check: str
    State: str
    Code: str
    Message: str
    Cure: str
    Values: dict[str, Any]


class PreflightAnswer(TypedDict):
    """``WouldRun``: nothing that is known stands in the way. ``Exists``: compared with a service that is there."""

    ServiceName: str
    Exists: bool
    WouldRun: bool
    Checks: list[CheckFields]
    Objects: list[ObjectFields]


class PreflightView(APIView):
    """Asking before creating or updating."""

    @extend_schema(
        operation_id="PreflightService",
        request=ServiceDocument,
        parameters=parameters(OpenApiTypes.BOOL, "Access"),
        responses=answers(PreflightAnswer, validates=True),
    )
    def post(self, request: Request) -> Response:
        """What the cluster would be told to do with a service document, and what stands in its way.

        A service of its name that the caller may change is what it is compared with. ``Access=false`` leaves out
        whether what is mounted, and pull secrets, can be reached, which may take seconds.
        """
        spec = with_engine_label(ServiceSpec.parse(read_document(request)))
        service = existing(request, spec)
        with_access = query.flag(request, "Access") is not False
        found = preflight(spec, service, with_access=with_access)
        return Response(
            PreflightAnswer(
                ServiceName=spec.name,
                Exists=service is not None,
                WouldRun=found.would_run,
                Checks=[check_fields(one) for one in found.checks],
                Objects=[object_fields(one) for one in found.objects],
            )
        )


def existing(request: Request, spec: ServiceSpec) -> Service | None:
    """The service of that name. Raises as an update of it would, and as creating it would where it is another's."""
    user = caller(request)
    service = find_visible_service(user, spec.name)
    if service is not None:
        require_change(user, service.workspace, service.name)
        return service
    if Service.objects.filter(name=spec.name).exists():
        raise ApiError(409, "name_taken", f"A service named {spec.name} exists already. Choose another name.")
    workspace_for_create(user, "", spec.workspace)
    return None


def check_fields(check: Check) -> CheckFields:
    return CheckFields(
        Check=check.key,
        State=check.state,
        Code=check.code,
        Message=str(check.message),
        Cure=str(check.cure),
        Values=dict(check.values),
    )


def object_fields(one: ObjectChange) -> ObjectFields:
    shown = one.shown.wanted if one.shown.wanted is not None else one.shown.live
    return ObjectFields(
        Name=one.shown.name,
        Act=one.act,
        Manifest=dict(shown or {}),
        Changes=[
            ChangeFields(Path=change.path, Before=change.before, After=change.after, Secret=change.is_secret)
            for change in one.changes
        ],
    )
