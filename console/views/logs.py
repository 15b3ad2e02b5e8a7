"""A service's logs: the last lines of one instance, those that ended too, a tail, search, download."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from console.access import SignedInRequest, get_service, signed_in
from console.service_view import page_of
from deployments.accounts import require_change
from deployments.clusters import get_cluster
from deployments.clusters.base import ClusterError, LogPage, LogQuery
from deployments.models import Service

LINES = 1000
MAX_KEYWORD = 200
#: Terminal colours and movements (ECMA-48 CSI and OSC sequences), and what a terminal would not print.
ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f]")


@require_safe
@signed_in
def logs(request: SignedInRequest, name: str) -> HttpResponse:
    """The viewer, with the last thousand lines in the HTML."""
    service = get_service(request, name)
    require_change(request.user, service.workspace, service.name)
    context = page_of(request.user, service, "logs")
    kept = list(get_cluster().list_logs(service.uid))
    alive = {instance.name for instance in context["instances"]}
    chosen = choose_instance(request.GET.get("instance", ""), kept, context)
    page = LogPage((), 0, 0)
    problem = ""
    if chosen:
        try:
            page = get_cluster().read_log(service.uid, log_query(request, chosen))
        except ClusterError as error:
            problem = f"{error.message} {error.cure}".strip()
    context |= {
        "kept": [{"name": one, "is_alive": one in alive} for one in kept],
        "chosen": chosen,
        "keyword": request.GET.get("q", "")[:MAX_KEYWORD],
        "previous": request.GET.get("previous") == "1",
        "lines": clean(page),
        "log": page,
        "problem": problem,
    }
    return render(request, "console/service/logs.html", context)


@require_safe
@signed_in
def log_lines(request: SignedInRequest, name: str) -> JsonResponse:
    """More lines as JSON: from ``first`` on, or the last ``limit``; ``next`` continues the tail."""
    service = get_service(request, name)
    require_change(request.user, service.workspace, service.name)
    instance = request.GET.get("instance", "")
    try:
        page = get_cluster().read_log(service.uid, log_query(request, instance))
    except ClusterError as error:
        return JsonResponse({"error": f"{error.message} {error.cure}".strip()}, status=502)
    return JsonResponse({"lines": clean(page), "next": page.next_line, "total": page.total})


@require_safe
@signed_in
def log_download(request: SignedInRequest, name: str) -> HttpResponseBase:
    """One instance's whole log as a text file."""
    service = get_service(request, name)
    require_change(request.user, service.workspace, service.name)
    instance = request.GET.get("instance", "")
    if instance not in get_cluster().list_logs(service.uid):
        return HttpResponse("No log of that instance is kept.\n", status=404, content_type="text/plain; charset=utf-8")
    response = StreamingHttpResponse(
        whole_log(service, instance, previous=request.GET.get("previous") == "1"),
        content_type="text/plain; charset=utf-8",
    )
    response["Content-Disposition"] = f'attachment; filename="{re.sub(r"[^A-Za-z0-9._-]", "_", instance)}.log"'
    return response


async def whole_log(service: Service, instance: str, *, previous: bool) -> AsyncIterator[bytes]:
    """Page after page, so that a large log never lies in memory."""
    cluster, first = get_cluster(), 0
    while True:
        query = LogQuery(instance, first_line=first, limit=LINES, previous=previous)
        page = await sync_to_async(cluster.read_log)(service.uid, query)
        if page.lines:
            yield "".join(f"{text}\n" for _, text in page.lines).encode(errors="replace")
        if not page.lines or page.next_line <= first:
            return
        first = page.next_line


def choose_instance(wanted: str, kept: list[str], context: dict[str, Any]) -> str:
    """The one asked for; else the newest that is not ready, else the newest."""
    if wanted in kept:
        return wanted
    failing = [one.name for one in context["instances"] if one.ready_at is None and one.name in kept]
    return failing[0] if failing else (kept[0] if kept else "")


def log_query(request: SignedInRequest, instance: str) -> LogQuery:
    first, limit = request.GET.get("first", ""), request.GET.get("limit", "")
    return LogQuery(
        instance=instance,
        first_line=int(first) if first.isdecimal() and len(first) < 16 else None,
        limit=min(int(limit), LINES) if limit.isdecimal() and 0 < len(limit) < 6 else LINES,
        keyword=request.GET.get("q", "").strip()[:MAX_KEYWORD],
        previous=request.GET.get("previous") == "1",
    )


def clean(page: LogPage) -> list[tuple[int, str]]:
    """The lines without what only a terminal understands, numbered from 1 as editors do."""
    return [(number + 1, ESCAPES.sub("", text)) for number, text in page.lines]
