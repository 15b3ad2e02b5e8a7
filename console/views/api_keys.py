"""API keys: made with terms, shown once, changed, revoked (console.md §5, Keys)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from console import key_forms, shown_once
from console.access import SignedInRequest, signed_in
from console.confirmations import confirm_revoke
from console.confirming import ask, done, is_confirmed
from deployments.accounts import workspaces_of
from deployments.api_keys import (
    KeyScope,
    TooManyApiKeys,
    change_api_key,
    find_api_key,
    issue_api_key,
    revoke_api_key,
    services_to_name,
)
from deployments.members import find_workspace
from deployments.models import ApiKey, Service, Workspace
from deployments.spec import SpecInvalid

#: Services among which an example is sought.
MOST_LOOKED_AT = 20
DAYS = (0, 30, 90, 365)  # 0: no end
EMPTY: dict[str, Any] = {
    "name": "",
    "days": "90",
    "scopes": KeyScope.values,
    "reach": "all",
    "services": [],
    "more": "",
    "limits": {},
}


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def create(request: SignedInRequest) -> HttpResponse:
    """Make a key; the page after it shows the secret, once. ``workspace`` names where it is for."""
    workspaces = workspaces_of(request.user)
    row = choose_workspace(request, workspaces)
    if row is None:
        return render(request, "console/keys/nowhere.html", {"section": "keys"})
    base = {"days": DAYS, "workspaces": workspaces}
    if request.method != "POST":
        return show(request, "new_api_key", row, EMPTY, {}, base)
    given, terms, errors = key_forms.read_terms(request.POST, row)
    given["days"] = request.POST.get("days", "")
    if given["days"] not in {str(one) for one in DAYS}:
        errors["days"] = [_("Choose how long the key is valid.")]
    status = 422
    try:
        if not errors:
            days = int(given["days"])
            expires_at = timezone.now() + timedelta(days=days) if days else None
            key, secret = issue_api_key(request.user, row, terms, expires_at)
            made = {"name": key.name, "api_key": secret, "model": find_model(key)}
            return shown_once.lead_to(request, "/keys/created", made)
    except SpecInvalid as invalid:
        errors = key_forms.add_errors(errors, invalid)
    except TooManyApiKeys as refusal:
        errors, status = {"name": [str(refusal)]}, 409
    return show(request, "new_api_key", row, given, errors, base, status)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def edit(request: SignedInRequest, key_id: int) -> HttpResponse:
    """Give one's own key other terms; they count within a second."""
    key = get_key(request, key_id)
    if key.user_id != request.user.pk:
        raise Http404("another's key")
    base = {"key": key}
    if request.method != "POST":
        return show(request, "api_key", key.workspace, key_forms.typed_terms(key), {}, base)
    given, terms, errors = key_forms.read_terms(request.POST, key.workspace)
    try:
        if not errors:
            change_api_key(key, terms)
            messages.success(request, _("%(name)s is changed.") % {"name": terms.name})
            return HttpResponseRedirect("/keys")
    except SpecInvalid as invalid:
        errors = key_forms.add_errors(errors, invalid)
    return show(request, "api_key", key.workspace, given, errors, base, 422)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def revoke(request: SignedInRequest, key_id: int) -> HttpResponse:
    """End a key at once: one's own, or one of a workspace that one owns."""
    key = get_key(request, key_id)
    there = "/keys" if key.user_id == request.user.pk else f"/workspaces/{key.workspace.slug}/limits"
    confirmation = confirm_revoke(key.name, key.last_used_at)
    if not is_confirmed(request, confirmation, key.name):
        return ask(request, confirmation, key.name, there, section="keys")
    revoke_api_key(request.user, key)
    return done(request, _("%(name)s no longer works.") % {"name": key.name}, there)


def choose_workspace(request: SignedInRequest, workspaces: list[Workspace]) -> Workspace | None:
    """The one that was asked for, else the first; None for who belongs to none. Raises ``Http404``."""
    slug = request.POST.get("workspace") or request.GET.get("workspace")
    if not slug:
        return workspaces[0] if workspaces else None
    row = find_workspace(request.user, slug)
    if row is None:
        raise Http404("no such workspace")
    return row


def get_key(request: SignedInRequest, key_id: int) -> ApiKey:
    row = find_api_key(request.user, key_id)
    if row is None:
        raise Http404("no such key")
    return row


def find_model(key: ApiKey) -> str:
    """The name of a language model that the key may chat with, for an example; "" where there is none at hand."""
    if KeyScope.CHAT not in key.scopes:
        return ""
    rows = services_to_name(key.workspace).select_related("wanted_revision")
    if key.service_uids:
        rows = rows.filter(uid__in=key.service_uids)
    return next((row.name for row in rows[:MOST_LOOKED_AT] if is_language_model(row)), "")


def is_language_model(row: Service) -> bool:
    spec = row.find_spec() if row.wanted_revision else None
    return spec is not None and spec.engine is not None


def show(
    request: SignedInRequest,
    page: str,
    workspace: Workspace,
    given: dict[str, Any],
    errors: key_forms.Errors,
    context: dict[str, Any],
    status: int = 200,
) -> HttpResponse:
    whole = {"section": "keys", **key_forms.form_context(workspace, given, errors), **context}
    return render(request, f"console/keys/{page}.html", whole, status=status)
