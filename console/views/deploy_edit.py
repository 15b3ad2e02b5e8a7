"""**Update Service**, ``/services/<name>/edit``: the form a service came from, with what saving would restart.

The LLM form where it holds the whole document, else (or with ``?form=custom``) the custom form. ``base`` is the
revision the person started from: where another came since, nothing is saved and the edits stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from console.access import SignedInRequest, get_service, signed_in
from console.deploy_custom import CustomForm
from console.deploy_effect import Effect, carry_over, effect_of
from console.deploy_llm import Filled, Typed, typed_of
from console.deploy_target import DEPLOY, FormError, act_of, created_at
from console.failure_card import custom_with_proposal, with_proposal
from console.views import deploy_custom, deploy_llm
from deployments import lifecycle
from deployments.accounts import require_change
from deployments.clusters import get_cluster
from deployments.encryption import decrypt
from deployments.lifecycle import Conflict, with_engine_label
from deployments.llm_form import LlmRequest, llm_request_of, render_document
from deployments.models import Service
from deployments.spec import FieldError, ServiceSpec, SpecInvalid


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def edit(request: SignedInRequest, name: str) -> HttpResponse:
    """Show, preview, save."""
    service = get_service(request, name)
    require_change(request.user, service.workspace, service.name)
    llm, lost = llm_request_of(service.document)
    is_custom = request.GET.get("form") == "custom" or llm is None or bool(lost)
    if is_custom and request.GET.get("from") == "llm" and llm is not None:
        return convert(request, service, llm)
    if is_custom or llm is None:
        return edit_custom(request, service, lost)
    return edit_llm(request, service, llm)


def edit_llm(request: SignedInRequest, service: Service, llm: LlmRequest) -> HttpResponse:
    """The LLM form of a service."""
    page = deploy_llm.Page([service.workspace], get_cluster().capacity(), service)
    if request.method == "POST":
        typed = Typed.parse(request.POST.dict())
        if not typed.values["instances"]:
            typed = replace(typed, values={**typed.values, "instances": str(service.wanted_instances)})
    else:
        typed = with_proposal(typed_of(llm, service.wanted_instances, page.nodes), request.GET.dict())
    result = deploy_llm.worked_out(typed, page)
    errors = deploy_llm.errors_of(typed, result, page)
    spec = None
    if result.request is not None:
        spec = ServiceSpec.parse(merged(service, llm, result.request, page))
    shown = llm_context(service, spec)
    if request.method != "POST" or act_of(request) != DEPLOY:
        errors = deploy_llm.visible(errors, request) if request.method == "POST" else []
        return deploy_llm.show(request, page, typed, result, errors, **shown)
    if result.refusal is not None and not errors and has_moved(service, spec):
        errors = [deploy_llm.refused(typed, result)]
    if errors or spec is None:
        return deploy_llm.show(request, page, typed, result, errors, status=422, **shown)
    try:
        save(request, service, spec)
    except Conflict as conflict:
        service.refresh_from_db()
        shown = llm_context(service, spec) | {"conflict": conflict.message}
        return deploy_llm.show(request, page, typed, result, [said(conflict)], status=409, **shown)
    except SpecInvalid as problem:
        errors = [deploy_llm.error_at("", error.code, error.message) for error in problem.errors]
        return deploy_llm.show(request, page, typed, result, errors, status=422, **shown)
    return created_at(request, f"/services/{service.name}")


def merged(service: Service, llm: LlmRequest, wanted: LlmRequest, page: deploy_llm.Page) -> dict[str, Any]:
    """The document with what the form changed, and nothing else of it touched."""
    was, now = render_document(llm, page.nodes), render_document(wanted, page.nodes)
    result: dict[str, Any] = carry_over(service.document, was, now)
    return result


def has_moved(service: Service, spec: ServiceSpec | None) -> bool:
    """Whether more than the number of instances changes: a service that runs may always be scaled."""
    current = service.find_spec()
    return spec is None or current is None or not spec.differs_only_in_instances(current)


def llm_context(service: Service, spec: ServiceSpec | None) -> dict[str, Any]:
    return {"effect": effect(service, spec), "base_number": base_number(service)}


def edit_custom(request: SignedInRequest, service: Service, lost: list[str]) -> HttpResponse:
    """The custom form of a service."""
    page = deploy_custom.Page([service.workspace], service)
    if request.method != "POST":
        form = custom_with_proposal(CustomForm.of(service.document), request.GET.dict())
        return show_custom(request, page, form, [], lost=lost)
    form = CustomForm.parse(request.POST)
    spec, found = deploy_custom.read(form)
    spec = as_many_as_now(service, spec)
    errors = deploy_custom.located([*found, *renamed(service, spec)], form)
    if act_of(request) != DEPLOY:
        return show_custom(request, page, form, deploy_custom.visible(errors, request))
    if errors or spec is None:
        return show_custom(request, page, form, errors, status=422)
    try:
        save(request, service, spec)
    except Conflict as conflict:
        service.refresh_from_db()
        extra = {"status": 409, "conflict": conflict.message}
        return show_custom(request, page, form, [said(conflict)], **extra)
    except SpecInvalid as problem:
        return show_custom(request, page, form, deploy_custom.located(problem.errors, form), status=422)
    return created_at(request, f"/services/{service.name}")


def convert(request: SignedInRequest, service: Service, llm: LlmRequest) -> HttpResponse:
    """The LLM form's edits, carried to the custom form."""
    llm_page = deploy_llm.Page([service.workspace], get_cluster().capacity(), service)
    document: Mapping[str, Any] = service.document
    if request.method == "POST":
        typed = Typed.parse(request.POST.dict())
        result: Filled = deploy_llm.worked_out(typed, llm_page)
        if result.request is not None:
            document = merged(service, llm, result.request, llm_page)
    page = deploy_custom.Page([service.workspace], service)
    return show_custom(request, page, CustomForm.of(document), [], is_dirty=request.method == "POST")


