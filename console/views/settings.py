"""What people set for themselves: password, appearance; and the audit trail for owners."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import transaction
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from console.access import SignedInRequest, signed_in
from console.page_context import DENSITIES, DENSITY_COOKIE, THEME_COOKIE, THEMES, chosen
from deployments.audit import record_audit
from deployments.models import AuditEntry, Role

YEAR_SECONDS = 365 * 24 * 3600
AUDIT_PAGE = 50


@require_safe
@signed_in
def settings_home(request: SignedInRequest) -> HttpResponse:
    """The first of the settings."""
    return HttpResponseRedirect("/settings/security")


@sensitive_post_parameters("old_password", "new_password")
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def security(request: SignedInRequest) -> HttpResponse:
    """Password change. Other sessions of the person end with the old password; this one goes on."""
    if request.method != "POST":
        return show_security(request)
    old, new = request.POST.get("old_password", ""), request.POST.get("new_password", "")
    errors: dict[str, list[str]] = {}
    if not request.user.check_password(old):
        errors["old_password"] = [gettext("This is not your present password. Type it again.")]
    try:
        validate_password(new, request.user)
    except ValidationError as problem:
        errors["new_password"] = list(problem.messages)
    if errors:
        return show_security(request, {"errors": errors}, status=422)
    with transaction.atomic():
        request.user.set_password(new)
        request.user.save(update_fields=["password"])
        record_audit(request.user, "user.change_password", request.user.get_username(), None)
    update_session_auth_hash(request, request.user)
    messages.success(request, gettext("Password changed. Your other sessions are signed out."))
    return HttpResponseRedirect("/settings/security")


def show_security(request: SignedInRequest, context: dict[str, Any] | None = None, status: int = 200) -> HttpResponse:
    base: dict[str, Any] = {
        "section": "settings",
        "tab": "security",
        "errors": {},
        "sees_audit": sees_audit(request.user),
    }
    return render(request, "console/settings/security.html", base | (context or {}), status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def appearance(request: SignedInRequest) -> HttpResponse:
    """Theme and density of this browser."""
    if request.method == "POST":
        response = HttpResponseRedirect("/settings/appearance")
        for cookie, field, known in (
            (THEME_COOKIE, "theme", THEMES),
            (DENSITY_COOKIE, "density", DENSITIES),
        ):
            response.set_cookie(
                cookie,
                chosen(request.POST.get(field), known),
                max_age=YEAR_SECONDS,
                samesite="Lax",
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
            )
        messages.success(request, gettext("Saved for this browser."))
        return response
    context = {"section": "settings", "tab": "appearance", "sees_audit": sees_audit(request.user)}
    return render(request, "console/settings/appearance.html", context)


@require_safe
@signed_in
def audit(request: SignedInRequest) -> HttpResponse:
    """Who changed what, for owners of a workspace and administrators; others get 404."""
    if not sees_audit(request.user):
        raise Http404
    entries = AuditEntry.objects.select_related("workspace")
    if not request.user.is_superuser:
        entries = entries.filter(workspace__memberships__user=request.user, workspace__memberships__role=Role.OWNER)
    wanted = request.GET.get("q", "").strip()[:120]
    if wanted:
        entries = entries.filter(target__icontains=wanted)
    page = Paginator(entries, AUDIT_PAGE).get_page(request.GET.get("page"))
    context = {
        "section": "settings",
        "tab": "audit",
        "page": page,
        "audit_query": wanted,
        "query_string": urlencode({"q": wanted}) if wanted else "",
    }
    return render(request, "console/settings/audit.html", context)


def sees_audit(user: User) -> bool:
    return user.is_superuser or user.memberships.filter(role=Role.OWNER).exists()
