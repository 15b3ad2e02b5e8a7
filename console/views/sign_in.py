"""Sign-in and sign-out. One message for a wrong name and a wrong password; too many tries name the wait."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from console import kept_forms, sign_ins
from console.access import is_scripted
from console.page_context import keep_in_cookies, preferences_of
from console.views.first_sign_in import remember
from deployments.models import OneTimePassword
from deployments.throttle import claim_try, forget_tries
from deployments.words import number


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
            "Too many tries. Wait %(count)s second, then try again.",
            "Too many tries. Wait %(count)s seconds, then try again.",
            wait_seconds,
        ) % {"count": number(wait_seconds)}
        return show_form(request, there, {"error": error, "name": name}, status=429)
    usable = "\0" not in name and "\0" not in password
    user = authenticate(request, username=name, password=password) if usable else None
    if user is None:
        error = gettext("Name or password is wrong. Check both, and that Caps Lock is off.")
        return show_form(request, there, {"error": error, "name": name}, status=422)
    forget_tries(name, address)
    assert isinstance(user, User)
    one_time = OneTimePassword.objects.filter(user=user).first()
    if one_time is not None:
        return go_on_with_one_time_password(request, user, one_time, there)
    sign_ins.begin(request, user)
    if is_scripted(request):
        told = json.dumps({"slipway:signed-in": {"csrf": get_token(request), "person": str(user.pk)}})
        return HttpResponse(status=204, headers={"HX-Trigger": told})
    kept_forms.await_page(request, request.POST.get("kept_form", ""), there)
    response = HttpResponseRedirect(there)
    keep_in_cookies(response, preferences_of(user))
    return response


def go_on_with_one_time_password(
    request: HttpRequest, user: User, one_time: OneTimePassword, there: str
) -> HttpResponse:
    """It opens no session: first a password of one's own is set, on a page and not in a dialog."""
    error = ""
    if one_time.expires_at <= timezone.now():
        error = gettext("This one-time password has expired. Ask an administrator for another.")
    elif is_scripted(request):
        error = gettext("This is a one-time password. Open the sign-in page in another tab and set your own there.")
    if error:
        return show_form(request, there, {"error": error, "name": user.get_username()}, status=422)
    remember(request, user, there, request.POST.get("kept_form", ""))
    return HttpResponseRedirect("/sign-in/new-password")


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    sign_ins.end(request)
    return HttpResponseRedirect("/sign-in")


def show_form(request: HttpRequest, there: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    context |= {"next": there, "kept_form": request.POST.get("kept_form", "")}
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
