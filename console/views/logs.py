"""A service's logs (console.md §4, Log viewer): lines of one instance, also of one that ended; search; download.

The page holds the last thousand lines and reads without scripts. With them ``logs.js`` fetches lines by their number
and asks here where something is found, so neither the page nor this process ever holds a whole log.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence

from asgiref.sync import sync_to_async
from django.http import HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from console.access import SignedInRequest, get_service, signed_in
from console.badges import step_of
from console.log_text import Line, line_of
from console.service_view import page_of
from deployments.accounts import require_change
from deployments.clusters import get_cluster
from deployments.clusters.base import ClusterError, LogPage, LogQuery, instance_of
from deployments.models import Instance, Service, Status
from deployments.terminal_text import plain_text

LINES = 1000
MAX_KEYWORD = 200
#: Of one answer. A line has at most 16,384 characters, and a thousand of those are no page.
MOST_CHARACTERS = 1_000_000
#: How many matches on either side of a line one answer numbers.
MATCHES = 1000


@require_safe
@signed_in
def logs(request: SignedInRequest, name: str) -> HttpResponse:
    """The viewer, with the last thousand lines in the HTML, or those from ``first`` on."""
    service = get_service(request, name)
    require_change(request.user, service.workspace, service.name)
    context = page_of(request.user, service, "logs")
    kept = get_cluster().list_logs(service.uid)
    chosen = choose_instance(request.GET.get("instance", ""), kept, context["instances"])
    page, problem = LogPage((), 0, 0), ""
    if chosen:
        try:
            page = get_cluster().read_log(service.uid, log_query(request, chosen))
        except ClusterError as error:
            problem = f"{error.message} {error.cure}".strip()
    lines = shown(page)
    before = lines[0].number - 1 - LINES if lines and lines[0].number - 1 > page.begin else None
    context |= {
        "kept": kept_logs(kept, context["instances"]),
        "chosen": chosen,
        "keyword": keyword_of(request),
        "previous": is_previous(request),
        "lines": lines,
        "log": page,
        "problem": problem,
        "waiting": "" if lines else waiting_words(service, has_log=bool(chosen)),
        "older": None if before is None or keyword_of(request) else max(page.begin, before),
    }
    return render(request, "console/service/logs.html", context)


@require_safe
@signed_in
def log_lines(request: SignedInRequest, name: str) -> JsonResponse:
    """Lines as JSON: those from ``first`` on, or the last ``limit``; and what else may have changed meanwhile.

    Each line is ``[number, instant, text]``, where a text with colours is a list of ``[characters, class names]``.
    ``begin`` and ``end`` bound the lines that are kept. Without ``instance`` the server chooses one.
    """
    service = get_service(request, name)
    require_change(request.user, service.workspace, service.name)
    instances = list(service.instances.all())
    kept = get_cluster().list_logs(service.uid)
    instance = request.GET.get("instance", "") or choose_instance("", kept, instances)
    try:
        page = get_cluster().read_log(service.uid, log_query(request, instance, keyword=""))
    except ClusterError as error:
        return JsonResponse({"error": f"{error.message} {error.cure}".strip()}, status=502)
    return JsonResponse(
        {
            "instance": instance,
            "kept": [[one["name"], one["is_alive"]] for one in kept_logs(kept, instances)],
            "lines": [line.as_json() for line in shown(page)],
            "next": page.next_line,
            "begin": page.begin,
            "end": page.end,
            "waiting": "" if page.end > page.begin else waiting_words(service, has_log=bool(instance)),
        }
    )


@require_safe
@signed_in
def log_search(request: SignedInRequest, name: str) -> JsonResponse:
    """How many lines of the whole log hold ``q``, and the numbers of those around the line ``at``.

    ``before`` matches come before the first of ``numbers``.
    """
    service = get_service(request, name)
    require_change(request.user, service.workspace, service.name)
    at = request.GET.get("at", "")
    query = LogQuery(
        instance=request.GET.get("instance", ""),
        first_line=int(at) - 1 if at.isdecimal() and 0 < len(at) < 16 else None,
        limit=MATCHES,
        keyword=keyword_of(request),
        previous=is_previous(request),
    )
    try:
        found = get_cluster().search_log(service.uid, query)
    except ClusterError as error:
        return JsonResponse({"error": f"{error.message} {error.cure}".strip()}, status=502)
    numbers = [number + 1 for number in found.numbers]
    return JsonResponse({"total": found.total, "before": found.before, "numbers": numbers})


@require_safe
@signed_in
def log_download(request: SignedInRequest, name: str) -> HttpResponseBase:
    """One instance's whole log as a text file."""
    service = get_service(request, name)
    require_change(request.user, service.workspace, service.name)
    instance = request.GET.get("instance", "")
    if instance not in get_cluster().list_logs(service.uid):
        words = _("No log of that instance is kept.")
        return HttpResponse(f"{words}\n", status=404, content_type="text/plain; charset=utf-8")
    response = StreamingHttpResponse(
        whole_log(service, instance, previous=is_previous(request)),
        content_type="text/plain; charset=utf-8",
    )
    response["Content-Disposition"] = f'attachment; filename="{re.sub(r"[^A-Za-z0-9._-]", "_", instance)}.log"'
    return response


