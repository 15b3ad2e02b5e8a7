"""The caller: who they are, their tokens, and the audit trail of what they may know."""

from __future__ import annotations

from datetime import timedelta
from typing import TypedDict

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments.accounts import delete_personal_token, issue_personal_token
from deployments.api import query
from deployments.api.authentication import caller
from deployments.api.body import read_object, text, whole
from deployments.api.errors import not_found
from deployments.api.fields import text_of, time_text
from deployments.api.lookup import get_workspace
from deployments.api.openapi import answers, body, paging, parameters
from deployments.api.service import MessageAnswer
from deployments.api.workspaces import WorkspaceFields, workspace_fields
from deployments.audit import entries_for
from deployments.members import summaries
from deployments.models import AuditEntry, PersonalToken

MAX_TOKEN_DAYS = 3650


class CallerFields(TypedDict):
    """The caller."""

    UserId: str
    UserName: str
    DisplayName: str
    Administrator: bool
    Workspaces: list[WorkspaceFields]


class TokenFields(TypedDict):
    """A personal token, without its secret."""

    TokenId: str
    Name: str
    CreateTime: str
    ExpireTime: str
    LastUsedTime: str


class NewToken(TokenFields):
    """A new token; ``Token`` is shown this once."""

    Token: str


class TokenList(TypedDict):
    """The caller's tokens, newest first."""

    Tokens: list[TokenFields]
    TotalCount: int


class AuditFields(TypedDict):
    """Who changed what; ``Before`` and ``After`` are JSON texts, "" for nothing."""

    Time: str
    Actor: str
    Action: str
    Target: str
    WorkspaceId: str
    Before: str
    After: str


class AuditList(TypedDict):
    """A page of the audit trail, newest first."""

    Entries: list[AuditFields]
    PageNumber: int
    PageSize: int
    TotalCount: int


class MeView(APIView):
    """The caller."""

    @extend_schema(operation_id="DescribeCaller", responses=answers(CallerFields))
    def get(self, request: Request) -> Response:
        """Who the credentials belong to."""
        user = caller(request)
        return Response(
            CallerFields(
                UserId=str(user.pk),
                UserName=user.get_username(),
                DisplayName=user.first_name,
                Administrator=user.is_superuser,
                Workspaces=[workspace_fields(user, one.workspace, one.role) for one in summaries(user)],
            )
        )


def token_fields(row: PersonalToken) -> TokenFields:
    return TokenFields(
        TokenId=str(row.pk),
        Name=row.name,
        CreateTime=time_text(row.created_at),
        ExpireTime=time_text(row.expires_at),
        LastUsedTime=time_text(row.last_used_at),
    )


class TokensView(APIView):
    """The caller's personal tokens."""

    @extend_schema(operation_id="ListTokens", responses=answers(TokenList))
    def get(self, request: Request) -> Response:
        """The caller's tokens, without their secrets."""
        rows = [token_fields(row) for row in PersonalToken.objects.filter(user=caller(request))]
        return Response(TokenList(Tokens=rows, TotalCount=len(rows)))

    @extend_schema(
        operation_id="CreateToken",
        request=body(Name="string", ExpiresInDays="integer"),
        responses=answers(NewToken, 201, validates=True),
    )
    def post(self, request: Request) -> Response:
        """Make a token; its secret is in this answer and nowhere else. Without ``ExpiresInDays`` it stays valid."""
        user, given = caller(request), read_object(request)
        name = text(given, "Name", 120)
        days = whole(given, "ExpiresInDays", 1, MAX_TOKEN_DAYS) if given.get("ExpiresInDays") is not None else None
        expires_at = timezone.now() + timedelta(days=days) if days else None
        row, secret = issue_personal_token(user, name, expires_at)
        return Response(NewToken(**token_fields(row), Token=secret), status=201)


class PersonalTokenView(APIView):
    """One personal token."""

    @extend_schema(operation_id="DeleteToken", responses=answers(MessageAnswer))
    def delete(self, request: Request, token_id: str) -> Response:
        """Delete a token: whoever uses it is refused from now on."""
        user = caller(request)
        is_number = token_id.isascii() and token_id.isdigit() and len(token_id) < 16
        row = PersonalToken.objects.filter(user=user, pk=int(token_id)).first() if is_number else None
        if row is None:
            raise not_found("TokenNotFound", "You have no such token. List them all.")
        delete_personal_token(row)
        return Response(MessageAnswer(Message=f"Token [{row.name}] is deleted."))


class AuditView(APIView):
    """The audit trail."""

    @extend_schema(
        operation_id="ListAuditEntries",
        parameters=[
            *paging(),
            *parameters(OpenApiTypes.STR, "WorkspaceId", "Action", "Actor", "Target"),
            *parameters(OpenApiTypes.DATETIME, "StartTime", "EndTime"),
        ],
        responses=answers(AuditList),
    )
    def get(self, request: Request) -> Response:
        """Who changed what: owners see their workspaces', administrators everything, everybody their own acts."""
        page = query.page(request)
        rows = audit_rows(request).select_related("workspace")
        return Response(
            AuditList(
                Entries=[audit_fields(row) for row in page.of(rows)],
                PageNumber=page.number,
                PageSize=page.size,
                TotalCount=rows.count(),
            )
        )


def audit_fields(row: AuditEntry) -> AuditFields:
    return AuditFields(
        Time=time_text(row.created_at),
        Actor=row.actor_name,
        Action=row.action,
        Target=row.target,
        WorkspaceId=row.workspace.slug if row.workspace else "",
        Before=text_of(row.before),
        After=text_of(row.after),
    )


def audit_rows(request: Request) -> QuerySet[AuditEntry]:
    """The entries the caller may see and asked for."""
    user = caller(request)
    rows = entries_for(user)
    if said := query.text(request, "WorkspaceId"):
        rows = rows.filter(workspace=get_workspace(user, said, "WorkspaceId"))
    for parameter, column in (("Action", "action"), ("Actor", "actor_name"), ("Target", "target")):
        if value := query.text(request, parameter):
            rows = rows.filter(**{column: value})
    if since := query.instant(request, "StartTime"):
        rows = rows.filter(created_at__gte=since)
    if until := query.instant(request, "EndTime"):
        rows = rows.filter(created_at__lte=until)
    return rows
