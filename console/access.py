"""Who may open a page: everything but the sign-in needs a session; strangers to a workspace get 404.

A request of a script (htmx or a live refetch) is never answered with a redirect to another page: without a
session it gets 401 and the sign-in form as a fragment, which the page shows as a dialog over what was typed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render

from console import kept_forms
from console.page_context import LIVE_HEADER, preferences_of
from console.sign_ins import note_seen
from deployments.accounts import NotAllowed, find_visible_service
from deployments.group_models import ServiceGroup
from deployments.models import Preferences, Service
from deployments.spec.names import NAME_PATTERN

P = ParamSpec("P")


class SignedInRequest(HttpRequest):
    """A request whose person is known."""

    user: User
    preferences: Preferences


def is_scripted(request: HttpRequest) -> bool:
    """Whether a script of ours asked: it swaps the answer into the page that is open."""
    return request.headers.get("HX-Request") == "true" or LIVE_HEADER in request.headers


def signed_in(
    view: Callable[Concatenate[SignedInRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Let only people with a session in; turn ``NotAllowed`` into a 403 that names who may."""

    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return ask_to_sign_in(request)
        request.preferences = preferences_of(request.user)  # type: ignore[attr-defined]
        if request.method == "POST":  # reading pages is noted by their socket, and costs no query here
            note_seen(request, request.user)
        try:
            response = view(request, *args, **kwargs)  # type: ignore[arg-type]
        except NotAllowed as refusal:
            return refuse(request, 403, str(refusal))
        response.headers.setdefault("Cache-Control", "no-store, private")
        if not is_scripted(request):
            kept_forms.give_back(request, response)
        return response

    functools.update_wrapper(guarded, view)
    return guarded


def ask_to_sign_in(request: HttpRequest) -> HttpResponse:
    """The sign-in page, coming back here, with what was typed; for a script the form alone, with 401."""
    if is_scripted(request):
        return render(request, "console/parts/sign_in_again.html", status=401)
    here = request.get_full_path() if request.method in ("GET", "HEAD") else page_of_form(request)
    kept = kept_forms.keep(request)
    if kept:
        return render(request, "console/sign_in.html", {"next": here, "kept_form": kept}, status=401)
    return HttpResponseRedirect(f"{settings.LOGIN_URL}?{urlencode({'next': here})}")


def page_of_form(request: HttpRequest) -> str:
    """The path of our own page that a form was sent from, as the browser says; "/" where it does not."""
    sent_from = urlsplit(request.headers.get("Referer", ""))
    if sent_from.netloc != request.get_host() or not sent_from.path.startswith("/"):
        return "/"
    return sent_from.path + (f"?{sent_from.query}" if sent_from.query else "")


def refuse(request: HttpRequest, status: int, message: str, **extra: Any) -> HttpResponse:
    """A sentence with an error status: a notice for a script, which puts it at the control, else a page."""
    template = "console/parts/refusal.html" if is_scripted(request) else "console/refused.html"
    return render(request, template, {"message": message, "status": status, **extra}, status=status)


def get_service(request: SignedInRequest, name: str) -> Service:
    """The service of that name if the person may see it. Raises ``Http404``, for strangers too."""
    service = find_visible_service(request.user, name) if NAME_PATTERN.fullmatch(name) else None
    if service is None:
        raise Http404(f"no service {name}")
    return service


def get_group(service: Service) -> ServiceGroup:
    """The group that it is in. Raises ``Http404`` where it is in none."""
    if service.group is None:
        raise Http404(f"{service.name} is in no group")
    return service.group
