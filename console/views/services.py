"""The services list, ``/``. Its address holds all of its state, and it needs no script to be read or changed."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from console.access import SignedInRequest, signed_in
from console.bundled import find_bundled
from console.cluster_view import cluster_notice
from console.page_context import LIVE_HEADER
from console.service_columns import ALL, NAME, Column
from console.service_list import PAGE_SIZES, ListQuery, ServiceList

MAX_LIVE_ROWS = 100


@require_safe
@signed_in
def services(request: SignedInRequest) -> HttpResponse:
    """A page of the list. A live refetch names the rows it shows, and gets those and the order of all."""
    query = ListQuery.parse(request.GET.dict(), request.GET.getlist("column"))
    listing = ServiceList(request.user, query, timezone.now())
    wanted = live_names(request)
    workspaces = list(listing.workspaces)
    rows = listing.rows(wanted)
    context = {
        "section": "services",
        "query": query,
        "listing": listing,
        "rows": rows,
        "cluster_notice": cluster_notice(row.badge for row in rows),
        "page": listing.page,
        "order": " ".join(name for _, name in listing.page.object_list),
        "filters": listing.filters,
        "query_string": query.encode(),
        "heads": [head_of(query, column) for column in ALL if column.key in (NAME, *query.columns)],
        "columns": [column for column in ALL if column.key != NAME],
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


@dataclass(frozen=True, slots=True)
class Head:
    """A column's head: where a click on it leads ("" where nothing sorts by it), and what its order is now."""

    column: Column
    query: str
    aria: str
    icon: str


def head_of(query: ListQuery, column: Column) -> Head:
    key = column.key
    if not column.sort:
        return Head(column, "", "", "")
    if query.sort == key:
        return Head(column, query.encode(sort=f"-{key}"), "ascending", "arrow-up")
    if query.sort == f"-{key}":
        return Head(column, query.encode(sort=key), "descending", "arrow-down")
    return Head(column, query.encode(sort=f"-{key}" if column.newest_first else key), "none", "")
