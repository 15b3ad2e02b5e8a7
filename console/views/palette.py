"""The palette's answers, a fragment of HTML for each thing typed."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from console.access import SignedInRequest, signed_in
from console.palette import find_entries

LONGEST_QUERY = 100


@require_safe
@signed_in
def palette(request: SignedInRequest) -> HttpResponse:
    """The options for ``?q=``; without it, what was changed last and the pages."""
    query = request.GET.get("q", "").replace("\0", "").strip()[:LONGEST_QUERY]
    context = {"entries": find_entries(request.user, query), "query": query}
    return render(request, "console/parts/palette_options.html", context)