def show_custom(
    request: SignedInRequest, page: deploy_custom.Page, form: CustomForm, errors: list[FormError], **extra: Any
) -> HttpResponse:
    service = page.service
    if service is None:
        raise AssertionError("only a service is edited here")
    spec = as_many_as_now(service, deploy_custom.read(form)[0])
    extra |= {"effect": effect(service, spec), "base_number": base_number(service)}
    return deploy_custom.show(request, page, form, spec, errors, **extra)


def as_many_as_now(service: Service, spec: ServiceSpec | None) -> ServiceSpec | None:
    """The spec with the service's number of instances where it gives none, as over REST."""
    if spec is None or "instance" in spec.document["metadata"]:
        return spec
    return replace(spec.with_instances(service.wanted_instances), token=spec.token)


def renamed(service: Service, spec: ServiceSpec | None) -> list[FieldError]:
    if spec is None or spec.name == service.name:
        return []
    message = _("A service keeps its name: metadata.name must stay %(name)s.") % {"name": service.name}
    return [FieldError("metadata.name", "name_fixed", message)]


def effect(service: Service, spec: ServiceSpec | None) -> Effect | None:
    """What saving would do, None while there is no valid document."""
    if spec is None or spec.name != service.name:
        return None
    token_changes = spec.token is not None and spec.token != decrypt(service.token_encrypted)
    return effect_of(service, with_engine_label(spec), token_changes=token_changes)


def save(request: SignedInRequest, service: Service, spec: ServiceSpec) -> None:
    """Write it, if nobody else did since. Raises as ``lifecycle.update``."""
    said_base = request.POST.get("base", "")
    base = int(said_base) if said_base.isdecimal() and len(said_base) < 10 else None
    lifecycle.update(service, spec, request.user, base=base)


def base_number(service: Service) -> int | None:
    return service.wanted_revision.number if service.wanted_revision else None


def said(conflict: Conflict) -> FormError:
    return FormError("", "deploy-title", "", conflict.message, conflict.code)
