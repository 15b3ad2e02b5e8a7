"""People, for administrators: created with a one-time password, reset, switched off and on. Others get 403."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db.models import Max, Q
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console import shown_once
from console.access import SignedInRequest, signed_in
from console.confirming import ask, done, is_confirmed
from console.people_confirmations import confirm_deactivate, confirm_reset_password
from deployments import people
from deployments.addresses import address_of
from deployments.lifecycle import Conflict
from deployments.models import Membership
from deployments.people import require_administrator
from deployments.spec import SpecInvalid

SECTION = "workspaces"
PEOPLE_A_PAGE = 50


def get_person(request: SignedInRequest, user_id: int) -> User:
    """Somebody, for administrators. Raises ``NotAllowed`` or ``Http404``."""
    require_administrator(request.user)
    person = User.objects.select_related("one_time_password").filter(pk=user_id).first()
    if person is None:
        raise Http404("no such person")
    return person


@require_safe
@signed_in
def list_people(request: SignedInRequest) -> HttpResponse:
    """Everybody, by name."""
    require_administrator(request.user)
    wanted = request.GET.get("q", "").replace("\0", "").strip()[:150]
    rows = User.objects.select_related("one_time_password").order_by("username")
    if wanted:
        rows = rows.filter(Q(username__icontains=wanted) | Q(first_name__icontains=wanted) | Q(email__icontains=wanted))
    page = Paginator(rows.annotate(seen_at=Max("sign_ins__last_seen_at")), PEOPLE_A_PAGE).get_page(
        request.GET.get("page")
    )
    context = {"section": SECTION, "tab": "people", "page": page, "wanted": wanted}
    context["query_string"] = urlencode({"q": wanted}) if wanted else ""
    return render(request, "console/people/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def create(request: SignedInRequest) -> HttpResponse:
    """A new person; the page after it shows the one-time password, and nothing else ever does."""
    require_administrator(request.user)
    given = {field: " ".join(request.POST.get(field, "").split()) for field in ("name", "display_name", "email")}
    given["administrator"] = "on" if "administrator" in request.POST else ""
    if request.method != "POST":
        return show_form(request, given)
    try:
        person, secret, until = people.create_person(
            request.user,
            given["name"],
            display_name=given["display_name"],
            email=given["email"],
            is_administrator=bool(given["administrator"]),
        )
    except SpecInvalid as invalid:
        return show_form(request, given, {error.field: [error.message] for error in invalid.errors}, 422)
    except Conflict as conflict:
        return show_form(request, given, {"UserName": [conflict.message]}, 409)
    return lead_to_secret(request, person, secret, until)


@require_safe
@signed_in
def person_page(request: SignedInRequest, user_id: int) -> HttpResponse:
    """One person: where they belong, and what can be done."""
    person = get_person(request, user_id)
    context = {
        "section": SECTION,
        "person": person,
        "one_time": getattr(person, "one_time_password", None),
        "seen_at": person.sign_ins.aggregate(seen=Max("last_seen_at"))["seen"],
        "memberships": Membership.objects.filter(user=person).select_related("workspace").order_by("workspace__name"),
        "is_self": person.pk == request.user.pk,
    }
    return render(request, "console/people/person.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def reset_password(request: SignedInRequest, user_id: int) -> HttpResponse:
    """Another one-time password, shown once."""
    person = get_person(request, user_id)
    confirmation, there = confirm_reset_password(person), f"/people/{person.pk}"
    if request.method != "POST":
        return ask(request, confirmation, person.get_username(), there, section=SECTION)
    try:
        secret, until = people.reset_password(request.user, person)
    except Conflict as conflict:
        return ask(request, confirmation, person.get_username(), there, section=SECTION, error=conflict.message)
    return lead_to_secret(request, person, secret, until)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def deactivate(request: SignedInRequest, user_id: int) -> HttpResponse:
    """Switch an account off; its name is typed first."""
    person = get_person(request, user_id)
    confirmation, there, name = confirm_deactivate(person), f"/people/{person.pk}", person.get_username()
    if not is_confirmed(request, confirmation, name):
        return ask(request, confirmation, name, there, section=SECTION)
    try:
        people.deactivate(request.user, person)
    except Conflict as conflict:
        return ask(request, confirmation, name, there, section=SECTION, error=conflict.message)
    return done(request, _("%(name)s is switched off.") % {"name": name}, there)


@require_POST
@signed_in
def activate(request: SignedInRequest, user_id: int) -> HttpResponse:
    """Switch an account on again, with a one-time password."""
    person = get_person(request, user_id)
    try:
        secret, until = people.reactivate(request.user, person)
    except Conflict as conflict:
        messages.error(request, conflict.message)
        return HttpResponseRedirect(f"/people/{person.pk}")
    return lead_to_secret(request, person, secret, until)


@require_POST
@signed_in
def set_administrator(request: SignedInRequest, user_id: int) -> HttpResponse:
    """Make somebody an administrator, or no longer."""
    person = get_person(request, user_id)
    wanted = request.POST.get("administrator") == "on"
    try:
        people.set_administrator(request.user, person, wanted)
    except Conflict as conflict:
        messages.error(request, conflict.message)
    else:
        words = _("%(name)s is an administrator now.") if wanted else _("%(name)s is no longer an administrator.")
        messages.success(request, words % {"name": person.get_username()})
    return HttpResponseRedirect(f"/people/{person.pk}")


def show_form(
    request: SignedInRequest, given: dict[str, str], errors: dict[str, list[str]] | None = None, status: int = 200
) -> HttpResponse:
    context = {"section": SECTION, "given": given, "errors": errors or {}, "days": people.ONE_TIME_DAYS}
    return render(request, "console/people/new.html", context, status=status)


def lead_to_secret(request: SignedInRequest, person: User, secret: str, until: datetime) -> HttpResponse:
    put_away = {"secret": secret, "until": until.isoformat()}
    return shown_once.lead_to(request, f"/people/{person.pk}/one-time-password", put_away)


@require_safe
@signed_in
def one_time_password(request: SignedInRequest, user_id: int) -> HttpResponse:
    """The one-time password that was just made, once."""
    person = get_person(request, user_id)
    made = shown_once.take(request)
    if made is None:
        return shown_once.taken(request, f"/people/{person.pk}")
    context: dict[str, Any] = {
        "section": SECTION,
        "person": person,
        "secret": made["secret"],
        "until": datetime.fromisoformat(made["until"]),
        "address": f"{address_of(request)}/sign-in",
    }
    return render(request, "console/people/secret.html", context)
