"""Finding what a path or parameter names, within the caller's rights: strangers get 404, viewers 403 on changes."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User
from rest_framework.request import Request

from deployments.accounts import find_visible_service, require_change, workspaces_of, workspaces_to_change
from deployments.api.authentication import caller
from deployments.api.errors import ApiError, not_found, wrong
from deployments.models import Service, Workspace
from deployments.spec import check_name


def check_cluster(cluster: str) -> None:
    """Raise 404 for a region that is not this Slipway's."""
    if cluster != settings.SLIPWAY_REGION:
        raise not_found(
            "ClusterNotFound", f"There is no cluster of that id. This Slipway is {settings.SLIPWAY_REGION}."
        )


def get_service(request: Request, cluster: str, name: str) -> Service:
    """The service a path names. Raises 404 for unknown regions and names, and for strangers."""
    check_cluster(cluster)
    service = find_visible_service(caller(request), name) if check_name(name) is None else None
    if service is None:
        raise not_found("ServiceNotFound", "There is no service of that name that you may see. List them all.")
    return service


def get_service_to_change(request: Request, cluster: str, name: str) -> Service:
    """The same, for callers who may change it. Raises ``NotAllowed``, which names the owners."""
    service = get_service(request, cluster, name)
    require_change(caller(request), service.workspace, service.name)
    return service


def find_workspace(user: User, said: str) -> Workspace | None:
    """A workspace of the caller's by slug or id."""
    return next((one for one in workspaces_of(user) if said in {one.slug, str(one.pk)}), None)


def get_workspace(user: User, said: str, field: str) -> Workspace:
    """The same, for text a caller gave. Raises 400 naming the parameter."""
    workspace = find_workspace(user, said)
    if workspace is None:
        names = ", ".join(one.slug for one in workspaces_of(user)) or "none"
        raise wrong(field, "workspace_unknown", f"{field} names no workspace of yours. Yours: {names}.")
    return workspace


def workspace_for_create(user: User, parameter: str, in_document: str | None) -> Workspace:
    """Where a new service goes: the parameter, else the document, else the first the caller may change."""
    if parameter and in_document and parameter != in_document:
        chosen = get_workspace(user, parameter, "WorkspaceId")
        if in_document not in {chosen.slug, str(chosen.pk)}:
            message = "WorkspaceId and metadata.workspace_id name two workspaces. Keep one of them."
            raise wrong("WorkspaceId", "workspace_twice", message)
    if parameter or in_document:
        field = "WorkspaceId" if parameter else "metadata.workspace_id"
        workspace = get_workspace(user, parameter or in_document or "", field)
        require_change(user, workspace, f"workspace {workspace.slug}")
        return workspace
    mine = workspaces_to_change(user).first()
    if mine is None:
        raise ApiError(403, "Forbidden", "You may change no workspace. Ask an owner to make you an operator of theirs.")
    return mine
