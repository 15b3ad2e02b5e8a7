"""Conversations as files, downloaded and brought back (console.md §6 "Conversations")."""

from __future__ import annotations

import json
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import content_disposition_header
from django.utils.text import get_valid_filename
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from console.access import SignedInRequest, get_service, signed_in
from console.chat_page import find_conversation
from console.views.chat import read_number
from inference_gateway.export import export_json, export_markdown
from inference_gateway.importing import LARGEST_FILE_BYTES, ImportRefused, parse_export, save_import
from inference_gateway.webchat.turns import load_dialogue, path_to

LONGEST_FILE_NAME = 60
MOST_ERRORS = 10


@require_safe
@signed_in
def export(request: SignedInRequest, name: str, conversation: UUID, kind: str) -> HttpResponse:
    """``json``: all branches. ``md``: the branch through ``?turn=``, the newest without one."""
    row = find_conversation(request.user, get_service(request, name), conversation)
    if row is None:
        raise Http404("no such conversation")
    turns = load_dialogue(row.pk)
    if kind == "json":
        text = json.dumps(export_json(row, turns), ensure_ascii=False, indent=1) + "\n"
        content_type = "application/json"
    else:
        text = export_markdown(row, path_to(turns, read_number(request, "turn")))
        content_type = "text/markdown; charset=utf-8"
    stem = get_valid_filename(f"{name} {row.title or row.pk}")[:LONGEST_FILE_NAME].rstrip(".")
    answer = HttpResponse(text.encode(errors="replace"), content_type=content_type)
    answer.headers["Content-Disposition"] = content_disposition_header(True, f"{stem}.{kind}")
    return answer


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def import_file(request: SignedInRequest, name: str) -> HttpResponse:
    """The form, and the conversation that its file holds: a new one each time."""
    service = get_service(request, name)
    errors: tuple[str, ...] = ()
    if request.method == "POST":
        given = request.FILES.get("file")
        try:
            if given is None:
                raise ImportRefused(_("No file was chosen. Choose one that Export as JSON wrote."))
            row = save_import(request.user, service, parse_export(given.read(LARGEST_FILE_BYTES + 1)))
        except ImportRefused as refusal:
            errors = refusal.sentences[:MOST_ERRORS]
        else:
            return redirect("chat-conversation", name=service.name, conversation=row.pk)
    context = {"section": "services", "service": service, "name": service.name, "errors": errors}
    return render(request, "console/chat_import.html", context, status=422 if errors else 200)
