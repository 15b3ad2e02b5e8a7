"""System prompts that a person keeps under a name: listed, saved, renamed, deleted, as JSON for the page's script."""

from __future__ import annotations

import json
from typing import Any

from django.db import IntegrityError, transaction
from django.http import Http404, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from console.access import SignedInRequest, signed_in
from deployments.words import number
from inference_gateway.history import storable
from inference_gateway.models import PRESET_NAME_LENGTH, PromptPreset

MOST_PRESETS = 100
LONGEST_TEXT = 100_000


class PresetRefused(Exception):
    """What was sent cannot be kept: the status, a stable code, a sentence with the cure."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def presets(request: SignedInRequest) -> HttpResponse:
    """All of a person's own; POST ``{"name", "text"}`` keeps one more."""
    own = PromptPreset.objects.filter(owner=request.user)
    if request.method != "POST":
        return JsonResponse({"presets": [preset_as_json(row) for row in own]})
    try:
        fields = read_preset(request.body, {"name", "text"})
        with transaction.atomic():
            if own.count() >= MOST_PRESETS:
                told = _("You keep %(most)s presets already. Delete one first.")
                raise PresetRefused(409, "too_many_presets", told % {"most": number(MOST_PRESETS)})
            row = PromptPreset.objects.create(owner=request.user, **fields)
    except IntegrityError:
        return refused(name_taken(fields["name"]))
    except PresetRefused as refusal:
        return refused(refusal)
    return JsonResponse(preset_as_json(row), status=201)


@require_POST
@signed_in
def change(request: SignedInRequest, preset_id: int) -> HttpResponse:
    """Another name or another text for one's own: what is left out stays."""
    own = PromptPreset.objects.filter(owner=request.user, pk=preset_id)
    try:
        fields = read_preset(request.body, set())
        with transaction.atomic():
            if not fields or not own.update(**fields):
                raise Http404("no such preset")
    except IntegrityError:
        return refused(name_taken(fields["name"]))
    except PresetRefused as refusal:
        return refused(refusal)
    return JsonResponse(preset_as_json(own.get()))


@require_POST
@signed_in
def delete(request: SignedInRequest, preset_id: int) -> HttpResponse:
    """Twice is fine. The page brings it back by keeping it anew."""
    PromptPreset.objects.filter(owner=request.user, pk=preset_id).delete()
    return HttpResponse(status=204)


def read_preset(body: bytes, needed: set[str]) -> dict[str, str]:
    """The columns that were sent. Raises ``PresetRefused`` for one that is wrong, or missing among ``needed``."""
    try:
        given = json.loads(body)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise PresetRefused(400, "not_an_object", _("The request holds no JSON object."))
    columns: dict[str, str] = {}
    if "name" in given or "name" in needed:
        sent = given.get("name")
        name = " ".join(storable(sent).split()) if isinstance(sent, str) else ""
        if not 0 < len(name) <= PRESET_NAME_LENGTH:
            told = _("Give the preset a name of 1 to %(most)s letters.") % {"most": number(PRESET_NAME_LENGTH)}
            raise PresetRefused(422, "invalid_name", told)
        columns |= {"name": name, "folded_name": name.casefold()[: 2 * PRESET_NAME_LENGTH]}
    if "text" in given or "text" in needed:
        sent = given.get("text")
        text = storable(sent).strip() if isinstance(sent, str) else ""
        if not 0 < len(text) <= LONGEST_TEXT:
            told = _("Type a system prompt of 1 to %(most)s letters first.") % {"most": number(LONGEST_TEXT)}
            raise PresetRefused(422, "invalid_text", told)
        columns["text"] = text
    return columns


def name_taken(name: str) -> PresetRefused:
    told = _("You have a preset called %(name)s. Choose another name.") % {"name": name}
    return PresetRefused(409, "name_taken", told)


def refused(refusal: PresetRefused) -> JsonResponse:
    return JsonResponse({"code": refusal.code, "message": refusal.message}, status=refusal.status)


def preset_as_json(row: PromptPreset) -> dict[str, Any]:
    return {"id": row.pk, "name": row.name, "text": row.text}