async def whole_log(service: Service, instance: str, *, previous: bool) -> AsyncIterator[bytes]:
    """Page after page, so that a large log never lies in memory. It ends where the log ended when it began."""
    cluster = get_cluster()
    bounds = await sync_to_async(cluster.read_log)(service.uid, LogQuery(instance, limit=0, previous=previous))
    first = bounds.begin
    while first < bounds.end:
        query = LogQuery(instance, first, LINES, previous=previous, most_characters=MOST_CHARACTERS)
        page = await sync_to_async(cluster.read_log)(service.uid, query)
        if not page.lines or page.next_line <= first:
            return
        yield "".join(f"{plain_text(text)}\n" for _, text in page.lines).encode(errors="replace")
        first = page.next_line


def choose_instance(wanted: str, kept: Sequence[str], instances: Sequence[Instance]) -> str:
    """The one asked for; else the newest that is not ready, else the newest."""
    if wanted in kept:
        return wanted
    unready = {one.name for one in instances if one.ready_at is None}
    return next((name for name in kept if name in unready), kept[0] if kept else "")


def kept_logs(kept: Sequence[str], instances: Sequence[Instance]) -> list[dict[str, str | bool]]:
    alive = {instance.name for instance in instances}
    return [{"name": name, "is_alive": instance_of(name) in alive} for name in kept]


def waiting_words(service: Service, *, has_log: bool) -> str:
    """Why there is no line."""
    if has_log:
        return _("No line yet.")
    if service.status == Status.STOPPED:
        return _("No instance has run yet. Start or scale the service, and its log appears here.")
    return _("Not started: %(step)s") % {"step": step_of(service) or _("waiting for a worker.")}


def keyword_of(request: SignedInRequest) -> str:
    return request.GET.get("q", "").replace("\0", "").strip()[:MAX_KEYWORD]


def is_previous(request: SignedInRequest) -> bool:
    return request.GET.get("previous") == "1"


def log_query(request: SignedInRequest, instance: str, keyword: str | None = None) -> LogQuery:
    first, limit = request.GET.get("first", ""), request.GET.get("limit", "")
    return LogQuery(
        instance=instance,
        first_line=int(first) if first.isdecimal() and len(first) < 16 else None,
        limit=min(int(limit), LINES) if limit.isdecimal() and 0 < len(limit) < 6 else LINES,
        keyword=keyword_of(request) if keyword is None else keyword,
        previous=is_previous(request),
        most_characters=MOST_CHARACTERS,
    )


def shown(page: LogPage) -> list[Line]:
    return [line_of(number, text) for number, text in page.lines]
