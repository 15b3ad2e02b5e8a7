"""What people set for themselves: who they are, and how the console looks and behaves."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import SignedInRequest, is_scripted, signed_in
from console.page_context import DENSITIES, THEMES, chosen, keep_in_cookies
from deployments.models import Preferences
from deployments.people import change_profile
from deployments.spec import SpecInvalid


@require_safe
@signed_in
def settings_home(request: SignedInRequest) -> HttpResponse:
    """The first of the settings."""
    return HttpResponseRedirect("/settings/profile")


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def profile(request: SignedInRequest) -> HttpResponse:
    """The name that others read, and where to write to."""
    user = request.user
    given = {"display_name": user.first_name, "email": user.email}
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        given = {field: " ".join(request.POST.get(field, "").split()) for field in given}
        try:
            change_profile(user, given["display_name"], given["email"])
        except SpecInvalid as invalid:
            errors = {error.field: [error.message] for error in invalid.errors}
        else:
            messages.success(request, _("Saved."))
            return HttpResponseRedirect("/settings/profile")
    context = {"section": "settings", "tab": "profile", "given": given, "errors": errors}
    return render(request, "console/settings/profile.html", context, status=422 if errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def appearance(request: SignedInRequest) -> HttpResponse:
    """Theme, density, single keys and the chat's habits, in every browser of the person."""
    if request.method == "POST":
        form = request.POST
        kept, _created = Preferences.objects.update_or_create(
            user=request.user,
            defaults={
                "theme": chosen(form.get("theme"), THEMES),
                "density": chosen(form.get("density"), DENSITIES),
                "single_keys": "single_keys" in form,
                "chat_follows_always": "chat_follows_always" in form,
                "chat_sends_with_ctrl": "chat_sends_with_ctrl" in form,
            },
        )
        response = HttpResponseRedirect("/settings/appearance")
        keep_in_cookies(response, kept)
        messages.success(request, _("Saved, for every browser you sign in with."))
        return response
    return render(request, "console/settings/appearance.html", {"section": "settings", "tab": "appearance"})


@require_POST
@signed_in
def shortcuts(request: SignedInRequest) -> HttpResponse:
    """Single keys on or off, from the dialog that lists them."""
    return keep(request, "single_keys")


@require_POST
@signed_in
def chat(request: SignedInRequest) -> HttpResponse:
    """The chat's habits, from its panel."""
    return keep(request, "chat_follows_always", "chat_sends_with_ctrl")


def keep(request: SignedInRequest, *switches: str) -> HttpResponse:
    """Set these switches as the form says."""
    chosen_now = {switch: switch in request.POST for switch in switches}
    Preferences.objects.update_or_create(user=request.user, defaults=chosen_now)
    return HttpResponse(status=204) if is_scripted(request) else HttpResponseRedirect("/settings/appearance")
