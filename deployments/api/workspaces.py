"""Workspaces and their members. Strangers get 404; who may view but not change is told who owns it."""

from __future__ import annotations

from typing import Any, TypedDict

from django.contrib.auth.models import User
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import members
from deployments.api.authentication import caller
from deployments.api.body import read_object, text
from deployments.api.errors import not_found, wrong
from deployments.api.fields import time_text
from deployments.api.openapi import answers, body
from deployments.api.service import MessageAnswer
from deployments.members import WorkspaceSummary
from deployments.models import Membership, Role, Workspace


class WorkspaceFields(TypedDict):
    """A workspace, and what the caller may do in it; administrators are owners everywhere."""

    WorkspaceId: str
    WorkspaceName: str
    Role: str
    CreateTime: str


class WorkspaceDetails(WorkspaceFields):
    """The same with numbers."""

    MemberCount: int
    ServiceCount: int


class WorkspaceList(TypedDict):
    """The caller's workspaces, by name."""

    Workspaces: list[WorkspaceDetails]
    TotalCount: int


class MemberFields(TypedDict):
    """A member. ``LastSeenTime`` is "" for somebody who was never signed in at a page."""

    UserId: str
    UserName: str
    DisplayName: str
    Role: str
    Active: bool
    CreateTime: str
    LastSeenTime: str


class MemberList(TypedDict):
    """A workspace's members, by name."""

    Members: list[MemberFields]
    TotalCount: int


def workspace_fields(user: User, row: Workspace, role: str) -> WorkspaceFields:
    return WorkspaceFields(
        WorkspaceId=row.slug,
        WorkspaceName=row.name,
        Role=str(Role.OWNER) if user.is_superuser else role,
        CreateTime=time_text(row.created_at),
    )


def details_of(user: User, summary: WorkspaceSummary) -> WorkspaceDetails:
    return WorkspaceDetails(
        **workspace_fields(user, summary.workspace, summary.role),
        MemberCount=summary.members,
        ServiceCount=summary.services,
    )


def member_fields(row: Membership) -> MemberFields:
    return MemberFields(
        UserId=str(row.user_id),
        UserName=row.user.get_username(),
        DisplayName=row.user.first_name,
        Role=row.role,
        Active=row.user.is_active,
        CreateTime=time_text(row.created_at),
        LastSeenTime=time_text(getattr(row, "seen_at", None)),
    )


def get_workspace(request: Request, slug: str) -> Workspace:
    """The workspace a path names. Raises 404, for strangers too."""
    row = members.find_workspace(caller(request), slug)
    if row is None:
        raise not_found("WorkspaceNotFound", "There is no workspace of that id that you may see. List them all.")
    return row


def get_person(workspace: Workspace, name: str) -> User:
    """The member a path names. Raises 404."""
    rows = Membership.objects.select_related("user").filter(workspace=workspace)
    row = None if "\0" in name else rows.filter(user__username=name).first()
    if row is None:
        raise not_found("MemberNotFound", f"Nobody of that name belongs to {workspace.slug}. List its members.")
    return row.user


def role_of(given: dict[str, Any]) -> Role:
    """The body's ``Role``."""
    said = given.get("Role")
    if said not in list(Role):
        code = "missing" if said is None else "unknown_value"
        raise wrong("Role", code, f"Role must be one of {', '.join(Role)}.")
    return Role(said)


class WorkspacesView(APIView):
    """The caller's workspaces."""

    @extend_schema(operation_id="ListWorkspaces", responses=answers(WorkspaceList))
    def get(self, request: Request) -> Response:
        """The workspaces the caller belongs to; an administrator sees all."""
        user = caller(request)
        found = [details_of(user, summary) for summary in members.summaries(user)]
        return Response(WorkspaceList(Workspaces=found, TotalCount=len(found)))

    @extend_schema(
        operation_id="CreateWorkspace",
        request=body(WorkspaceName="string", WorkspaceId="string"),
        responses=answers(WorkspaceFields, 201, validates=True),
    )
    def post(self, request: Request) -> Response:
        """Create a workspace that the caller owns. Without ``WorkspaceId`` it is made of the name."""
        user, given = caller(request), read_object(request)
        name = text(given, "WorkspaceName", 120)
        slug = text(given, "WorkspaceId", 63) if given.get("WorkspaceId") not in (None, "") else ""
        row = members.create_workspace(user, name, slug)
        return Response(workspace_fields(user, row, Role.OWNER), status=201)


