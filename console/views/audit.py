"""Settings, Audit: who changed what, from what to what. The address holds the filters."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from console.access import SignedInRequest, signed_in
from deployments.accounts import workspaces_of
from deployments.audit import entries_for
from deployments.models import AuditEntry

ENTRIES_A_PAGE = 50
TEXTS = {"actor": "actor_name", "action": "action", "target": "target"}
FIELDS = (*TEXTS, "workspace", "since", "until")


@require_safe
@signed_in
def audit(request: SignedInRequest) -> HttpResponse:
    """Owners see their workspaces' entries, administrators all, everybody their own."""
    given = {field: request.GET.get(field, "").replace("\0", "").strip()[:150] for field in FIELDS}
    rows, error = narrow(entries_for(request.user).select_related("workspace"), given)
    context: dict[str, Any] = {
        "section": "settings",
        "tab": "audit",
        "page": Paginator(rows, ENTRIES_A_PAGE).get_page(request.GET.get("page")),
        "given": given,
        "is_narrowed": any(given.values()),
        "error": error,
        "query_string": urlencode({field: value for field, value in given.items() if value}),
        "audit_workspaces": workspaces_of(request.user),
    }
    return render(request, "console/settings/audit.html", context)


def narrow(rows: QuerySet[AuditEntry], given: dict[str, str]) -> tuple[QuerySet[AuditEntry], str]:
    """The entries that were asked for, and what is wrong with a day, "" where nothing is."""
    for field, column in TEXTS.items():
        if given[field]:
            rows = rows.filter(**{f"{column}__icontains": given[field]})
    if given["workspace"]:
        rows = rows.filter(workspace__slug=given["workspace"])
    error = ""
    since, until = day_of(given["since"]), day_of(given["until"])
    if since:
        rows = rows.filter(created_at__gte=start_of(since))
    if until:
        rows = rows.filter(created_at__lt=start_of(until + timedelta(days=1)))
    if (given["since"] and not since) or (given["until"] and not until):
        error = _("Give days as 2026-01-31, in UTC.")
    elif since and until and until < since:
        error = _("The last day lies before the first. Swap them.")
    return rows, error


def day_of(text: str) -> date | None:
    try:
        found = parse_date(text)
    except ValueError:
        return None
    return found if found and 1970 <= found.year <= 9000 else None


def start_of(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
