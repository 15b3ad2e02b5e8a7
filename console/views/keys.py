"""Keys: a person's own ways in for programs, and the tokens of the services they may change (console.md §5)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.core.paginator import Paginator
from django.db.models import Max
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from console import shown_once
from console.access import SignedInRequest, signed_in
from console.confirmations import confirm_revoke
from console.confirming import ask, done, is_confirmed
from console.key_forms import list_rows
from console.snippets import access_key_snippet, api_key_snippets, token_snippet
from deployments.access_keys import TooManyAccessKeys, find_access_key, issue_access_key, revoke_access_key
from deployments.accounts import TooManyTokens, delete_personal_token, issue_personal_token, workspaces_to_change
from deployments.addresses import address_of
from deployments.models import AccessKey, ApiKey, Desired, PersonalToken, Service

#: API keys have a form of their own (``console.views.api_keys``).
KINDS = ("token", "access-key")
SERVICES_A_PAGE = 25
DAYS = (0, 30, 90, 365)  # 0: no end


@require_safe
@signed_in
def keys(request: SignedInRequest) -> HttpResponse:
    """All of the person's keys; of other people's nobody sees any."""
    address = address_of(request)
    context = {
        "tokens": PersonalToken.objects.filter(user=request.user),
        "access_keys": AccessKey.objects.filter(user=request.user, revoked_at=None),
        "api_keys": list_rows(
            ApiKey.objects.filter(user=request.user, revoked_at=None).select_related("workspace", "user")
        ),
        "api_key_snippet": api_key_snippets(address)[0],
        "now": timezone.now(),
        "token_snippet": token_snippet(address),
        "access_key_snippet": access_key_snippet(address, settings.SLIPWAY_REGION),
        **service_keys(request),
    }
    return show(request, "list", context)


def service_keys(request: SignedInRequest) -> dict[str, Any]:
    """The services whose tokens the person may see, a page of them, with their last use. No token among it."""
    wanted = request.GET.get("q", "").replace("\0", "").strip()[:100]
    rows = Service.objects.filter(workspace__in=workspaces_to_change(request.user)).exclude(desired=Desired.DELETED)
    if wanted:
        rows = rows.filter(name__icontains=wanted)
    rows = rows.select_related("workspace").annotate(last_used_at=Max("callers__last_at")).order_by("name")
    return {
        "page": Paginator(rows, SERVICES_A_PAGE).get_page(request.GET.get("page")),
        "wanted": wanted,
        "query_string": urlencode({"q": wanted}) if wanted else "",
    }


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def create(request: SignedInRequest) -> HttpResponse:
    """Make a key; the page after it shows the secret, once."""
    if request.method != "POST":
        kind = request.GET.get("kind", "")
        return show_form(request, {"kind": kind if kind in KINDS else KINDS[0], "days": "90"})
    given = {field: request.POST.get(field, "").strip() for field in ("kind", "name", "days")}
    errors: dict[str, list[str]] = {}
    if given["kind"] not in KINDS:
        errors["kind"] = [_("Choose what kind of key it is.")]
    if not given["name"].isprintable() or not 1 <= len(given["name"]) <= 120:
        errors["name"] = [_("Give the key a name of 1 to 120 characters, so that you know it later.")]
    if given["days"] not in {str(one) for one in DAYS}:
        errors["days"] = [_("Choose how long the key is valid.")]
    if errors:
        return show_form(request, given, errors, status=422)
    days = int(given["days"])
    expires_at = timezone.now() + timedelta(days=days) if days else None
    made = {"name": given["name"]}
    try:
        if given["kind"] == "token":
            made["token"] = issue_personal_token(request.user, given["name"], expires_at)[1]
        else:
            row, made["secret"] = issue_access_key(request.user, given["name"], expires_at)
            made["key_id"] = row.key_id
    except (TooManyTokens, TooManyAccessKeys) as refusal:
        return show_form(request, given, {"name": [str(refusal)]}, status=409)
    return shown_once.lead_to(request, "/keys/created", made)


@require_safe
@signed_in
def created(request: SignedInRequest) -> HttpResponse:
    """The key that was just made, with its secret, once."""
    made = shown_once.take(request)
    if made is None:
        return shown_once.taken(request, "/keys")
    address = address_of(request)
    if "api_key" in made:
        curl, code = api_key_snippets(address, made["api_key"], made["model"])
        return show(request, "api_key_created", made | {"curl": curl, "code": code})
    if "token" in made:
        snippet = token_snippet(address, made["token"])
    else:
        snippet = access_key_snippet(address, settings.SLIPWAY_REGION, made["key_id"], made["secret"])
    return show(request, "created", made | {"snippet": snippet})


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def revoke_token(request: SignedInRequest, token_id: int) -> HttpResponse:
    """End a personal token at once."""
    row = get_object_or_404(PersonalToken, pk=token_id, user=request.user)
    confirmation = confirm_revoke(row.name, row.last_used_at)
    if not is_confirmed(request, confirmation, row.name):
        return ask(request, confirmation, row.name, "/keys", section="keys")
    delete_personal_token(row)
    return done(request, no_longer_works(row.name), "/keys")


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def revoke_key(request: SignedInRequest, key_id: str) -> HttpResponse:
    """End an access key at once."""
    row = None if "\0" in key_id else find_access_key(request.user, key_id)
    if row is None:
        raise Http404(f"no access key {key_id}")
    confirmation = confirm_revoke(row.name, row.last_used_at)
    if not is_confirmed(request, confirmation, row.name):
        return ask(request, confirmation, row.name, "/keys", section="keys")
    revoke_access_key(row)
    return done(request, no_longer_works(row.name), "/keys")


def no_longer_works(name: str) -> str:
    return _("%(name)s no longer works.") % {"name": name}


def show_form(
    request: SignedInRequest, given: dict[str, str], errors: dict[str, list[str]] | None = None, status: int = 200
) -> HttpResponse:
    return show(request, "new", {"given": given, "errors": errors or {}, "days": DAYS}, status)


def show(request: SignedInRequest, page: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    return render(request, f"console/keys/{page}.html", {"section": "keys", **context}, status=status)
