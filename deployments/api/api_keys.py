"""API keys for the gateway: made, listed, changed and revoked; and the limits of workspaces and their members."""

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

from deployments.api import query
from deployments.api.authentication import caller
from deployments.api.body import read_object, text, whole
from deployments.api.errors import not_found, wrong
from deployments.api.fields import time_text
from deployments.api.openapi import answers, body, paging, parameters
from deployments.api.people import MAX_TOKEN_DAYS
from deployments.api.service import MessageAnswer
from deployments.api.workspaces import get_person, get_workspace
from deployments.api_keys import (
    MOST,
    KeyScope,
    KeyTerms,
    api_keys_of,
    change_api_key,
    find_api_key,
    issue_api_key,
    limits_of,
    revoke_api_key,
    services_to_name,
)
from deployments.limits import set_member_limits, set_workspace_limits
from deployments.members import get_membership, require_owner
from deployments.models import ApiKey, Limited, Service, Workspace

#: As REST spells them, by the names of columns.
LIMITS = {
    "requests_per_minute": "RequestsPerMinute",
    "tokens_per_minute": "TokensPerMinute",
    "parallel_requests": "ParallelRequests",
    "tokens_per_day": "TokensPerDay",
    "tokens_per_month": "TokensPerMonth",
}
LIMIT_TYPES = dict.fromkeys(LIMITS.values(), "integer")
MOST_SERVICES = 500


class LimitFields(TypedDict):
    """What may be used; 0 is no limit. Days and months are those of UTC."""

    RequestsPerMinute: int
    TokensPerMinute: int
    ParallelRequests: int
    TokensPerDay: int
    TokensPerMonth: int


class ApiKeyFields(TypedDict):
    """An API key, without its secret. No ``Services`` means every service of the workspace."""

    ApiKeyId: str
    Name: str
    Prefix: str
    UserName: str
    WorkspaceId: str
    Scopes: list[str]
    AllServices: bool
    Services: list[str]
    Limits: LimitFields
    CreateTime: str
    ExpireTime: str
    LastUsedTime: str


class NewApiKey(ApiKeyFields):
    """A new API key; ``ApiKeySecret`` is shown this once."""

    ApiKeySecret: str


class ApiKeyList(TypedDict):
    """The API keys that the caller may see and that are not revoked, newest first."""

    ApiKeys: list[ApiKeyFields]
    PageNumber: int
    PageSize: int
    TotalCount: int


def limit_fields(row: Limited) -> LimitFields:
    values = limits_of(row)
    return LimitFields(
        RequestsPerMinute=values["requests_per_minute"] or 0,
        TokensPerMinute=values["tokens_per_minute"] or 0,
        ParallelRequests=values["parallel_requests"] or 0,
        TokensPerDay=values["tokens_per_day"] or 0,
        TokensPerMonth=values["tokens_per_month"] or 0,
    )


def names_of(rows: list[ApiKey]) -> dict[str, str]:
    """Names of the services that keys name, by ``uid``: one query for all."""
    wanted = {uid for row in rows for uid in row.service_uids}
    return dict(Service.objects.filter(uid__in=wanted).values_list("uid", "name")) if wanted else {}


def api_key_fields(row: ApiKey, names: Mapping[str, str]) -> ApiKeyFields:
    return ApiKeyFields(
        ApiKeyId=str(row.pk),
        Name=row.name,
        Prefix=row.prefix,
        UserName=row.user.get_username(),
        WorkspaceId=row.workspace.slug,
        Scopes=list(row.scopes),
        AllServices=not row.service_uids,
        Services=sorted(names[uid] for uid in row.service_uids if uid in names),
        Limits=limit_fields(row),
        CreateTime=time_text(row.created_at),
        ExpireTime=time_text(row.expires_at),
        LastUsedTime=time_text(row.last_used_at),
    )


