"""Sign-in and sign-out. One message for a wrong name and a wrong password; too many tries name the wait."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth import authenticate, login, logout
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from console.access import is_scripted
from deployments.throttle import claim_try, forget_tries


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Two fields. A script (the dialog over an open page) gets 204 and the new CSRF token, a person the next page."""
    there = safe_next(request)
    if request.method != "POST":
        if request.user.is_authenticated and is_scripted(request):
            # The dialog of a tab asks whether another tab has signed in meanwhile, and as whom.
            return HttpResponse(status=204, headers={"X-Slipway-Person": str(request.user.pk)})
        if request.user.is_authenticated:
            return HttpResponseRedirect(there)
        return show_form(request, there, {})
    name, password = request.POST.get("username", "").strip(), request.POST.get("password", "")
    address = request.META.get("REMOTE_ADDR", "")
    wait_seconds = claim_try(name, address)
    if wait_seconds:
        error = ngettext(
            "Too many tries. Wait %(count)d second, then try again.",
            "Too many tries. Wait %(count)d seconds, then try again.",
            wait_seconds,
        ) % {"count": wait_seconds}
        return show_form(request, there, {"error": error, "name": name}, status=429)
    usable = "\0" not in name and "\0" not in password
    user = authenticate(request, username=name, password=password) if usable else None
    if user is None:
        error = gettext("Name or password is wrong. Check both, and that Caps Lock is off.")
        return show_form(request, there, {"error": error, "name": name}, status=422)
    forget_tries(name, address)
    login(request, user)
    if is_scripted(request):
        told = json.dumps({"slipway:signed-in": {"csrf": get_token(request)}})
        return HttpResponse(status=204, headers={"HX-Trigger": told})
    return HttpResponseRedirect(there)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    return HttpResponseRedirect("/sign-in")


def show_form(request: HttpRequest, there: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    context |= {"next": there}
    if is_scripted(request):
        return render(request, "console/parts/sign_in_again.html", context, status=status)
    context["first_time"] = User.objects.filter(username="admin", last_login=None).exists()
    return render(request, "console/sign_in.html", context, status=status)


def safe_next(request: HttpRequest) -> str:
    """Where to go afterwards: a path of this site, else the services."""
    wanted = request.POST.get("next") or request.GET.get("next") or "/"
    is_safe = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if is_safe and not wanted.startswith("/sign-in") else "/"
