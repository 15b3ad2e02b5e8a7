"""**LLM Deployment**, ``/deploy/llm``: one form, its document and command shown before the click.

GET shows it filled in. POST deploys, unless the button (or the script, 300 ms after typing) asks for a preview:
then the same form comes back with everything worked out anew. Nothing is created by a form with an error.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from console.access import SignedInRequest, is_scripted, signed_in
from console.deploy_bar import draw_bar
from console.deploy_llm import LABELS, Filled, Typed, field_of, field_of_refusal, fill_in, worded
from console.deploy_models import families, list_accelerations, list_models
from console.deploy_preflight import preflight_context
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
from deployments import lifecycle
from deployments.catalog import Precision
from deployments.clusters import get_cluster
from deployments.clusters.base import Capacity
from deployments.fitting import Recommendation
from deployments.lifecycle import Conflict
from deployments.llm_form import render_document, wanted_of
from deployments.models import Service, Workspace
from deployments.recommendation import list_options
from deployments.spec import FieldError, ServiceSpec, SpecInvalid, suggest_name
from deployments.words import number


@dataclass(frozen=True, slots=True)
class Page:
    """What a render needs besides the form. ``service`` is the one being updated."""

    workspaces: Sequence[Workspace]
    nodes: Sequence[Capacity]
    service: Service | None = None

    @property
    def address(self) -> str:
        return f"/services/{self.service.name}/edit?form=llm" if self.service else "/deploy/llm"


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def deploy_llm(request: SignedInRequest) -> HttpResponse:
    """Show, preview, deploy."""
    page = Page(changeable_workspaces(request.user), get_cluster().capacity())
    if request.method != "POST":
        typed = Typed.start(request.GET.dict())
        return show(request, page, typed, worked_out(typed, page), [])
    typed = Typed.parse(request.POST.dict())
    result = worked_out(typed, page)
    errors = errors_of(typed, result, page)
    if act_of(request) != DEPLOY:
        return show(request, page, typed, result, visible(errors, request))
    if not errors and result.request is not None:
        if result.refusal is not None:
            errors = [refused(typed, result)]
        else:
            created = create(request, page, typed, result)
            if isinstance(created, Service):
                return created_at(request, f"/services/{created.name}")
            errors = created
    return show(request, page, typed, result, errors, status=422)


def create(request: SignedInRequest, page: Page, typed: Typed, result: Filled) -> Service | list[FormError]:
    """The service, or why the lifecycle refused it."""
    workspace = choose_workspace(typed.values["workspace"], page.workspaces)
    if result.request is None or workspace is None:
        raise AssertionError("a form with errors is not created")
    try:
        spec = ServiceSpec.parse(render_document(result.request, page.nodes))
        return lifecycle.create(workspace, request.user, spec)
    except Conflict as conflict:
        return [error_at("service_name" if conflict.code == "name_taken" else "", conflict.code, conflict.message)]
    except SpecInvalid as problem:
        return [error_at("", error.code, error.message) for error in problem.errors]


def worked_out(typed: Typed, page: Page) -> Filled:
    if page.service is not None:
        return fill_in(typed, page.nodes, (), page.service.name, get_cluster().refuse)
    stem = suggest_name(typed.model_key) or "llm_service"
    return fill_in(typed, page.nodes, taken_names(stem), refuse=get_cluster().refuse)


def errors_of(typed: Typed, result: Filled, page: Page) -> list[FormError]:
    """Everything wrong with the fields themselves; whether the cluster can run it is ``refused``'s."""
    errors = [
        error_at(field_of(error, is_custom=typed.is_custom), error.code, worded(error, result.filled["service_name"]))
        for error in result.errors
    ]
    name = result.values["service_name"]
    name_is_fine = not any(error.field == "service_name" for error in errors)
    if page.service is None and name_is_fine and Service.objects.filter(name=name).exists():
        message = _("A service named %(name)s exists already. Choose another name, or update that service.")
        errors.append(error_at("service_name", "name_taken", message % {"name": name}))
    if choose_workspace(typed.values["workspace"], page.workspaces) is None:
        names = ", ".join(one.slug for one in page.workspaces)
        errors.append(
            error_at(
                "workspace", "workspace_unknown", _("Choose one of your workspaces: %(names)s.") % {"names": names}
            )
        )
    return errors


