"""**Invocation Information**: where a service is called, its token on request, snippets.

The token is in no HTML until somebody asks for it by POST, and each asking is audited.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from console.access import SignedInRequest, get_service, is_scripted, refuse, signed_in
from console.service_view import page_of
from console.snippets import snippets_of, websocket_of
from deployments.accounts import require_change
from deployments.addresses import address_of, endpoint_of
from deployments.audit import record_audit
from deployments.encryption import SecretUnreadable, decrypt
from deployments.models import Service, Status

PURPOSES = {"reveal": "service.reveal_token", "copy": "service.copy_token", "debug": "service.debug_token"}


@require_safe
@signed_in
def invocation(request: SignedInRequest, name: str) -> HttpResponse:
    """The page, or its fragment for the dialog."""
    service = get_service(request, name)
    return show(request, service)


@require_POST
@signed_in
def token(request: SignedInRequest, name: str) -> HttpResponse:
    """The token, audited: JSON for a script, the page with it in for a person without scripts."""
    service = get_service(request, name)
    require_change(request.user, service.workspace, service.name)
    action = PURPOSES.get(request.POST.get("purpose", "reveal"), PURPOSES["reveal"])
    try:
        plain = decrypt(service.token_encrypted)
    except SecretUnreadable as unreadable:
        return refuse(request, 409, str(unreadable), back=f"/services/{name}/invocation")
    record_audit(request.user, action, service.name, service.workspace)
    if is_scripted(request):
        return JsonResponse({"token": plain}, headers={"Cache-Control": "no-store, private"})
    return show(request, service, plain)


def show(request: SignedInRequest, service: Service, revealed: str = "") -> HttpResponse:
    context = page_of(request.user, service, "invocation")
    endpoint = endpoint_of(address_of(request), service.name)
    context |= {
        "endpoints": [
            {"id": "endpoint-public", "word": _("Public endpoint"), "url": endpoint},
            {
                "id": "endpoint-vpc",
                "word": _("VPC endpoint"),
                "url": endpoint_of(settings.SLIPWAY_ADDRESS, service.name),
            },
            {"id": "endpoint-websocket", "word": _("WebSocket"), "url": websocket_of(endpoint)},
            {"id": "endpoint-openai", "word": _("OpenAI base URL"), "url": f"{endpoint}/v1"},
        ][: 4 if context["row"].has_chat else 2],
        "snippets": snippets_of(endpoint, is_language_model=context["row"].has_chat),
        "is_running": service.status == Status.RUNNING,
        "revealed": revealed,
    }
    template = "console/parts/invocation.html" if is_scripted(request) else "console/service/invocation.html"
    return render(request, template, context)
