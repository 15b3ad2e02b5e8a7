"""**Update Service**, ``/services/<name>/edit``: the form a service came from, with what saving would restart.

The LLM form where it holds the whole document or is asked for (``?form=llm``), else the custom form. ``base`` is the
revision the person started from: where another came since, nothing is saved before its changes were shown
(``seen``), and the edits stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from console import deploy_custom as custom
from console.access import SignedInRequest, get_service, signed_in
from console.deploy_acts import Acted, Undo
from console.deploy_custom import Draft, Reading
from console.deploy_effect import Effect, carry_over, effect_of
from console.deploy_llm import Filled, Typed, typed_of
from console.deploy_meanwhile import base_document, meanwhile_of, merge_edits
from console.deploy_preflight import preflight_context
from console.deploy_target import DEPLOY, FormError, act_of, created_at
from console.failure_card import custom_with_proposal, with_proposal
from console.views import deploy_custom, deploy_llm
from console.views.deploy_custom import Shown, reason_of
from deployments import lifecycle
from deployments.accounts import require_change
from deployments.clusters import get_cluster
from deployments.encryption import decrypt
from deployments.lifecycle import Conflict, with_engine_label
from deployments.llm_form import LlmRequest, llm_request_of, render_document
from deployments.models import Service
from deployments.spec import FieldError, ServiceSpec, SpecInvalid

TAKE_THEIRS = "take-theirs"


@dataclass(frozen=True, slots=True)
class Began:
    """What the person saw when the edit began, and which later version they were told of; None: not said."""

    base: int | None
    seen: int | None
    instances: int | None

    @classmethod
    def of(cls, request: SignedInRequest, service: Service) -> Began:
        wanted = service.wanted_revision
        now = cls(wanted.number if wanted else None, None, service.wanted_instances)
        if request.method != "POST":
            return now
        base = posted_number(request, "base")
        return cls(
            now.base if base is None else base, posted_number(request, "seen"), posted_number(request, "base_instances")
        )

    @property
    def context(self) -> dict[str, Any]:
        """The hidden fields that carry it."""
        return {"base_number": self.base, "seen_number": self.seen, "base_instances": self.instances}


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def edit(request: SignedInRequest, name: str) -> HttpResponse:
    """Show, preview, save."""
    service = get_service(request, name)
    require_change(request.user, service.workspace, service.name)
    llm, lost = llm_request_of(service.document)
    wants = request.GET.get("form", "")
    is_custom = wants == "custom" or llm is None or (bool(lost) and wants != "llm")
    if is_custom and request.GET.get("from") == "llm" and llm is not None:
        return convert(request, service, llm)
    if is_custom or llm is None:
        return edit_custom(request, service, lost if llm is not None else [], is_llm=llm is not None)
    return edit_llm(request, service, llm, lost)


def edit_llm(request: SignedInRequest, service: Service, llm: LlmRequest, lost: list[str]) -> HttpResponse:
    """The LLM form of a service; what it cannot hold (``lost``) stays in the document as it is."""
    began = Began.of(request, service)
    page = deploy_llm.Page([service.workspace], get_cluster().capacity(), service)
    if request.method == "POST":
        typed, began = llm_posted(request, service, page, began)
        if not typed.values["instances"]:
            typed = replace(typed, values={**typed.values, "instances": str(service.wanted_instances)})
    else:
        typed = with_proposal(typed_of(llm, service.wanted_instances, page.nodes), request.GET.dict())
    result = deploy_llm.worked_out(typed, page)
    errors = deploy_llm.errors_of(typed, result, page)
    spec = None
    if result.request is not None:
        spec = as_many_as_now(service, ServiceSpec.parse(merged(service, llm, result.request, page)), began)
    shown = edit_context(request, service, spec, began) | {"lost": lost}
    if request.method != "POST" or act_of(request) != DEPLOY:
        errors = deploy_llm.visible(errors, request) if request.method == "POST" else []
        return deploy_llm.show(request, page, typed, result, errors, **shown)
    if result.refusal is not None and not errors and has_moved(service, spec):
        errors = [deploy_llm.refused(typed, result)]
    if errors or spec is None:
        return deploy_llm.show(request, page, typed, result, errors, status=422, **shown)
    try:
        save(request, service, spec, began)
    except Conflict as conflict:
        shown |= conflict_context(request, service, spec, began, conflict)
        return deploy_llm.show(request, page, typed, result, [said(conflict)], status=409, **shown)
    except SpecInvalid as problem:
        errors = [deploy_llm.error_at("", error.code, error.message) for error in problem.errors]
        return deploy_llm.show(request, page, typed, result, errors, status=422, **shown)
    return created_at(request, f"/services/{service.name}")


def llm_posted(request: SignedInRequest, service: Service, page: deploy_llm.Page, began: Began) -> tuple[Typed, Began]:
    """The posted LLM form; with the other's changes in it where **Add their changes to mine** asks for them."""
    typed, wanted = Typed.parse(request.POST.dict()), service.wanted_revision
    if act_of(request) != TAKE_THEIRS or began.base is None or wanted is None:
        return typed, began
    base = base_document(service, began.base)
    old = llm_request_of(base)[0] if base else None
    mine = deploy_llm.worked_out(typed, page).request
    if old is None or mine is None:
        return typed, began
    was, now = render_document(old, page.nodes), render_document(mine, page.nodes)
    both = llm_request_of(merge_edits(base, wanted.document, carry_over(base, was, now)))[0]
    if both is None:
        return typed, began
    instances = int(typed.values["instances"] or service.wanted_instances)
    return typed_of(both, instances, page.nodes), replace(began, base=wanted.number, seen=None)


