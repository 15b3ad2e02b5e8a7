"""A service's pages that only read: Overview and Events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.core.serializers.json import DjangoJSONEncoder
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from console.access import SignedInRequest, get_service, signed_in
from console.failure_card import card_of, find_card
from console.service_view import document_text, is_ready, page_of
from console.start_timeline import Timeline, scheduled_only, timelines_of
from deployments.accounts import require_change
from deployments.clusters.kubernetes.event_lines import event_lines
from deployments.models import ClusterView, Instance, Service, ServiceEvent, Status
from deployments.status_words import exit_word, phase_word
from deployments.words import in_digits, number

EVENTS_A_PAGE = 50
RAW_EVENTS = 1000
RECENT_EVENTS = 6
#: Where a person waits for an instance to answer.
STARTS = (Status.CREATING, Status.WAITING, Status.STARTING, Status.UPDATING, Status.SCALING)
PHASE_LOOKS = {"BackOff": ("octagon-x", "bad"), "Failed": ("octagon-x", "bad"), "Stopping": ("square", "idle")}


@require_safe
@signed_in
def overview(request: SignedInRequest, name: str) -> HttpResponse:
    """Is it well? Cause and cure first where it is not."""
    service = get_service(request, name)
    context = page_of(request.user, service, "overview")
    row = context["row"]
    events = list(service.events.all()[:RECENT_EVENTS])
    context |= {
        "failure": find_card(service, events),
        "starting": starting_of(service, context["instances"], context["now"]),
        "events": events,
        "instance_rows": [instance_row(one) for one in context["instances"]],
        "has_cluster_events": settings.SLIPWAY_CLUSTER == "kubernetes",
        "has_nodes": any(one.node for one in context["instances"]),
        "has_gpus": any(one.gpus for one in context["instances"]),
        "document": document_text(service.document) if row.may_change else "",
        "command": command_of(service),
        "facts": facts_of(service),
    }
    return render(request, "console/service/overview.html", context)


@require_safe
@signed_in
def events(request: SignedInRequest, name: str) -> HttpResponse:
    """What happened, newest first; ``?type=Warning`` filters."""
    service = get_service(request, name)
    rows = service.events.all()
    only_warnings = request.GET.get("type") == ServiceEvent.Type.WARNING
    if only_warnings:
        rows = rows.filter(type=ServiceEvent.Type.WARNING)
    context = page_of(request.user, service, "events")
    page = Paginator(rows, EVENTS_A_PAGE).get_page(request.GET.get("page"))
    is_first = page.number == 1
    context |= {
        "page": page,
        "told": [(event, card_of(service, event) if event.cause or event.cure else None) for event in page],
        "timelines": timelines_of(service, context["instances"], context["now"]) if is_first else [],
        "only_warnings": only_warnings,
        "has_cluster_events": settings.SLIPWAY_CLUSTER == "kubernetes",
        "query_string": "type=Warning" if only_warnings else "",
    }
    return render(request, "console/service/events.html", context)


@require_safe
@signed_in
def events_raw(request: SignedInRequest, name: str) -> HttpResponse:
    """The newest events as JSON lines, every field as it is stored."""
    service = get_service(request, name)
    require_change(request.user, service.workspace, service.name)
    columns = (
        "created_at", "type", "code", "cause", "message", "cure", "fix", "times", "last_seen_at", "instance",
        "revision_number", "log_tail",
    )  # fmt: skip
    rows = service.events.all()
    if request.GET.get("type") == ServiceEvent.Type.WARNING:
        rows = rows.filter(type=ServiceEvent.Type.WARNING)
    newest = rows.values(*columns)[:RAW_EVENTS]
    lines = [json.dumps(row, cls=DjangoJSONEncoder, ensure_ascii=False) for row in newest]
    return HttpResponse("\n".join(lines), content_type="text/plain; charset=utf-8")


@require_safe
@signed_in
def events_of_cluster(request: SignedInRequest, name: str) -> HttpResponse:
    """Kubernetes' own events about the service's objects, a line each, the newest first, as kubectl would list them;
    of one instance with ``?instance=``. They are kept after the objects are gone.
    """
    service = get_service(request, name)
    require_change(request.user, service.workspace, service.name)
    row = ClusterView.objects.filter(service_uid=service.uid).only("events").first()
    lines = event_lines(row.events if row is not None else (), request.GET.get("instance", ""))
    text = "\n".join(lines) or _("Kubernetes has told of nothing yet.")
    return HttpResponse(text, content_type="text/plain; charset=utf-8")


def instance_row(instance: Instance) -> dict[str, Any]:
    """One line of the instances table, with how long each part of its start took."""
    ready = is_ready(instance)
    icon, tone = ("circle-check", "ok") if ready else PHASE_LOOKS.get(instance.phase, ("loader", "accent"))
    phase = "Ready" if ready else "Starting" if instance.phase == "Running" else instance.phase
    return {
        "instance": instance,
        "phase": phase,
        "phase_word": phase_word(phase),
        "exit_word": exit_word(instance.last_exit_reason),
        "tone": tone,
        "icon": icon,
        "ready_seconds": seconds_between(instance.started_at, instance.ready_at),
        "waiting_since": None if ready or instance.phase == "Stopping" else instance.stage_since or instance.created_at,
    }


def starting_of(service: Service, instances: Sequence[Instance], now: datetime) -> Timeline | None:
    """What a person waits for: the newest instance that is on its way, None where nothing is."""
    if service.status not in STARTS:
        return None
    if not instances and service.status in (Status.CREATING, Status.STARTING):
        return scheduled_only(service, now)
    waiting = [one for one in timelines_of(service, instances, now) if one.is_there and one.current is not None]
    return waiting[0] if waiting else None


def seconds_between(first: datetime | None, second: datetime | None) -> float | None:
    if first is None or second is None or second < first:
        return None
    return (second - first).total_seconds()


def command_of(service: Service) -> str:
    """The first container's command line."""
    containers = service.document.get("containers") or [{}]
    command = containers[0].get("script") or containers[0].get("command") or ""
    return " ".join(map(str, command)) if isinstance(command, list) else str(command)


def facts_of(service: Service) -> dict[str, Any]:
    """Numbers of the wanted document."""
    if service.wanted_revision is None:
        raise Http404
    document = service.document
    metadata, containers = document["metadata"], document.get("containers") or [{}]
    return {
        "image": containers[0].get("image", ""),
        "cpu": in_digits(f"{metadata['cpu']:g}") if metadata.get("cpu") else "",
        "memory_gib": in_digits(f"{metadata['memory'] / 1024:.4g}") if metadata.get("memory") else "",
        "gpu": number(metadata["gpu"]) if metadata.get("gpu") else "",
    }
