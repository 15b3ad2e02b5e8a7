"""A workspace's members: everybody sees them, owners invite, change roles and remove, everybody may leave."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from console.access import SignedInRequest, signed_in
from console.confirming import ask, done
from console.people_confirmations import confirm_leave, confirm_remove
from console.views.workspaces import SECTION, get_workspace
from deployments import members
from deployments.accounts import administrators_words, owners_words, role_in
from deployments.lifecycle import Conflict
from deployments.members import require_owner
from deployments.models import Role, Workspace

ROLES = {
    Role.VIEWER: (gettext_lazy("Viewer"), gettext_lazy("Sees status and events, and may chat.")),
    Role.OPERATOR: (gettext_lazy("Operator"), gettext_lazy("Deploys and changes services, sees logs and tokens.")),
    Role.OWNER: (gettext_lazy("Owner"), gettext_lazy("Manages members too.")),
}


@require_safe
@signed_in
def members_page(request: SignedInRequest, slug: str) -> HttpResponse:
    """Who belongs to it."""
    return show(request, get_workspace(request, slug))


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def invite(request: SignedInRequest, slug: str) -> HttpResponse:
    """Add a person who exists, by user name. What was refused is shown at this address, so it can be read again."""
    row = get_workspace(request, slug)
    if request.method != "POST":
        return HttpResponseRedirect(f"/workspaces/{row.slug}/members")
    require_owner(request.user, row)
    given = {"name": request.POST.get("name", "").strip()[:150], "role": request.POST.get("role", "")}
    errors: dict[str, list[str]] = {}
    if not given["name"] or "\0" in given["name"]:
        errors["name"] = [_("Give the user name of somebody who can sign in here.")]
    if given["role"] not in list(Role):
        errors["role"] = [_("Choose a role.")]
    if errors:
        return show(request, row, {"given": given, "errors": errors}, status=422)
    try:
        membership = members.invite(request.user, row, given["name"], Role(given["role"]))
    except Conflict as conflict:
        return show(request, row, {"given": given, "errors": {"name": [conflict.message]}}, status=409)
    words = _("%(name)s belongs to %(workspace)s now.")
    messages.success(request, words % {"name": membership.user.get_username(), "workspace": row.name})
    return HttpResponseRedirect(f"/workspaces/{row.slug}/members")


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def change_role(request: SignedInRequest, slug: str, user_id: int) -> HttpResponse:
    """Another role for a member. Read again after a refusal, it leads back."""
    row = get_workspace(request, slug)
    if request.method != "POST":
        return HttpResponseRedirect(f"/workspaces/{row.slug}/members")
    require_owner(request.user, row)
    person = get_member(row, user_id)
    role = request.POST.get("role", "")
    if role not in list(Role):
        return show(request, row, {"refused": person.pk, "refusal": _("Choose a role.")}, status=422)
    try:
        members.change_role(request.user, row, person, Role(role))
    except Conflict as conflict:
        return show(request, row, {"refused": person.pk, "refusal": conflict.message}, status=409)
    said = _("%(name)s is now: %(role)s.") % {"name": person.get_username(), "role": ROLES[Role(role)][0]}
    messages.success(request, said)
    return HttpResponseRedirect(f"/workspaces/{row.slug}/members")


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def remove(request: SignedInRequest, slug: str, user_id: int) -> HttpResponse:
    """Take a member out, or leave."""
    row = get_workspace(request, slug)
    if user_id != request.user.pk:
        require_owner(request.user, row)
    person = get_member(row, user_id)
    is_self = person.pk == request.user.pk
    confirmation = confirm_leave(row) if is_self else confirm_remove(row, person)
    there = f"/workspaces/{row.slug}/members"
    if request.method != "POST":
        return ask(request, confirmation, person.get_username(), there, section=SECTION)
    try:
        members.remove_member(request.user, row, person)
    except Conflict as conflict:
        return ask(request, confirmation, person.get_username(), there, section=SECTION, error=conflict.message)
    names = {"name": person.get_username(), "workspace": row.name}
    if is_self and not request.user.is_superuser:
        return done(request, _("You left %(workspace)s.") % names, "/workspaces")
    return done(request, _("%(name)s no longer belongs to %(workspace)s.") % names, there)


def get_member(row: Workspace, user_id: int) -> User:
    person = User.objects.filter(pk=user_id, memberships__workspace=row).first()
    if person is None:
        raise Http404("no such member")
    return person


def show(
    request: SignedInRequest, row: Workspace, context: dict[str, Any] | None = None, status: int = 200
) -> HttpResponse:
    owns = role_in(request.user, row) == Role.OWNER
    base: dict[str, Any] = {
        "section": SECTION,
        "workspace": row,
        "current_workspace": row,
        "members": members.members_of(row),
        "owns": owns,
        "owners": "" if owns else owners_words(row),
        "roles": [{"role": str(role), "word": word, "hint": hint} for role, (word, hint) in ROLES.items()],
        "given": {"name": "", "role": Role.VIEWER},
        "errors": {},
        "administrators": administrators_words(),
    }
    return render(request, "console/workspaces/members.html", base | (context or {}), status=status)
