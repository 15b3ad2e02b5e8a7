"""**Invocation Information**: where a service, or the group that it is in, is called, the token on request, snippets.

The token is in no HTML until somebody asks for it by POST, and each asking is audited.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from console.access import SignedInRequest, get_group, get_service, is_scripted, refuse, signed_in
from console.service_view import page_of
from console.snippets import snippets_of, websocket_of
from deployments.accounts import require_change
from deployments.addresses import address_of, endpoint_of
from deployments.audit import record_audit
from deployments.encryption import SecretUnreadable, decrypt
from deployments.group_models import ServiceGroup, TrafficMode, TrafficState
from deployments.models import Desired, Instance, Service, Status

PURPOSES = ("reveal", "copy", "debug")


@dataclass(frozen=True, slots=True)
class Called:
    """What has addresses and a token: a service, or the group that it is in."""

    kind: str  # as the audit's actions begin
    name: str
    page: str
    token_page: str
    token_encrypted: str = field(repr=False)


@require_safe
@signed_in
def invocation(request: SignedInRequest, name: str) -> HttpResponse:
    """The page, or its fragment for the dialog."""
    service = get_service(request, name)
    return show(request, service, service_called(service))


@require_POST
@signed_in
def token(request: SignedInRequest, name: str) -> HttpResponse:
    """The token, audited: JSON for a script, the page with it in for a person without scripts."""
    service = get_service(request, name)
    return tell_token(request, service, service_called(service))


@require_safe
@signed_in
def group(request: SignedInRequest, name: str) -> HttpResponse:
    """The same of the service's group."""
    service = get_service(request, name)
    return show(request, service, group_called(service))


@require_POST
@signed_in
def group_token(request: SignedInRequest, name: str) -> HttpResponse:
    """The token of the service's group, as ``token``."""
    service = get_service(request, name)
    return tell_token(request, service, group_called(service))


def service_called(service: Service) -> Called:
    page = f"/services/{service.name}"
    return Called("service", service.name, f"{page}/invocation", f"{page}/token", service.token_encrypted)


def group_called(service: Service) -> Called:
    """Raises ``Http404`` where it is in none."""
    group = get_group(service)
    page = f"/services/{service.name}/group"
    return Called("group", group.name, page, f"{page}/token", group.token_encrypted)


def tell_token(request: SignedInRequest, service: Service, called: Called) -> HttpResponse:
    """Raises ``NotAllowed``. A group is of its members' workspace, so their rights are its."""
    require_change(request.user, service.workspace, called.name)
    purpose = request.POST.get("purpose", "reveal")
    try:
        plain = decrypt(called.token_encrypted)
    except SecretUnreadable as unreadable:
        return refuse(request, 409, str(unreadable), back=called.page)
    action = f"{called.kind}.{purpose if purpose in PURPOSES else 'reveal'}_token"
    record_audit(request.user, action, called.name, service.workspace)
    if is_scripted(request):
        return JsonResponse({"token": plain}, headers={"Cache-Control": "no-store, private"})
    return show(request, service, called, plain)


def show(request: SignedInRequest, service: Service, called: Called, revealed: str = "") -> HttpResponse:
    context = page_of(request.user, service, "invocation")
    endpoint = endpoint_of(address_of(request), called.name)
    context |= {
        "called": called,
        "endpoints": [
            {"id": "endpoint-public", "word": _("Public endpoint"), "url": endpoint},
            {
                "id": "endpoint-vpc",
                "word": _("VPC endpoint"),
                "url": endpoint_of(settings.SLIPWAY_ADDRESS, called.name),
            },
            {"id": "endpoint-websocket", "word": _("WebSocket"), "url": websocket_of(endpoint)},
            {"id": "endpoint-openai", "word": _("OpenAI base URL"), "url": f"{endpoint}/v1"},
        ][: 4 if context["row"].has_chat else 2],
        "snippets": snippets_of(endpoint, is_language_model=context["row"].has_chat),
        "is_running": is_answered(service.group) if called.kind == "group" else service.status == Status.RUNNING,
        "revealed": revealed,
    }
    template = "console/parts/invocation.html" if is_scripted(request) else "console/service/invocation.html"
    return render(request, template, context)


def is_answered(group: ServiceGroup | None) -> bool:
    """Whether a member that takes the group's requests has an instance that answers."""
    if group is None:
        return False
    members = group.members.filter(traffic_state=TrafficState.GROUPING)
    if group.traffic_mode == TrafficMode.CUSTOMIZED:
        members = members.exclude(weight=0)
    running = members.filter(desired=Desired.RUNNING)
    return Instance.objects.filter(Instance.routable(), service__in=running).exists()