def read_limits(given: Mapping[str, Any]) -> dict[str, int | None]:
    """The limits that a body names; 0 lifts one, and so does null. What is left out stays. Raises ``SpecInvalid``."""
    unknown = set(given) - set(LIMITS.values())
    if unknown:
        name = min(unknown)[:63]
        raise wrong(name, "unknown_field", f"{name} is no limit. There are {', '.join(LIMITS.values())}.")
    return {
        column: (whole(dict(given), name, 0, MOST) or None) if given[name] is not None else None
        for column, name in LIMITS.items()
        if name in given
    }


def read_names(given: Mapping[str, Any], field: str) -> list[str]:
    """A list of lines of text."""
    value = given[field]
    if not isinstance(value, list) or len(value) > MOST_SERVICES or not all(isinstance(one, str) for one in value):
        raise wrong(field, "invalid", f"{field} must be a list of at most {MOST_SERVICES} texts.")
    return list(dict.fromkeys(value))


def read_services(given: Mapping[str, Any], workspace: Workspace) -> tuple[str, ...]:
    """The services that ``Services`` names; none means all."""
    names = [name.replace("\0", "") for name in read_names(given, "Services")]
    found = dict(services_to_name(workspace).filter(name__in=names).values_list("name", "uid"))
    for name in names:
        if name not in found:
            words = f"There is no service {name[:63]} in {workspace.slug}."
            raise wrong("Services", "unknown_value", words)
    return tuple(found[name] for name in names)


def read_scopes(given: Mapping[str, Any]) -> tuple[str, ...]:
    scopes = read_names(given, "Scopes")
    if not scopes or set(scopes) - set(KeyScope.values):
        raise wrong("Scopes", "unknown_value", f"Scopes must be some of {', '.join(KeyScope.values)}.")
    return tuple(scopes)


def read_limits_field(given: Mapping[str, Any]) -> dict[str, int | None]:
    value = given.get("Limits")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong("Limits", "not_an_object", "Limits must be an object.")
    return read_limits(value)


def get_api_key(request: Request, key_id: str) -> ApiKey:
    """A key that the caller may see. Raises 404."""
    row = find_api_key(caller(request), int(key_id)) if key_id.isdecimal() and len(key_id) < 19 else None
    if row is None:
        raise not_found("ApiKeyNotFound", "There is no such API key that you may see. List them all.")
    return row


class ApiKeysView(APIView):
    """API keys."""

    @extend_schema(
        operation_id="ListApiKeys",
        parameters=[*paging(), *parameters(OpenApiTypes.STR, "WorkspaceId")],
        responses=answers(ApiKeyList),
    )
    def get(self, request: Request) -> Response:
        """The caller's API keys, and all of workspaces that the caller owns, newest first, without their secrets."""
        page, rows = query.page(request), api_keys_of(caller(request))
        if slug := query.text(request, "WorkspaceId"):
            rows = rows.filter(workspace__slug=slug)
        found = list(page.of(rows))
        names = names_of(found)
        return Response(
            ApiKeyList(
                ApiKeys=[api_key_fields(row, names) for row in found],
                PageNumber=page.number,
                PageSize=page.size,
                TotalCount=rows.count(),
            )
        )

    @extend_schema(
        operation_id="CreateApiKey",
        request=body(
            Name="string",
            WorkspaceId="string",
            Scopes="array",
            Services="array",
            Limits="object",
            ExpiresInDays="integer",
        ),
        responses=answers(NewApiKey, 201, validates=True),
    )
    def post(self, request: Request) -> Response:
        """Make a key; its secret is in this answer and nowhere else. Left out: all scopes, every service, no limits,
        no end.
        """
        user, given = caller(request), read_object(request)
        workspace = get_workspace(request, text(given, "WorkspaceId", 63))
        days = whole(given, "ExpiresInDays", 1, MAX_TOKEN_DAYS) if given.get("ExpiresInDays") is not None else None
        terms = KeyTerms(
            name=text(given, "Name", 120),
            scopes=read_scopes(given) if given.get("Scopes") is not None else tuple(KeyScope.values),
            service_uids=read_services(given, workspace) if given.get("Services") is not None else (),
            limits=read_limits_field(given),
        )
        row, secret = issue_api_key(user, workspace, terms, timezone.now() + timedelta(days=days) if days else None)
        return Response(NewApiKey(**api_key_fields(row, names_of([row])), ApiKeySecret=secret), status=201)


