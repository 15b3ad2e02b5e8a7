"""What a workspace and each of its members may use, and all API keys for it: for its owners."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from console import key_forms
from console.access import SignedInRequest, signed_in
from console.views.members import get_member
from console.views.workspaces import SECTION, get_workspace
from deployments import limits, members
from deployments.members import get_membership, require_owner
from deployments.models import ApiKey, Workspace
from deployments.spec import SpecInvalid

KEYS_A_PAGE = 25


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def workspace_limits(request: SignedInRequest, slug: str) -> HttpResponse:
    """The workspace's own limits, those of its members, and the keys that can call its services."""
    row = get_workspace(request, slug)
    require_owner(request.user, row)
    if request.method != "POST":
        return show(request, row, key_forms.typed_limits(row), {})
    given, wanted, errors = key_forms.read_limits(request.POST)
    try:
        if not errors:
            limits.set_workspace_limits(request.user, row, wanted)
            return changed(request, row, row.name)
    except SpecInvalid as invalid:
        errors = key_forms.add_errors(errors, invalid)
    return show(request, row, given, errors, 422)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def member_limits(request: SignedInRequest, slug: str, user_id: int) -> HttpResponse:
    """What one member may use."""
    row = get_workspace(request, slug)
    require_owner(request.user, row)
    person = get_member(row, user_id)
    given, status = key_forms.typed_limits(get_membership(row, person)), 200
    errors: key_forms.Errors = {}
    if request.method == "POST":
        given, wanted, errors = key_forms.read_limits(request.POST)
        status = 422
        try:
            if not errors:
                limits.set_member_limits(request.user, row, person, wanted)
                return changed(request, row, person.get_username())
        except SpecInvalid as invalid:
            errors = key_forms.add_errors(errors, invalid)
    context = {
        "section": SECTION,
        "workspace": row,
        "person": person,
        "limits": key_forms.limit_rows(given, errors),
        "errors": errors,
    }
    return render(request, "console/workspaces/member_limits.html", context, status=status)


def changed(request: SignedInRequest, row: Workspace, name: str) -> HttpResponse:
    messages.success(request, _("The limits of %(name)s are changed.") % {"name": name})
    return HttpResponseRedirect(f"/workspaces/{row.slug}/limits")


def show(
    request: SignedInRequest, row: Workspace, given: dict[str, str], errors: key_forms.Errors, status: int = 200
) -> HttpResponse:
    rows = ApiKey.objects.filter(workspace=row, revoked_at=None).select_related("user", "workspace")
    page = Paginator(rows, KEYS_A_PAGE).get_page(request.GET.get("page"))
    context: dict[str, Any] = {
        "section": SECTION,
        "workspace": row,
        "current_workspace": row,
        "limits": key_forms.limit_rows(given, errors),
        "errors": errors,
        "members": [{"person": one.user, "limits": key_forms.limit_words(one)} for one in members.members_of(row)],
        "page": page,
        "api_keys": key_forms.list_rows(page.object_list),
        "now": timezone.now(),
    }
    return render(request, "console/workspaces/limits.html", context, status=status)