class WorkspaceView(APIView):
    """One workspace."""

    @extend_schema(operation_id="DescribeWorkspace", responses=answers(WorkspaceDetails))
    def get(self, request: Request, workspace: str) -> Response:
        """A workspace the caller belongs to."""
        user, row = caller(request), get_workspace(request, workspace)
        summary = next((one for one in members.summaries(user) if one.workspace.pk == row.pk), None)
        if summary is None:
            raise not_found("WorkspaceNotFound", "There is no workspace of that id that you may see. List them all.")
        return Response(details_of(user, summary))

    @extend_schema(
        operation_id="UpdateWorkspace",
        request=body(WorkspaceName="string"),
        responses=answers(WorkspaceFields, validates=True),
    )
    def put(self, request: Request, workspace: str) -> Response:
        """Rename a workspace; its id stays."""
        user, row = caller(request), get_workspace(request, workspace)
        members.require_owner(user, row)
        row = members.rename_workspace(user, row, text(read_object(request), "WorkspaceName", 120))
        return Response(workspace_fields(user, row, Role.OWNER))

    @extend_schema(operation_id="DeleteWorkspace", responses=answers(MessageAnswer))
    def delete(self, request: Request, workspace: str) -> Response:
        """Delete a workspace without services, and with it the conversations it kept."""
        row = get_workspace(request, workspace)
        members.delete_workspace(caller(request), row)
        return Response(MessageAnswer(Message=f"Workspace [{row.slug}] is deleted."))


class MembersView(APIView):
    """A workspace's members."""

    @extend_schema(operation_id="ListMembers", responses=answers(MemberList))
    def get(self, request: Request, workspace: str) -> Response:
        """Everybody who belongs to it, with role and when they were last seen."""
        rows = [member_fields(row) for row in members.members_of(get_workspace(request, workspace))]
        return Response(MemberList(Members=rows, TotalCount=len(rows)))

    @extend_schema(
        operation_id="InviteMember",
        request=body(UserName="string", Role="string"),
        responses=answers(MemberFields, 201, validates=True),
    )
    def post(self, request: Request, workspace: str) -> Response:
        """Add a person who exists; administrators create people."""
        user, row = caller(request), get_workspace(request, workspace)
        members.require_owner(user, row)
        given = read_object(request)
        name, role = text(given, "UserName", 150), role_of(given)
        return Response(member_fields(members.invite(user, row, name, role)), status=201)


class MemberView(APIView):
    """One member."""

    @extend_schema(
        operation_id="ChangeMemberRole", request=body(Role="string"), responses=answers(MemberFields, validates=True)
    )
    def put(self, request: Request, workspace: str, name: str) -> Response:
        """Give a member another role. A workspace keeps at least one owner."""
        user, row = caller(request), get_workspace(request, workspace)
        members.require_owner(user, row)
        person, role = get_person(row, name), role_of(read_object(request))
        return Response(member_fields(members.change_role(user, row, person, role)))

    @extend_schema(operation_id="RemoveMember", responses=answers(MessageAnswer))
    def delete(self, request: Request, workspace: str, name: str) -> Response:
        """Take a member out; members may take out themselves. A workspace keeps at least one owner."""
        row = get_workspace(request, workspace)
        person = get_person(row, name)
        members.remove_member(caller(request), row, person)
        return Response(MessageAnswer(Message=f"[{person.get_username()}] no longer belongs to [{row.slug}]."))