class ApiKeyView(APIView):
    """One API key."""

    @extend_schema(operation_id="DescribeApiKey", responses=answers(ApiKeyFields))
    def get(self, request: Request, key_id: str) -> Response:
        """A key, without its secret."""
        row = get_api_key(request, key_id)
        return Response(api_key_fields(row, names_of([row])))

    @extend_schema(
        operation_id="UpdateApiKey",
        request=body(Name="string", Scopes="array", Services="array", Limits="object"),
        responses=answers(ApiKeyFields, validates=True),
    )
    def patch(self, request: Request, key_id: str) -> Response:
        """Change one's own key; what is left out stays. An empty ``Services`` means every service."""
        row, given = get_api_key(request, key_id), read_object(request)
        if row.user_id != caller(request).pk:
            raise not_found("ApiKeyNotFound", "You have no such API key. Its owner changes it; you may revoke it.")
        terms = KeyTerms(
            name=text(given, "Name", 120) if given.get("Name") is not None else row.name,
            scopes=read_scopes(given) if given.get("Scopes") is not None else tuple(row.scopes),
            service_uids=read_services(given, row.workspace)
            if given.get("Services") is not None
            else tuple(row.service_uids),
            limits=read_limits_field(given),
        )
        row = change_api_key(row, terms)
        return Response(api_key_fields(row, names_of([row])))

    @extend_schema(operation_id="DeleteApiKey", responses=answers(MessageAnswer))
    def delete(self, request: Request, key_id: str) -> Response:
        """Revoke a key: whoever uses it is refused within a second."""
        row = get_api_key(request, key_id)
        revoke_api_key(caller(request), row)
        return Response(MessageAnswer(Message=f"API key [{row.prefix}…] is revoked."))


class WorkspaceLimitsView(APIView):
    """What all callers of a workspace's services may use together."""

    @extend_schema(operation_id="DescribeWorkspaceLimits", responses=answers(LimitFields))
    def get(self, request: Request, workspace: str) -> Response:
        """The limits of a workspace the caller belongs to."""
        return Response(limit_fields(get_workspace(request, workspace)))

    @extend_schema(
        operation_id="UpdateWorkspaceLimits",
        request=body(**LIMIT_TYPES),
        responses=answers(LimitFields, validates=True),
    )
    def patch(self, request: Request, workspace: str) -> Response:
        """Change limits; 0 lifts one, what is left out stays. Owners do that."""
        row = get_workspace(request, workspace)
        set_workspace_limits(caller(request), row, read_limits(read_object(request)))
        row.refresh_from_db()
        return Response(limit_fields(row))


class MemberLimitsView(APIView):
    """What one member may use in a workspace."""

    @extend_schema(operation_id="DescribeMemberLimits", responses=answers(LimitFields))
    def get(self, request: Request, workspace: str, name: str) -> Response:
        """A member's limits: for the member and for owners."""
        row = get_workspace(request, workspace)
        person = get_person(row, name)
        if person.pk != caller(request).pk:
            require_owner(caller(request), row)
        return Response(limit_fields(get_membership(row, person)))

    @extend_schema(
        operation_id="UpdateMemberLimits",
        request=body(**LIMIT_TYPES),
        responses=answers(LimitFields, validates=True),
    )
    def patch(self, request: Request, workspace: str, name: str) -> Response:
        """Change a member's limits; 0 lifts one, what is left out stays. Owners do that."""
        row = get_workspace(request, workspace)
        require_owner(caller(request), row)
        person = get_person(row, name)
        set_member_limits(caller(request), row, person, read_limits(read_object(request)))
        return Response(limit_fields(get_membership(row, person)))
