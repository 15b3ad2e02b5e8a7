"""The services list, ``/``. Its address holds all of its state, and it needs no script to be read."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from console.access import SignedInRequest, signed_in
from console.bundled import find_bundled
from console.page_context import LIVE_HEADER
from console.service_list import PAGE_SIZES, ListQuery, ServiceList
from deployments.accounts import workspaces_of

MAX_LIVE_ROWS = 100


@require_safe
@signed_in
def services(request: SignedInRequest) -> HttpResponse:
    """A page of the list. A live refetch names the rows it shows, and gets those and the order of all."""
    query = ListQuery.parse(request.GET.dict())
    listing = ServiceList(request.user, query, timezone.now())
    wanted = live_names(request)
    workspaces = workspaces_of(request.user)
    context = {
        "section": "services",
        "query": query,
        "listing": listing,
        "rows": listing.rows(wanted),
        "page": listing.page,
        "order": " ".join(service.name for service in listing.services),
        "filters": listing.filters,
        "query_string": query.encode(),
        "sorts": {name: sort_link(query, name) for name in ("name", "status", "created", "updated")},
        "page_sizes": [
            {"rows": size, "query": query.encode(rows=size), "current": size == query.rows} for size in PAGE_SIZES
        ],
        "workspaces": workspaces,
        "current_workspace": next((one for one in workspaces if one.slug == query.workspace), None),
        "bundled": find_bundled() if not listing.counts[""] and not query.is_narrowed else None,
        "may_deploy": bool(listing.changeable_workspaces),
    }
    return render(request, "console/services.html", context)


def live_names(request: SignedInRequest) -> list[str] | None:
    """The names in the live header, or None where the whole page is wanted (``all``)."""
    named = request.headers.get(LIVE_HEADER, "all")
    return None if named == "all" else named.split(",")[:MAX_LIVE_ROWS]


def sort_link(query: ListQuery, column: str) -> dict[str, str]:
    """Where a click on a column's head leads, and what that column's order is now."""
    if query.sort == column:
        return {"query": query.encode(sort=f"-{column}"), "aria": "ascending", "icon": "arrow-up"}
    if query.sort == f"-{column}":
        return {"query": query.encode(sort=column), "aria": "descending", "icon": "arrow-down"}
    first = f"-{column}" if column in ("created", "updated") else column
    return {"query": query.encode(sort=first), "aria": "none", "icon": ""}
