"""What a person is shown once (console.md §5, Keys): made by one request, shown by the next, then gone.

The answer to the form that makes a secret leads to a page of its own, so that loading that page again makes nothing.
Between the two the secret lies encrypted in the person's session.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponseRedirect
from django.utils.translation import gettext as _

from console.access import SignedInRequest
from deployments.encryption import SecretUnreadable, decrypt, encrypt

KEY = "shown_once"
#: Until a secret that nobody came for is forgotten; the browser comes at once.
WAITS_SECONDS = 600
#: Made in as many tabs at the same time.
MOST_WAITING = 10


def lead_to(request: SignedInRequest, address: str, values: dict[str, str]) -> HttpResponseRedirect:
    """Put ``values`` away and lead to ``address``, whose view takes them with ``take``."""
    ticket = secrets.token_urlsafe(12)
    sealed = {"of": address, "sealed": encrypt(json.dumps(values)), "until": time.time() + WAITS_SECONDS}
    request.session[KEY] = dict([*waiting(request).items(), (ticket, sealed)][-MOST_WAITING:])
    return HttpResponseRedirect(f"{address}?{urlencode({'once': ticket})}")


def take(request: SignedInRequest) -> dict[str, str] | None:
    """The values that were put away for this address; None where they were taken before, or never were there."""
    rows = waiting(request)
    row = rows.pop(request.GET.get("once", ""), None)
    if row is None or row["of"] != request.path:
        return None
    if request.method == "GET":  # a look at whether the page is there takes nothing
        request.session[KEY] = rows
    try:
        values: dict[str, str] = json.loads(decrypt(row["sealed"]))
    except SecretUnreadable:
        return None
    return values


def taken(request: SignedInRequest, there: str) -> HttpResponseRedirect:
    """The way on for whoever comes a second time."""
    messages.info(request, _("It was shown once, and is not kept to be shown again. If it is lost, make another."))
    return HttpResponseRedirect(there)


def waiting(request: SignedInRequest) -> dict[str, dict[str, Any]]:
    """What is put away and not too old, by its ticket."""
    rows: dict[str, dict[str, Any]] = request.session.get(KEY, {})
    return {ticket: row for ticket, row in rows.items() if row["until"] > time.time()}
