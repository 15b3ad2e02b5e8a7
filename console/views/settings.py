"""What people set for themselves: password, personal tokens, appearance; and the audit trail for owners."""

from __future__ import annotations

from datetime import timedelta
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
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import SignedInRequest, signed_in
from console.page_context import DENSITIES, DENSITY_COOKIE, THEME_COOKIE, THEMES, chosen
from deployments.accounts import TooManyTokens, delete_personal_token, issue_personal_token
from deployments.audit import record_audit
from deployments.models import AuditEntry, PersonalToken, Role

YEAR_SECONDS = 365 * 24 * 3600
TOKEN_DAYS = (0, 30, 90, 365)  # 0: no end
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


@require_POST
@signed_in
def create_token(request: SignedInRequest) -> HttpResponse:
    """Make a personal token and show it in this answer only."""
    name, days = request.POST.get("name", "").strip(), request.POST.get("days", "90")
    if not name.isprintable() or not 1 <= len(name) <= 120:
        message = gettext("Give the token a name of 1 to 120 characters, so that you know it later.")
        return show_security(request, {"errors": {"name": [message]}, "token_name": name}, status=422)
    if days not in {str(one) for one in TOKEN_DAYS}:
        return show_security(
            request, {"errors": {"days": [gettext("Choose how long the token is valid.")]}}, status=422
        )
    expires_at = timezone.now() + timedelta(days=int(days)) if int(days) else None
    try:
        row, secret = issue_personal_token(request.user, name, expires_at)
    except TooManyTokens as refusal:
        return show_security(request, {"errors": {"name": [str(refusal)]}, "token_name": name}, status=409)
    return show_security(request, {"new_token": secret, "new_token_name": row.name}, status=201)


@require_POST
@signed_in
def revoke_token(request: SignedInRequest, token_id: int) -> HttpResponse:
    """End a personal token at once."""
    row = get_object_or_404(PersonalToken, pk=token_id, user=request.user)
    delete_personal_token(row)
    messages.success(request, gettext("Token %(name)s no longer works.") % {"name": row.name})
    return HttpResponseRedirect("/settings/security")


def show_security(request: SignedInRequest, context: dict[str, Any] | None = None, status: int = 200) -> HttpResponse:
    rows = PersonalToken.objects.filter(user=request.user)
    base: dict[str, Any] = {
        "section": "settings",
        "tab": "security",
        "tokens": rows,
        "token_days": TOKEN_DAYS,
        "now": timezone.now(),
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
