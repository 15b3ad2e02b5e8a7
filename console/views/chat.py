"""The web chat's page, and what its list of conversations does. Talking goes over ``/ws/chat/<service>``."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from console.access import SignedInRequest, get_service, signed_in
from console.chat_page import (
    TURNS_A_PAGE,
    find_conversation,
    find_defaults,
    list_conversations,
    list_parameters,
    show_turns,
    starters,
    words,
)
from deployments.models import Service
from inference_gateway.history import storable
from inference_gateway.models import Conversation
from inference_gateway.webchat.state import describe
from inference_gateway.webchat.turns import load_dialogue, stop_turns

#: How long **Undo** brings a conversation back.
BIN = timedelta(days=30)
LONGEST_TITLE = 200


@require_safe
@signed_in
def chat(request: SignedInRequest, name: str, conversation: UUID | None = None) -> HttpResponse:
    """A conversation, or a new one. ``?turn=`` chooses a branch, ``?earlier=`` how many more turns to show."""
    service = get_service(request, name)
    row = find_conversation(request.user, service, conversation) if conversation is not None else None
    if conversation is not None and row is None:
        raise Http404("no such conversation")
    turns = load_dialogue(row.pk) if row is not None else []
    shown = show_turns(turns, read_number(request, "turn"))
    most = TURNS_A_PAGE * (1 + (read_number(request, "earlier") or 0))
    defaults, system_prompt = find_defaults(service)
    days, older = list_conversations(request.user, service)
    context: dict[str, Any] = {
        "section": "services",
        "service": service,
        "name": service.name,
        "conversation": row,
        "days": days,
        "older": older,
        "turns": shown[-most:],
        "earlier": most // TURNS_A_PAGE if len(shown) > most else None,
        "latest": max((turn.number for turn in turns), default=0),
        "state": describe(service.name, service.status, service.message),
        "parameters": list_parameters(defaults, row.parameters if row is not None else {}),
        "default_system_prompt": system_prompt,
        "starters": starters(),
        "words": words(),
    }
    return render(request, "console/chat.html", context)


@require_safe
@signed_in
def conversations(request: SignedInRequest, name: str) -> HttpResponse:
    """The list alone, as HTML or, for who asks for it, as JSON; ``?before=`` goes on where a page ended."""
    service = get_service(request, name)
    days, older = list_conversations(request.user, service, request.GET.get("before"))
    if request.accepts("text/html"):
        context = {"service": service, "name": service.name, "days": days, "older": older}
        context["current"] = request.GET.get("current", "")
        return render(request, "console/parts/conversations.html", context)
    rows = [conversation_as_json(row) for day in days for row in day.conversations]
    return JsonResponse({"conversations": rows, "before": older})


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
def delete(request: SignedInRequest, name: str, conversation: UUID) -> HttpResponse:
    """Into the bin; an answer under way is stopped. Twice is fine."""
    changed = change_deleted(request, get_service(request, name), conversation, is_deleted=True)
    stop_turns(conversation)
    return changed


@require_POST
@signed_in
def undelete(request: SignedInRequest, name: str, conversation: UUID) -> HttpResponse:
    """Out of the bin again. Twice is fine."""
    return change_deleted(request, get_service(request, name), conversation, is_deleted=False)


def change_deleted(request: SignedInRequest, service: Service, conversation: UUID, *, is_deleted: bool) -> JsonResponse:
    now = timezone.now()
    own = Conversation.objects.filter(
        pk=conversation, owner=request.user, service_name=service.name, workspace_id=service.workspace_id
    ).exclude(deleted_at__lt=now - BIN)
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
