"""The web chat's page, and what its list of conversations does. Talking goes over ``/ws/chat/<service>``."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from console.access import SignedInRequest, get_service, signed_in
from console.chat_list import MOST_PINNED, list_conversations, parse_instant, pin
from console.chat_page import (
    Wanted,
    Window,
    context_words,
    find_context,
    find_conversation,
    find_defaults,
    list_parameters,
    parameters_of_branch,
    show_turns,
    used_context,
)
from console.chat_words import starters, words
from deployments.models import Service
from deployments.words import number
from inference_gateway.history import storable
from inference_gateway.models import Conversation
from inference_gateway.webchat.bin import KEPT, MOST_LISTED, binned_conversations
from inference_gateway.webchat.continuing import CONTINUING
from inference_gateway.webchat.search import search
from inference_gateway.webchat.state import describe
from inference_gateway.webchat.turns import stop_turns

LONGEST_TITLE = 200
NO_TURNS = Window([], has_earlier=False, has_later=False, leaf=0, latest=0)


@require_safe
@signed_in
def chat(request: SignedInRequest, name: str, conversation: UUID | None = None) -> HttpResponse:
    """A conversation, or a new one. ``?turn=`` chooses a branch, ``?before=`` and ``?after=`` another part of it."""
    service = get_service(request, name)
    wanted = request.GET.get("q", "").strip()
    listed = list_conversations(request.user, service, current=conversation)
    row = listed.current
    if conversation is not None and row is None:
        raise Http404("no such conversation")
    window = show_turns(row.pk, read_wanted(request)) if row is not None else NO_TURNS
    values, own_prompt = parameters_of_branch(row, window) if row is not None else ({}, "")
    defaults, system_prompt = find_defaults(service)
    shown: dict[str, Any] = {
        "section": "services",
        "service": service,
        "name": service.name,
        "conversation": row,
        "listed": listed,
        "wanted": wanted,
        "findings": search(request.user, service, wanted) if wanted else None,
        "window": window,
        "state": describe(service.name, service.status, service.sentence),
        "parameters": list_parameters(defaults, values),
        "own_system_prompt": own_prompt,
        "continues": engine_of_service(service) in CONTINUING,
        "context": (context := find_context(service)),
        "context_used": (used := used_context(window)),
        "context_words": context_words(used, context),
        "default_system_prompt": system_prompt,
        "starters": starters(),
        "words": words(),
    }
    return render(request, "console/chat.html", shown)


@require_safe
@signed_in
def conversations(request: SignedInRequest, name: str) -> HttpResponse:
    """The list alone, as HTML or, for who asks for it, as JSON; ``?before=`` goes on where a page ended."""
    service = get_service(request, name)
    if wanted := request.GET.get("q", "").strip():
        return show_findings(request, service, wanted)
    listed = list_conversations(request.user, service, request.GET.get("before"))
    if request.accepts("text/html"):
        context: dict[str, Any] = {"service": service, "name": service.name, "listed": listed}
        context["current"] = request.GET.get("current", "")
        return render(request, "console/parts/conversations.html", context)
    rows = [conversation_as_json(row) for row in listed.conversations]
    return JsonResponse({"conversations": rows, "before": listed.before})


def show_findings(request: SignedInRequest, service: Service, wanted: str) -> HttpResponse:
    """What a search found, as the list of conversations is shown."""
    findings = search(request.user, service, wanted, parse_instant(request.GET.get("before", "")))
    if request.accepts("text/html"):
        context = {"name": service.name, "findings": findings, "wanted": wanted}
        return render(request, "console/parts/findings.html", context)
    rows = [conversation_as_json(one.conversation) | {"turn": one.turn} for one in findings.found]
    return JsonResponse({"conversations": rows, "before": findings.before})


@require_safe
@signed_in
def bin_list(request: SignedInRequest, name: str) -> HttpResponse:
    """Deleted conversations, to be brought back."""
    service = get_service(request, name)
    rows = list(binned_conversations(request.user, service)[:MOST_LISTED])
    context = {"section": "services", "service": service, "name": service.name, "days": KEPT.days, "rows": rows}
    return render(request, "console/chat_bin.html", context)


@require_safe
@signed_in
def turns(request: SignedInRequest, name: str, conversation: UUID) -> HttpResponse:
    """Part of a conversation as HTML: of the branch through ``?turn=``, the turns ``?before=`` or ``?after=`` one."""
    service = get_service(request, name)
    row = find_conversation(request.user, service, conversation)
    if row is None:
        raise Http404("no such conversation")
    context = {"name": name, "window": show_turns(row.pk, read_wanted(request)), "words": words()}
    context["continues"] = engine_of_service(service) in CONTINUING
    return render(request, "console/parts/turns.html", context)


@require_POST
@signed_in
def rename(request: SignedInRequest, name: str, conversation: UUID) -> HttpResponse:
    """Another title: ``{"title": …}``."""
    service = get_service(request, name)
    row = find_conversation(request.user, service, conversation)
    if row is None:
        raise Http404("no such conversation")
    title = read_title(request.body)
    if not title:
        return JsonResponse({"code": "invalid_title", "message": _("Give a title of 1 to 200 letters.")}, status=422)
    # Renaming is no news: the list stays in its order.
    Conversation.objects.filter(pk=row.pk).update(title=title)
    row.title = title
    return JsonResponse(conversation_as_json(row))


@require_POST
@signed_in
def pinned(request: SignedInRequest, name: str, conversation: UUID, *, is_pinned: bool) -> HttpResponse:
    """At the top of the list, or no longer there. Twice is fine."""
    row = find_conversation(request.user, get_service(request, name), conversation)
    if row is None:
        raise Http404("no such conversation")
    if not pin(row, is_pinned=is_pinned):
        told = _("%(most)s conversations are pinned already. Unpin one first.") % {"most": number(MOST_PINNED)}
        return JsonResponse({"code": "too_many_pinned", "message": told}, status=409)
    return JsonResponse(conversation_as_json(row))


@require_POST
@signed_in
def delete(request: SignedInRequest, name: str, conversation: UUID) -> HttpResponse:
    """Into the bin; an answer under way is stopped. Twice is fine."""
    changed = change_deleted(request, get_service(request, name), conversation, is_deleted=True)
    stop_turns(conversation)
    return changed


@require_POST
@signed_in
def undelete(request: SignedInRequest, name: str, conversation: UUID) -> HttpResponse:
    """Out of the bin again, and for a form there at once. Twice is fine."""
    changed = change_deleted(request, get_service(request, name), conversation, is_deleted=False)
    if request.content_type == "application/x-www-form-urlencoded":
        return redirect("chat-conversation", name=name, conversation=conversation)
    return changed


def change_deleted(request: SignedInRequest, service: Service, conversation: UUID, *, is_deleted: bool) -> JsonResponse:
    now = timezone.now()
    own = Conversation.objects.filter(
        pk=conversation, owner=request.user, service_name=service.name, workspace_id=service.workspace_id
    ).exclude(deleted_at__lt=now - KEPT)
    row = own.first()
    if row is None:
        raise Http404("no such conversation")
    if is_deleted != (row.deleted_at is not None):
        row.deleted_at = now if is_deleted else None
        own.update(deleted_at=row.deleted_at)
    return JsonResponse(conversation_as_json(row))


def conversation_as_json(row: Conversation) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "title": row.title,
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
        "pinned_at": row.pinned_at.isoformat() if row.pinned_at else None,
        "deleted_at": row.deleted_at.isoformat() if row.deleted_at else None,
    }


def read_title(body: bytes) -> str:
    """The title of a rename, empty where there is no good one."""
    try:
        given = json.loads(body)
    except ValueError:
        return ""
    title = given.get("title") if isinstance(given, dict) else None
    clean = " ".join(storable(title).split()) if isinstance(title, str) else ""
    return clean if len(clean) <= LONGEST_TITLE else ""


def read_number(request: SignedInRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 9 else None


def read_wanted(request: SignedInRequest) -> Wanted:
    return Wanted(*(read_number(request, name) for name in ("turn", "before", "after")))


def engine_of_service(service: Service) -> str | None:
    spec = service.find_spec()
    return spec.engine if spec is not None else None
