"""Workspaces: those one belongs to, with numbers; made, renamed, deleted."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from console.access import SignedInRequest, signed_in
from console.confirming import ask, done, is_confirmed
from console.people_confirmations import confirm_delete_workspace
from deployments import members
from deployments.accounts import administrators_words, workspaces_of
from deployments.lifecycle import Conflict
from deployments.members import may_create_workspaces, require_owner
from deployments.models import Workspace
from deployments.spec import SpecInvalid

SECTION = "workspaces"


def get_workspace(request: SignedInRequest, slug: str) -> Workspace:
    """The workspace of that short name. Raises ``Http404``, for strangers too."""
    row = members.find_workspace(request.user, slug)
    if row is None:
        raise Http404(f"no workspace {slug}")
    return row


@require_safe
@signed_in
def workspaces(request: SignedInRequest) -> HttpResponse:
    """All that the person may see."""
    context = {
        "section": SECTION,
        "tab": "workspaces",
        "summaries": members.summaries(request.user),
        "may_create": may_create_workspaces(request.user),
        "administrators": administrators_words(),
    }
    return render(request, "console/workspaces/list.html", context)


@require_safe
@signed_in
def menu(request: SignedInRequest) -> HttpResponse:
    """What the switch in the top bar shows when it opens: no page pays for it before."""
    context = {"workspaces": workspaces_of(request.user), "current": request.GET.get("current", "")}
    return render(request, "console/parts/workspace_menu.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def create(request: SignedInRequest) -> HttpResponse:
    """A new workspace, owned by whoever makes it."""
    if not may_create_workspaces(request.user):
        raise members.not_a_creator()
    given = {field: request.POST.get(field, "").strip() for field in ("name", "slug")}
    if request.method != "POST":
        return show_form(request, "new", given)
    try:
        row = members.create_workspace(request.user, given["name"], given["slug"])
    except SpecInvalid as invalid:
        return show_form(request, "new", given, {error.field: [error.message] for error in invalid.errors}, 422)
    except Conflict as conflict:
        return show_form(request, "new", given, {"WorkspaceId": [conflict.message]}, 409)
    return HttpResponseRedirect(f"/workspaces/{row.slug}/members")


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def rename(request: SignedInRequest, slug: str) -> HttpResponse:
    """Another name; the short one stays."""
    row = get_workspace(request, slug)
    require_owner(request.user, row)
    if request.method != "POST":
        return show_form(request, "rename", {"name": row.name, "slug": row.slug})
    name = request.POST.get("name", "")
    try:
        members.rename_workspace(request.user, row, name)
    except SpecInvalid as invalid:
        errors = {error.field: [error.message] for error in invalid.errors}
        return show_form(request, "rename", {"name": name, "slug": row.slug}, errors, 422)
    messages.success(request, _("Renamed."))
    return HttpResponseRedirect(f"/workspaces/{row.slug}/members")


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def delete(request: SignedInRequest, slug: str) -> HttpResponse:
    """Delete an empty workspace; its short name is typed first."""
    row = get_workspace(request, slug)
    require_owner(request.user, row)
    confirmation, there = confirm_delete_workspace(row), f"/workspaces/{row.slug}/members"
    try:
        members.refuse_services(row)
        if not is_confirmed(request, confirmation, row.slug):
            return ask(request, confirmation, row.slug, there, section=SECTION)
        members.delete_workspace(request.user, row)
    except Conflict as conflict:
        return ask(request, confirmation, row.slug, there, section=SECTION, error=conflict.message)
    return done(request, _("%(name)s is deleted.") % {"name": row.name}, "/workspaces")


def show_form(
    request: SignedInRequest,
    kind: str,
    given: dict[str, str],
    errors: dict[str, list[str]] | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {"section": SECTION, "kind": kind, "given": given, "errors": errors or {}}
    return render(request, "console/workspaces/form.html", context, status=status)
