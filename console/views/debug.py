"""**Online debugging**: one request to a service from the page, and all that came back (console.md §5).

The request goes from the browser through the gateway as any program's does, with the service's token, which the page
asks for on the first **Send**; that is audited.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from console.access import SignedInRequest, get_service, signed_in
from console.service_view import page_of
from deployments.accounts import require_change
from deployments.addresses import address_of, endpoint_of
from deployments.models import Status

QUESTION = "What is a slipway?"
JSON_TYPE = "application/json"
CONTENT_TYPES = (JSON_TYPE, "text/plain", "application/x-www-form-urlencoded")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class Sample:
    """A request that works as it stands. ``path`` begins below the service's address."""

    key: str
    title: str
    method: str
    path: str
    content_type: str
    body: str


def render_body(value: dict[str, object]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def samples_of(*, is_language_model: bool) -> Sequence[Sample]:
    """The first is filled in when the page opens (eas.md §1.2-§1.5, §2.2)."""
    if not is_language_model:
        return [Sample("get", _("Plain request"), "GET", "/", JSON_TYPE, "")]
    messages = [{"role": "user", "content": QUESTION}]
    short = {"max_tokens": 200}
    return [
        Sample(
            "eas",
            _("EAS, whole answer"),
            "POST",
            "",
            JSON_TYPE,
            render_body({"prompt": QUESTION, "use_stream_chat": False, "max_new_tokens": 200}),
        ),
        Sample(
            "eas-stream",
            _("EAS, stream"),
            "POST",
            "",
            JSON_TYPE,
            render_body({"prompt": QUESTION, "max_new_tokens": 200}),
        ),
        Sample("eas-text", _("EAS, plain text"), "POST", "", "text/plain", QUESTION),
        Sample(
            "chat",
            _("OpenAI chat"),
            "POST",
            "/v1/chat/completions",
            JSON_TYPE,
            render_body({"model": "default", "messages": messages, **short}),
        ),
        Sample(
            "chat-stream",
            _("OpenAI chat, stream"),
            "POST",
            "/v1/chat/completions",
            JSON_TYPE,
            render_body({"model": "default", "messages": messages, "stream": True, **short}),
        ),
        Sample(
            "completion",
            _("OpenAI completion"),
            "POST",
            "/v1/completions",
            JSON_TYPE,
            render_body({"model": "default", "prompt": "A slipway is", "max_tokens": 60}),
        ),
        Sample("models", _("OpenAI models"), "GET", "/v1/models", JSON_TYPE, ""),
    ]


def meanings() -> dict[str, str]:
    """What a status means for whoever sent the request (eas.md §2.4)."""
    return {
        "401": _("The token was refused. It may just have been rotated: send again."),
        "404": _("There is nothing at this path. Check the path, and that the service still exists."),
        "405": _("This path takes another method."),
        "413": _("The request is larger than the gateway takes."),
        "429": _("Too many requests at once. Try again in a moment, or raise the limit."),
        "500": _("The program or the gateway failed. See the logs."),
        "502": _("The program broke off or sent what is no answer. See the logs."),
        "503": _("No instance answers now. See the service's Overview."),
        "504": _("The program took too long. See the logs."),
    }


@require_safe
@signed_in
def debug(request: SignedInRequest, name: str) -> HttpResponse:
    """The page; for those who may know the token."""
    service = get_service(request, name)
    require_change(request.user, service.workspace, service.name)
    context = page_of(request.user, service, "debug")
    samples = samples_of(is_language_model=context["row"].has_chat)
    context |= {
        "samples": samples,
        "sample": samples[0],
        "samples_json": {sample.key: asdict(sample) for sample in samples},
        "meanings": meanings(),
        "methods": METHODS,
        "content_types": CONTENT_TYPES,
        "endpoint": endpoint_of(address_of(request), service.name),
        "is_running": service.status == Status.RUNNING,
    }
    return render(request, "console/service/debug.html", context)
