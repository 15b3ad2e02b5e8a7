"""The custom form, ``/deploy/custom``: image, command, port, environment and mounts, or the JSON of the same document.

GET shows a starter. POST deploys, unless a preview is asked for; ``?from=llm`` takes the LLM form's fields and
shows their document here (**Convert to Custom Deployment**), creating nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from console import deploy_custom as custom
from console.access import SignedInRequest, is_scripted, signed_in
from console.deploy_custom import CustomForm
from console.deploy_effect import Effect
from console.deploy_llm import Typed
from console.deploy_target import (
    DEPLOY,
    FormError,
    act_of,
    by_field,
    changeable_workspaces,
    choose_workspace,
    created_at,
    taken_names,
    visited_of,
)
from console.views import deploy_llm
from deployments import lifecycle
from deployments.clusters import get_cluster
from deployments.lifecycle import Conflict
from deployments.llm_form import render_document, suggest_service_name
from deployments.models import Service, Workspace
from deployments.spec import FieldError, ServiceSpec, SpecInvalid

NAME_TAKEN = "name_taken"


@dataclass(frozen=True, slots=True)
class Page:
    """What a render needs besides the form. ``service`` is the one being updated."""

    workspaces: Sequence[Workspace]
    service: Service | None = None

    @property
    def address(self) -> str:
        return f"/services/{self.service.name}/edit?form=custom" if self.service else "/deploy/custom"


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def deploy_custom(request: SignedInRequest) -> HttpResponse:
    """Show, preview, deploy."""
    page = Page(changeable_workspaces(request.user))
    if request.method != "POST":
        return show(request, page, CustomForm.of(starter()), None, [])
    if request.GET.get("from") == "llm":
        return convert(request, page)
    form = CustomForm.parse(request.POST)
    spec, found = read(form)
    errors = [*located(found, form), *taken_or_unknown(form, spec, page)]
    if act_of(request) != DEPLOY:
        return show(request, page, form, spec, visible(errors, request))
    if errors or spec is None:
        return show(request, page, form, spec, errors, status=422)
    workspace = choose_workspace(spec.workspace or "", page.workspaces)
    if workspace is None:
        raise AssertionError("an unknown workspace is an error of the form")
    try:
        service = lifecycle.create(workspace, request.user, spec)
    except Conflict as conflict:
        code = conflict.code
        place = FieldError("metadata.name" if code == NAME_TAKEN else "", code, conflict.message)
        return show(request, page, form, spec, located([place], form), status=422)
    except SpecInvalid as problem:
        return show(request, page, form, spec, located(problem.errors, form), status=422)
    return created_at(request, f"/services/{service.name}")


def convert(request: SignedInRequest, page: Page) -> HttpResponse:
    """The LLM form's document here; where it has none yet, the LLM form again with what is wrong."""
    typed = Typed.parse(request.POST.dict())
    llm = deploy_llm.Page(page.workspaces, get_cluster().capacity())
    result = deploy_llm.worked_out(typed, llm)
    if result.request is None:
        errors = deploy_llm.errors_of(typed, result, llm)
        return deploy_llm.show(request, llm, typed, result, errors, status=422)
    form = CustomForm.of(render_document(result.request, llm.nodes))
    spec, found = read(form)
    return show(request, page, form, spec, located(found, form), is_dirty=True)


def starter() -> dict[str, Any]:
    """A small program that runs anywhere, under a free name."""
    document = copy.deepcopy(custom.STARTER)
    document["metadata"]["name"] = suggest_service_name("custom", taken_names("custom"))
    return document


def read(form: CustomForm) -> tuple[ServiceSpec | None, list[FieldError]]:
    """The form's document, checked. Errors name the document's fields."""
    document, errors = custom.document_of(form)
    return (None, errors) if document is None else custom.check(document)


def located(errors: Sequence[FieldError], form: CustomForm) -> list[FormError]:
    found = []
    for error in errors:
        field, element = custom.field_of(error, form)
        message = custom.worded(error, field)
        if error.code == "name_missing":
            message += f" Use `{suggest_service_name('custom', taken_names('custom'))}`?"
        found.append(FormError(field, element, custom.label_of(field), message, error.code))
    return found


def taken_or_unknown(form: CustomForm, spec: ServiceSpec | None, page: Page) -> list[FormError]:
    """What the database knows against a document that is right in itself."""
    errors = []
    if spec is not None and page.service is None and Service.objects.filter(name=spec.name).exists():
        message = f"A service named {spec.name} exists already. Choose another name, or update that service."
        errors.append(FieldError("metadata.name", NAME_TAKEN, message))
    if spec is not None and choose_workspace(spec.workspace or "", page.workspaces) is None:
        names = ", ".join(one.slug for one in page.workspaces)
        message = f"metadata.workspace_id names no workspace of yours. Choose one of {names}."
        errors.append(FieldError("metadata.workspace_id", "workspace_unknown", message))
    return located(errors, form)


def visible(errors: list[FormError], request: SignedInRequest) -> list[FormError]:
    """While typing only what was left once is corrected."""
    if not is_scripted(request):
        return errors
    visited = visited_of(request.POST.dict())
    fields = {"env_name": "env", "env_value": "env", "mount_path": "mount", "mount_source": "mount"}
    seen = {fields.get(name, name) for name in visited}
    return [error for error in errors if error.field in seen]


def show(
    request: SignedInRequest,
    page: Page,
    form: CustomForm,
    spec: ServiceSpec | None,
    errors: list[FormError],
    *,
    status: int = 200,
    effect: Effect | None = None,
    **extra: Any,
) -> HttpResponse:
    """The page, or for a script the form alone. What is not being edited shows what is."""
    act = act_of(request) if request.method == "POST" else ""
    document, unreadable = custom.document_of(form)
    if document is not None:
        text = form.text if form.mode == custom.JSON else custom.dump(document)
        same = form if form.mode == custom.FORM else CustomForm.of(document, custom.JSON)
        form = replace(same, text=text, base=document)
    form = custom.with_spare_rows(form, act)
    context = {
        "section": "services",
        "page": page,
        "service": page.service,
        "address": page.address,
        "form": form,
        "v": form.texts,
        "base_document": custom.dump(form.base),
        "hidden_parts": custom.hidden_parts(form.base),
        "workspaces": page.workspaces,
        "errors": by_field(errors),
        "row_errors": {error.element_id: error.message for error in errors},
        "error_list": errors if status != 200 else [],
        "visited": " ".join(sorted(visited_of(request.POST.dict()))),
        "is_dirty": request.method == "POST",
        "has_editor": True,
        "is_readable": not unreadable,
        "command": form.texts["run"],
        "document": form.text,
        "problems": located(read(form)[1], form),
        "refusal": get_cluster().refuse(spec) if spec is not None else None,
        "effect": effect,
        "draft_store": "tab",
        "act": act,
        **extra,
    }
    template = "console/deploy/custom_form.html" if is_scripted(request) else "console/deploy/custom.html"
    return render(request, template, context, status=status)
