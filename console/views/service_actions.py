"""What changes a service: a page that says what will happen and with which numbers, then the doing.

Every action has one address. GET shows the confirmation (a page, or a fragment for the dialog), POST does it.
A script gets 204 and the event ``slipway:done``; without scripts the way leads back to where one came from.
What cannot be done comes back as a sentence in the same form, with the status it deserves.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from console.access import SignedInRequest, get_group, get_service, is_scripted, refuse, signed_in
from console.bundled import deploy_bundled, find_bundled
from console.confirmations import (
    Confirmation,
    confirm_delete,
    confirm_release,
    confirm_restart,
    confirm_restart_instance,
    confirm_rotate,
    confirm_rotate_group,
    confirm_scale,
    confirm_start,
    confirm_stop,
    confirm_switch,
)
from console.service_view import page_of
from console.views.service_versions import refusal_words
from deployments import groups, lifecycle
from deployments.accounts import require_change
from deployments.clusters.base import ClusterError
from deployments.group_models import TrafficMode, TrafficState
from deployments.lifecycle import Conflict
from deployments.models import Service
from deployments.restarting import restart_instances
from deployments.spec import SpecInvalid
from deployments.words import join, translated


def changeable(request: SignedInRequest, name: str) -> Service:
    """The service, if the person may change it. Raises ``Http404`` or ``NotAllowed``."""
    service = get_service(request, name)
    require_change(request.user, service.workspace, service.name)
    return service


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def stop(request: SignedInRequest, name: str) -> HttpResponse:
    """End the instances, keep the rest."""
    service = changeable(request, name)
    confirmation = confirm_stop(service)
    if request.method != "POST":
        return ask(request, service, confirmation)
    return attempt(request, service, confirmation, lifecycle.stop, _("%(name)s is stopping."))


@require_POST
@signed_in
def start(request: SignedInRequest, name: str) -> HttpResponse:
    """Bring a stopped service back; nothing is lost by it, so nothing is asked."""
    service = changeable(request, name)
    return attempt(request, service, confirm_start(service), lifecycle.start, _("%(name)s is starting."))


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def restart(request: SignedInRequest, name: str) -> HttpResponse:
    """Replace every instance, one after another."""
    service = changeable(request, name)
    confirmation = confirm_restart(service)
    if request.method != "POST":
        return ask(request, service, confirmation)
    return attempt(request, service, confirmation, lifecycle.restart, _("%(name)s is restarting."))


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def restart_instance(request: SignedInRequest, name: str, instance: str) -> HttpResponse:
    """Replace one instance."""
    service = changeable(request, name)
    row = get_object_or_404(service.instances, name=instance)
    confirmation = confirm_restart_instance(service, row)
    if request.method != "POST":
        return ask(request, service, confirmation)

    def restart_one(service: Service, actor: User) -> Service:
        restart_instances(service, [row.name], actor)
        return service

    try:
        return attempt(request, service, confirmation, restart_one, _("An instance of %(name)s is restarting."))
    except ClusterError as error:
        told = translated(join(error.message, error.cure))
        return ask(request, service, confirmation, told, status=503)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def scale(request: SignedInRequest, name: str) -> HttpResponse:
    """Another number of instances."""
    service = changeable(request, name)
    confirmation = confirm_scale(service)
    if request.method != "POST":
        return ask(request, service, confirmation)
    text = request.POST.get("instances", "").strip()
    if not text.isdecimal() or len(text) > 6:
        return ask(request, service, confirmation, _("Give a whole number from 0 to 1000."), status=422)

    def scale_to(service: Service, actor: User) -> Service:
        return lifecycle.scale(service, int(text), actor)

    return attempt(request, service, confirmation, scale_to, _("%(name)s is scaling."))


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def release(request: SignedInRequest, name: str) -> HttpResponse:
    """Whether a service takes requests of its group, with which weight, and how the group shares them out."""
    service = changeable(request, name)
    group = service.group
    if group is None:
        told = _("%(name)s is in no group. Name one in metadata.group of its document.")
        return refuse(request, 409, told % {"name": name})
    confirmation = confirm_release(service, group)
    if request.method != "POST":
        return ask(request, service, confirmation)
    state, mode = request.POST.get("traffic_state", ""), request.POST.get("traffic_mode", "")
    weight = request.POST.get("weight", "").strip()
    if not weight.removeprefix("-").isdecimal() or len(weight) > 6:
        return ask(request, service, confirmation, _("Give a whole number from -1 to 1000."), status=422)
    if state not in TrafficState.values or mode not in TrafficMode.values:
        return ask(request, service, confirmation, _("Choose one of what is offered."), status=422)

    def release_it(service: Service, actor: User) -> Service:
        changed = groups.release(service, actor, weight=int(weight), traffic_state=TrafficState(state))
        groups.set_traffic_mode(group, TrafficMode(mode), actor)
        return changed

    return attempt(request, service, confirmation, release_it, _("%(name)s: saved. It counts within a second."))


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def delete(request: SignedInRequest, name: str) -> HttpResponse:
    """Delete for good; the name is typed first."""
    service = changeable(request, name)
    confirmation = confirm_delete(service)
    if request.method != "POST":
        return ask(request, service, confirmation)
    if not typed_name(request, name):
        return ask(request, service, confirmation, name_wrong(name), status=422)
    return attempt(request, service, confirmation, lifecycle.delete, _("%(name)s is being deleted."), "/")


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def rotate_token(request: SignedInRequest, name: str) -> HttpResponse:
    """A new service token; programs with the old one are refused, so the name is typed first."""
    service = changeable(request, name)
    confirmation = confirm_rotate(service)
    if request.method != "POST":
        return ask(request, service, confirmation)
    if not typed_name(request, name):
        return ask(request, service, confirmation, name_wrong(name), status=422)
    said = _("The token of %(name)s is new. The old one no longer works.")
    there = f"/services/{name}/invocation"
    return attempt(request, service, confirmation, lifecycle.rotate_token, said, there)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def rotate_group_token(request: SignedInRequest, name: str) -> HttpResponse:
    """The same for the service's group, whose name is typed."""
    service = changeable(request, name)
    group = get_group(service)
    confirmation = confirm_rotate_group(group)
    if request.method != "POST":
        return ask(request, service, confirmation)
    if not typed_name(request, group.name):
        return ask(request, service, confirmation, name_wrong(group.name), status=422)

    def rotate(service: Service, actor: User) -> Service:
        groups.rotate_group_token(group, actor)
        return service

    said = _("The token of the group %(group)s is new. The old one no longer works.") % {"group": group.name}
    return attempt(request, service, confirmation, rotate, said, f"/services/{name}/group")


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def switch_version(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    """Want another revision again."""
    service = changeable(request, name)
    revision = get_object_or_404(service.revisions, number=number)
    confirmation = confirm_switch(service, revision, refusal_words(revision))
    if request.method != "POST":
        return ask(request, service, confirmation)

    def switch(service: Service, actor: User) -> Service:
        return lifecycle.switch_version(service, number, actor)

    there = f"/services/{name}/versions"
    return attempt(request, service, confirmation, switch, _("%(name)s is switching version."), there)


@require_POST
@signed_in
def deploy_first(request: SignedInRequest) -> HttpResponse:
    """The first run's one click."""
    model = find_bundled()
    if model is None:
        return refuse(request, 409, _("No model came with this Slipway. Choose one under LLM Deployment."))
    try:
        service = deploy_bundled(request.user, model)
    except Conflict as conflict:
        return refuse(request, 409, conflict.message)
    except SpecInvalid as invalid:
        return refuse(request, 422, str(invalid))
    return HttpResponseRedirect(f"/services/{service.name}")


def typed_name(request: SignedInRequest, name: str) -> bool:
    return request.POST.get("typed_name", "").strip() == name


def name_wrong(name: str) -> str:
    return _("Type %(name)s, exactly as it is written here, or cancel.") % {"name": name}


def attempt(
    request: SignedInRequest,
    service: Service,
    confirmation: Confirmation,
    verb: Callable[[Service, User], Service],
    said: str,
    there: str = "",
) -> HttpResponse:
    """Do it; what the lifecycle refuses is said where it was asked for."""
    try:
        changed = verb(service, request.user)
    except Conflict as conflict:
        return ask(request, service, confirmation, conflict.message, status=409)
    except SpecInvalid as invalid:
        return ask(request, service, confirmation, str(invalid), status=422)
    return done(request, changed, said, there)


def ask(
    request: SignedInRequest, service: Service, confirmation: Confirmation, error: str = "", status: int = 200
) -> HttpResponse:
    """The confirmation, with what went wrong when it was tried."""
    context: dict[str, Any] = {
        "confirmation": confirmation,
        "address": f"/services/{service.name}/{confirmation.action}",
        "service": service,
        "name": service.name,
        "error": error,
        "given": request.POST,
        "next": way_back(request, f"/services/{service.name}"),
    }
    if is_scripted(request):
        return render(request, "console/parts/confirmation.html", context, status=status)
    context = page_of(request.user, service, "") | context
    return render(request, "console/service/confirm.html", context, status=status)


def done(request: SignedInRequest, service: Service, said: str, there: str = "") -> HttpResponse:
    """Say it: to a script by an event, to a person where they came from."""
    sentence = said % {"name": service.name}
    if is_scripted(request):
        told = {"slipway:done": {"service": service.name, "said": sentence, "next": there}}
        return HttpResponse(status=204, headers={"HX-Trigger": json.dumps(told)})
    messages.success(request, sentence)
    return HttpResponseRedirect(there or way_back(request, f"/services/{service.name}"))


def way_back(request: SignedInRequest, default: str) -> str:
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    return wanted if wanted and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None) else default