def merged(service: Service, llm: LlmRequest, wanted: LlmRequest, page: deploy_llm.Page) -> dict[str, Any]:
    """The document with what the form changed, and nothing else of it touched."""
    was, now = render_document(llm, page.nodes), render_document(wanted, page.nodes)
    result: dict[str, Any] = carry_over(service.document, was, now)
    return result


def has_moved(service: Service, spec: ServiceSpec | None) -> bool:
    """Whether more than the number of instances changes: a service that runs may always be scaled."""
    current = service.find_spec()
    return spec is None or current is None or not spec.differs_only_in_instances(current)


def edit_custom(request: SignedInRequest, service: Service, lost: list[str], *, is_llm: bool) -> HttpResponse:
    """The custom form of a service."""
    began = Began.of(request, service)
    page = deploy_custom.Page([service.workspace], service)
    extra: dict[str, Any] = {"lost": lost, "is_llm": is_llm}
    if request.method != "POST":
        draft = Draft.of(service.document, deploy_custom.view_of(request))
        draft = custom_with_proposal(draft, request.GET.dict())
        return show_custom(request, page, Shown(Acted(draft), custom.read(draft)), began, **extra)
    acted, began = take_theirs(request, service, deploy_custom.posted(request), began)
    reading = custom.read(acted.draft)
    spec = as_many_as_now(service, reading.spec, began)
    found = [*reading.errors, *renamed(service, spec)]
    errors = deploy_custom.located(found, acted.draft, reading)
    if act_of(request) != DEPLOY:
        shown = Shown(acted, reading, deploy_custom.visible(errors, request))
        return show_custom(request, page, shown, began, **extra)
    if errors or spec is None:
        return show_custom(request, page, Shown(acted, reading, errors, 422), began, **extra)
    try:
        save(request, service, spec, began)
    except Conflict as conflict:
        extra |= conflict_context(request, service, spec, began, conflict)
        return show_custom(request, page, Shown(acted, reading, [said(conflict)], 409), began, **extra)
    except SpecInvalid as problem:
        errors = deploy_custom.located(problem.errors, acted.draft, reading)
        return show_custom(request, page, Shown(acted, reading, errors, 422), began, **extra)
    return created_at(request, f"/services/{service.name}")


