"""The way in with a one-time password: it opens no session, only this page, where one's own password is set."""

from __future__ import annotations

import hmac
import time
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from console import kept_forms, sign_ins
from deployments.models import OneTimePassword
from deployments.people import OneTimePasswordOver, set_own_password

#: In the session of somebody who is not signed in.
KEY = "sets_own_password"
#: How long the page may stand open.
OPEN_SECONDS = 30 * 60


def remember(request: HttpRequest, user: User, there: str, kept: str) -> None:
    """Note that this browser has shown the one-time password. ``kept`` is what ``kept_forms.keep`` made."""
    request.session.flush()
    request.session[KEY] = {
        "user": user.pk,
        "proof": user.get_session_auth_hash(),  # another password meanwhile makes this one void
        "until": time.time() + OPEN_SECONDS,
        "next": there,
        "kept": kept,
    }
    request.session.set_expiry(OPEN_SECONDS)


def find_person(request: HttpRequest) -> User | None:
    """Whose one-time password this browser has shown, while that is good."""
    noted: dict[str, Any] = request.session.get(KEY) or {}
    if noted.get("until", 0) < time.time():
        return None
    person = User.objects.filter(pk=noted["user"], is_active=True).first()
    if person is None or not hmac.compare_digest(noted["proof"], person.get_session_auth_hash()):
        return None
    return person if OneTimePassword.objects.filter(user=person).exists() else None


@never_cache
@sensitive_post_parameters("new_password")
@require_http_methods(["GET", "HEAD", "POST"])
def new_password(request: HttpRequest) -> HttpResponse:
    """Set a password of one's own; then one is signed in."""
    if request.user.is_authenticated:
        return HttpResponseRedirect("/")
    person = find_person(request)
    if person is None:
        return HttpResponseRedirect("/sign-in")
    errors: list[str] = []
    status = 200
    if request.method == "POST":
        new = request.POST.get("new_password", "")
        try:
            set_own_password(person, new)
        except ValidationError as problem:
            errors, status = list(problem.messages), 422
        except OneTimePasswordOver as over:
            errors, status = [str(over)], 409
        else:
            noted = request.session[KEY]
            there = noted["next"]
            request.session.flush()
            sign_ins.begin(request, person)
            kept_forms.await_page(request, noted["kept"], there)
            return HttpResponseRedirect(there)
    context = {"name": person.get_username(), "errors": errors, "title": _("Set your password")}
    return render(request, "console/first_sign_in.html", context, status=status)