def refused(typed: Typed, result: Filled) -> FormError:
    """The cluster's reason as an error of the field that can change it."""
    if result.refusal is None:
        raise AssertionError("nothing was refused")
    message = f"{result.refusal.message} {result.refusal.cure}".strip()
    return error_at(field_of_refusal(result.refusal, typed), result.refusal.code, message)


def error_at(field: str, code: str, message: str) -> FormError:
    element = {"model": "model-search", "": "deploy-title"}.get(field, f"f-{field}")
    return FormError(field, element, str(LABELS.get(field, "")), message, code)


def visible(errors: list[FormError], request: SignedInRequest) -> list[FormError]:
    """While typing only what was left once is corrected; without scripts a preview shows everything."""
    if not is_scripted(request):
        return errors
    visited = visited_of(request.POST.dict())
    return [error for error in errors if error.field in visited]


def show(
    request: SignedInRequest,
    page: Page,
    typed: Typed,
    result: Filled,
    errors: list[FormError],
    status: int = 200,
    **extra: Any,
) -> HttpResponse:
    """The page, or for a script the form alone."""
    if page.service is None:
        extra = preflight_context(request, spec_of(result), None, act_of(request)) | extra
    context = context_of(page, typed, result) | {
        "errors": by_field(errors),
        "error_list": errors if status != 200 else [],
        "visited": " ".join(sorted(visited_of(request.POST.dict()))),
        "is_dirty": request.method == "POST",
        **extra,
    }
    template = "console/deploy/llm_form.html" if is_scripted(request) else "console/deploy/llm.html"
    return render(request, template, context, status=status)


def spec_of(result: Filled) -> ServiceSpec | None:
    """The document that the form stands for, as far as it can be shown."""
    return ServiceSpec.parse(result.preview["document"]) if result.preview else None


def context_of(page: Page, typed: Typed, result: Filled) -> dict[str, Any]:
    found, shown = result.found, result.preview
    name = result.filled["service_name"]
    fields_wrong = [FieldError(one.field, one.code, worded(one, name)) for one in result.errors]
    options = list_machines(page, result)
    return {
        "section": "services",
        "page": page,
        "service": page.service,
        "address": page.address,
        "v": result.values,
        "result": result,
        "models": list_models(page.nodes, result.values["model"]),
        "families": families(),
        "accelerations": list_accelerations(typed.chosen_model, page.nodes, result.values["acceleration"]),
        "precisions": [str(one) for one in (typed.chosen_model.precisions if typed.chosen_model else Precision)],
        "machines": options,
        "gpu_products": list_gpu_products(page.nodes, result.values["gpu_product"]),
        "workspaces": page.workspaces,
        "found": found,
        "bar": draw_bar(found, is_absent=found.machine.instance_type != "" and result.refusal is not None)
        if found
        else None,
        "refusal": result.refusal,
        "command": shown["command"] if shown else "",
        "document": json.dumps(shown["document"], indent=2, ensure_ascii=False) if shown else "",
        "pending": fields_wrong if shown is None else [],
    }


def list_gpu_products(nodes: Sequence[Capacity], chosen: str) -> list[str]:
    """The GPUs to choose among where instances are put on nodes that name theirs, and the one that is chosen."""
    there = {node.gpu_product for node in nodes if node.reserves and node.gpus and node.gpu_product}
    return sorted(there | ({chosen} if chosen else set()))


def machine_words(one: Recommendation) -> str:
    gpus = f"{number(one.machine.gpus)} × {one.machine.gpu_product}"
    if not one.bar.shortfall_gib:
        return gpus
    return _("%(gpus)s, %(short)s GiB short") % {"gpus": gpus, "short": number(one.bar.shortfall_gib, 1)}


def list_machines(page: Page, result: Filled) -> list[dict[str, Any]]:
    """What can be rented, where instances can be; a misfit with how much it lacks."""
    if result.found is None or result.request is None:
        chosen = result.values["instance_type"]
        return [{"name": chosen, "words": "", "is_chosen": True}] if chosen else []
    from_cluster = [one for one in list_options(wanted_of(result.request), page.nodes) if one.machine.instance_type]
    return [
        {
            "name": one.machine.instance_type,
            "words": machine_words(one),
            "is_chosen": one.machine.instance_type == result.values["instance_type"],
        }
        for one in from_cluster
    ]