def take_theirs(request: SignedInRequest, service: Service, acted: Acted, began: Began) -> tuple[Acted, Began]:
    """**Add their changes to mine**: both edits in the draft, and from now on an edit of the newest version."""
    act, wanted = act_of(request), service.wanted_revision
    if act == "undo" and (base := posted_number(request, "undo_base")) is not None:
        return acted, replace(began, base=base, seen=None)
    document = custom.read(acted.draft).document
    if act != TAKE_THEIRS or began.base is None or wanted is None or document is None:
        return acted, began
    both = merge_edits(base_document(service, began.base), wanted.document, document)
    told = _("The changes of r%(number)s are in your draft.") % {"number": wanted.number}
    undo = replace(Undo.of(acted.draft, told), base=began.base)
    return Acted(Draft.of(both, acted.draft.view), undo), replace(began, base=wanted.number, seen=None)


def convert(request: SignedInRequest, service: Service, llm: LlmRequest) -> HttpResponse:
    """The LLM form's edits, carried to the custom form."""
    llm_page = deploy_llm.Page([service.workspace], get_cluster().capacity(), service)
    document: Mapping[str, Any] = service.document
    if request.method == "POST":
        typed = Typed.parse(request.POST.dict())
        result: Filled = deploy_llm.worked_out(typed, llm_page)
        if result.request is None:
            errors = deploy_llm.errors_of(typed, result, llm_page)
            context = edit_context(request, service, None, Began.of(request, service))
            return deploy_llm.show(request, llm_page, typed, result, errors, status=422, **context)
        document = merged(service, llm, result.request, llm_page)
    page = deploy_custom.Page([service.workspace], service)
    draft = Draft.of(document)
    shown = Shown(Acted(draft), custom.read(draft))
    return show_custom(request, page, shown, Began.of(request, service), is_dirty=request.method == "POST", is_llm=True)


def show_custom(
    request: SignedInRequest, page: deploy_custom.Page, shown: Shown, began: Began, **extra: Any
) -> HttpResponse:
    service = page.service
    if service is None:
        raise AssertionError("only a service is edited here")
    spec = as_many_as_now(service, shown.reading.spec, began)
    context = edit_context(request, service, spec, began, shown.reading) | extra
    return deploy_custom.show(request, page, shown, **context)


def edit_context(
    request: SignedInRequest, service: Service, spec: ServiceSpec | None, began: Began, reading: Reading | None = None
) -> dict[str, Any]:
    """What both forms show of an edit: its effect, what others saved, the reason, and where it began."""
    mine = spec.document if spec is not None else reading.document if reading is not None else None
    act = act_of(request) if request.method == "POST" else ""
    preflight = preflight_context(request, spec and with_engine_label(spec), service, act)
    return (
        began.context
        | preflight
        | {
            "effect": effect(service, spec),
            "meanwhile": meanwhile_of(service, began.base, mine),
            "reason": request.POST.get("reason", ""),
        }
    )


def conflict_context(
    request: SignedInRequest, service: Service, spec: ServiceSpec, began: Began, conflict: Conflict
) -> dict[str, Any]:
    """What a refused save adds: the other's changes are shown now, so the next save may be meant."""
    service.refresh_from_db()
    wanted = service.wanted_revision
    found: dict[str, Any] = {"conflict": conflict.message, "effect": effect(service, spec)}
    if conflict.code == "edited_meanwhile" and wanted is not None:
        found |= {
            "seen_number": wanted.number,
            "meanwhile": meanwhile_of(service, began.base, spec.document),
        }
    return found


def as_many_as_now(service: Service, spec: ServiceSpec | None, began: Began) -> ServiceSpec | None:
    """The spec with the service's number of instances where it gives none, or the one that the edit began with:
    whoever scales meanwhile is not overruled by an edit that does not speak of it.
    """
    if spec is None or ("instance" in spec.document["metadata"] and spec.instances != began.instances):
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


def save(request: SignedInRequest, service: Service, spec: ServiceSpec, began: Began) -> None:
    """Write it, if nobody else did since, or what they did was shown. Raises as ``lifecycle.update``."""
    lifecycle.update(
        service,
        spec,
        request.user,
        reason=reason_of(request),
        base=began.seen if began.seen is not None else began.base,
        keep_instances=spec.instances == service.wanted_instances,  # a scale may come at any time
    )


def posted_number(request: SignedInRequest, name: str) -> int | None:
    digits = str(request.POST.get(name, ""))
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else None


def said(conflict: Conflict) -> FormError:
    return FormError("", "deploy-title", "", conflict.message, conflict.code)
