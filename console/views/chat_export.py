"""A conversation downloaded (console.md §6 "Conversations")."""

from __future__ import annotations

import json
from uuid import UUID

from django.http import Http404, HttpResponse
from django.utils.http import content_disposition_header
from django.utils.text import get_valid_filename
from django.views.decorators.http import require_safe

from console.access import SignedInRequest, get_service, signed_in
from console.chat_page import find_conversation
from console.views.chat import read_number
from inference_gateway.export import export_json, export_markdown
from inference_gateway.webchat.turns import load_dialogue, path_to

LONGEST_FILE_NAME = 60


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
