"""The bell: what happened to the services of a person's workspaces while they were elsewhere (console.md §4)."""

from __future__ import annotations

from datetime import timedelta

from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from console.access import SignedInRequest, is_scripted, signed_in
from deployments.chronicle import Notice
from deployments.models import Service
from deployments.notices import unread_count

A_PAGE = 50
IN_THE_BELL = 8
#: What is newer is said aloud where a page is open: it has happened just now.
SAID_WITHIN = timedelta(seconds=30)


@require_safe
@signed_in
def notices(request: SignedInRequest) -> HttpResponse:
    """All of them, newest first, thirty days back."""
    page = Paginator(request.user.notices.all(), A_PAGE).get_page(request.GET.get("page"))
    context = {"section": "notices", "page": page, "there": names_there(request, list(page))}
    return render(request, "console/notices.html", context)


@require_safe
@signed_in
def bell(request: SignedInRequest) -> HttpResponse:
    """The newest, and how many are unread: what the bell unfolds."""
    return render(request, "console/parts/bell.html", bell_of(request))


@require_POST
@signed_in
def read(request: SignedInRequest) -> HttpResponse:
    """Mark as read: one by its ``id``, those of the ``service`` whose page is open, else all."""
    rows = request.user.notices.filter(read_at__isnull=True)
    number, service = request.POST.get("id", ""), request.POST.get("service", "")
    if number:
        rows = rows.filter(pk=int(number)) if number.isdecimal() and len(number) < 19 else rows.none()
    elif service:
        rows = rows.filter(service_name=service.replace("\0", ""))
    rows.update(read_at=timezone.now())
    if is_scripted(request) or "X-Slipway-Bell" in request.headers:
        return render(request, "console/parts/bell.html", bell_of(request))
    return HttpResponseRedirect("/notices")


def bell_of(request: SignedInRequest) -> dict[str, object]:
    newest = list(request.user.notices.all()[:IN_THE_BELL])
    is_fresh = bool(newest) and timezone.now() - newest[0].created_at < SAID_WITHIN
    return {
        "newest": newest,
        "is_fresh": is_fresh,
        "unread": unread_count(request.user),
        "there": names_there(request, newest),
    }


def names_there(request: SignedInRequest, rows: list[Notice]) -> set[str]:
    """The services that can still be gone to."""
    names = {row.service_name for row in rows}
    found = Service.objects.visible_to(request.user).filter(name__in=names)
    return set(found.order_by().values_list("name", flat=True))
