"""Asking before something is done, on a page or in the dialog, and saying afterwards that it is."""

from __future__ import annotations

import json

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.translation import gettext as _

from console.access import SignedInRequest, is_scripted
from console.confirmations import Confirmation


def is_confirmed(request: SignedInRequest, confirmation: Confirmation, name: str) -> bool:
    """Whether it was asked for, with the name typed where that is wanted."""
    typed = request.POST.get("typed_name", "").strip()
    return request.method == "POST" and (not confirmation.field or typed == name.strip())


def ask(
    request: SignedInRequest, confirmation: Confirmation, name: str, there: str, *, section: str, error: str = ""
) -> HttpResponse:
    """The confirmation; after a name that is not the one, or a refusal (``error``), with what was wrong.

    ``there`` is where **Cancel** leads without scripts.
    """
    status = 409 if error else 200
    if request.method == "POST" and not error:
        error, status = _("Type %(name)s, exactly as it is written here, or cancel.") % {"name": name}, 422
    context = {
        "confirmation": confirmation,
        "address": request.path,
        "name": name,
        "error": error,
        "given": request.POST,
        "next": there,
        "section": section,
    }
    template = "console/parts/confirmation.html" if is_scripted(request) else "console/confirm.html"
    return render(request, template, context, status=status)


def done(request: SignedInRequest, said: str, there: str) -> HttpResponse:
    """Say it: to a script by an event, to a person on the page ``there``."""
    if is_scripted(request):
        told = {"slipway:done": {"said": said, "next": there}}
        return HttpResponse(status=204, headers={"HX-Trigger": json.dumps(told)})
    messages.success(request, said)
    return HttpResponseRedirect(there)
