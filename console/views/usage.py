"""Usage: what services were used for, as a chart, as tables and as CSV."""

from __future__ import annotations

import csv
import io
from urllib.parse import urlencode

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from console import usage
from console.access import SignedInRequest, signed_in
from deployments.accounts import workspaces_of
from deployments.members import find_workspace
from deployments.models import Workspace


@require_safe
@signed_in
def usage_page(request: SignedInRequest) -> HttpResponse:
    """The chart, and who or what it was."""
    kept, dimension, workspace = read_query(request)
    now = timezone.now()
    rows = usage.visible_usage(request.user, workspace)
    bars = usage.sum_over_time(rows, kept, now)
    total = usage.total_of(bars)
    found = usage.sum_by(rows, dimension, kept, now) if total.requests else []
    most = max((one.tokens for one in found), default=0) or 1
    context = {
        "section": "usage",
        "current_workspace": workspace,
        "workspace": workspace,
        "workspaces": workspaces_of(request.user),
        "kept": kept,
        "ranges": list(usage.RANGE_WORDS.items()),
        "dimension": dimension,
        "dimension_word": usage.DIMENSIONS[dimension],
        "dimensions": list(usage.DIMENSIONS.items()),
        "bars": bars,
        "drawn": usage.draw(bars),
        "most": max(bar.tokens for bar in bars),
        "total": total,
        "found": [(one, round(1000 * one.tokens / most)) for one in found],
        "has_hours": kept != "30d",
        "csv_query": urlencode({"range": kept, "workspace": workspace.slug if workspace else ""}),
    }
    return render(request, "console/usage.html", context)


@require_safe
@signed_in
def usage_csv(request: SignedInRequest) -> HttpResponse:
    """The same as CSV, hour by hour."""
    kept, _dimension, workspace = read_query(request)
    text = io.StringIO()
    csv.writer(text).writerows(usage.csv_rows(usage.visible_usage(request.user, workspace), kept, timezone.now()))
    name = f"usage-{workspace.slug}-{kept}.csv" if workspace else f"usage-{kept}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8", headers=headers)


def read_query(request: SignedInRequest) -> tuple[str, str, Workspace | None]:
    """Range, dimension and workspace. Raises ``Http404`` for a workspace of others."""
    kept, dimension = request.GET.get("range", ""), request.GET.get("by", "")
    slug = request.GET.get("workspace", "")
    workspace = find_workspace(request.user, slug) if slug else None
    if slug and workspace is None:
        raise Http404("no such workspace")
    return (
        kept if kept in usage.RANGES else "24h",
        dimension if dimension in usage.DIMENSIONS else "service",
        workspace,
    )
