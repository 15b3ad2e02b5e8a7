"""Settings, Security: the password, and the browsers one is signed in with."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from console import sign_ins
from console.access import SignedInRequest, signed_in
from deployments.audit import record_audit
from deployments.sign_ins import end_sign_ins
from deployments.words import number


@sensitive_post_parameters("old_password", "new_password")
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def security(request: SignedInRequest) -> HttpResponse:
    """Password change. Other sessions of the person end with the old password; this one goes on."""
    if request.method != "POST":
        return show(request)
    old, new = request.POST.get("old_password", ""), request.POST.get("new_password", "")
    errors: dict[str, list[str]] = {}
    if "\0" in old or not request.user.check_password(old):
        errors["old_password"] = [_("This is not your present password. Type it again.")]
    try:
        validate_password(new, request.user)
    except ValidationError as problem:
        errors["new_password"] = list(problem.messages)
    if errors:
        return show(request, {"errors": errors}, status=422)
    with transaction.atomic():
        request.user.set_password(new)
        request.user.save(update_fields=["password"])
        record_audit(request.user, "user.change_password", request.user.get_username(), None)
    sign_ins.go_on_with_new_password(request, request.user)
    here = request.session.session_key
    others = [row.session_key for row in sign_ins.list_sign_ins(request.user) if row.session_key != here]
    end_sign_ins(request.user, others)
    messages.success(request, _("Password changed. Your other sessions are signed out."))
    return HttpResponseRedirect("/settings/security")


@require_POST
@signed_in
def sign_out_others(request: SignedInRequest) -> HttpResponse:
    """Sign out in every other browser, or in the one that is named."""
    rows = sign_ins.list_sign_ins(request.user)
    named = request.POST.get("browser", "")
    if named:
        rows = [row for row in rows if str(row.pk) == named]
    count = sign_ins.end_others(request.user, rows, request.session.session_key or "")
    words = ngettext("Signed out in %(count)s other browser.", "Signed out in %(count)s other browsers.", count)
    messages.success(request, words % {"count": number(count)} if count else _("You are signed in nowhere else."))
    return HttpResponseRedirect("/settings/security")


def show(request: SignedInRequest, context: dict[str, Any] | None = None, status: int = 200) -> HttpResponse:
    rows = sign_ins.list_sign_ins(request.user)
    browsers = [
        {"row": row, "words": sign_ins.browser_words(row.user_agent), "is_here": row.session_key == own}
        for own in [request.session.session_key]
        for row in sorted(rows, key=lambda one: one.session_key != own)
    ]
    base: dict[str, Any] = {
        "section": "settings",
        "tab": "security",
        "errors": {},
        "browsers": browsers,
        "has_others": len(browsers) > 1,
    }
    return render(request, "console/settings/security.html", base | (context or {}), status=status)
