"""The custom form, ``/deploy/custom``: fields, JSON and YAML of one document.

GET shows a starter. POST deploys, unless another act is asked for: a preview, another view, a starter, a file.
``?from=llm`` takes the LLM form's fields and shows their document here (**Convert to Custom Deployment**), and
``/deploy/llm?from=custom`` goes the other way; neither creates anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from console import deploy_custom as custom
from console.access import SignedInRequest, is_scripted, signed_in
from console.deploy_acts import Acted, File, act_on
from console.deploy_custom import FORM, Draft, Reading
from console.deploy_fields import hidden_parts, write_fields
from console.deploy_llm import Typed, typed_of
from console.deploy_preflight import preflight_context
from console.deploy_starters import STARTERS, list_offers
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
from console.editor_words import editor_words
from console.views import deploy_llm
from deployments import lifecycle
from deployments.clusters import get_cluster
from deployments.differences import compare
from deployments.lifecycle import Conflict
from deployments.llm_form import llm_request_of, render_document, suggest_service_name
from deployments.models import Service, Workspace
from deployments.spec import FieldError, SpecInvalid
from deployments.spec.schema import document_schema, passed_over
from deployments.spec.spec import MAX_DOCUMENT_BYTES
from deployments.spec.text import JSON, YAML, write_text

NAME_TAKEN = "name_taken"


@dataclass(frozen=True, slots=True)
class Page:
    """What a render needs besides the draft. ``service`` is the one being updated."""

    workspaces: Sequence[Workspace]
    service: Service | None = None

    @property
    def address(self) -> str:
        return f"/services/{self.service.name}/edit?form=custom" if self.service else "/deploy/custom"


@dataclass(frozen=True, slots=True)
class Shown:
    """One answer: what is written, what it means, and what to say about it."""

    acted: Acted
    reading: Reading
    errors: Sequence[FormError] = ()
    status: int = 200

    @property
    def draft(self) -> Draft:
        return self.acted.draft


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def deploy_custom(request: SignedInRequest) -> HttpResponse:
    """Show, preview, deploy."""
    page = Page(changeable_workspaces(request.user))
    if request.method != "POST":
        document = STARTERS[0].document(taken_names(STARTERS[0].stem), ())
        if request.GET.get("workspace") in [one.slug for one in page.workspaces]:  # as the list one came from
            document["metadata"]["workspace_id"] = request.GET["workspace"]
        draft = Draft.of(document, view_of(request))
        return show(request, page, Shown(Acted(draft), custom.read(draft)))
    if request.GET.get("from") == "llm":
        return convert(request, page)
    acted = posted(request)
    reading = custom.read(acted.draft)
    if request.GET.get("to") == "llm":
        return convert_back(request, page, acted, reading)
    errors = [*located(reading.errors, acted.draft, reading), *taken_or_unknown(acted.draft, reading, page)]
    if act_of(request) != DEPLOY:
        return show(request, page, Shown(acted, reading, visible(errors, request)))
    if errors or reading.spec is None:
        return show(request, page, Shown(acted, reading, errors, 422))
    workspace = choose_workspace(reading.spec.workspace or "", page.workspaces)
    if workspace is None:
        raise AssertionError("an unknown workspace is an error of the form")
    try:
        service = lifecycle.create(workspace, request.user, reading.spec, reason=reason_of(request))
    except Conflict as conflict:
        place = FieldError("metadata.name" if conflict.code == NAME_TAKEN else "", conflict.code, conflict.message)
        return show(request, page, Shown(acted, reading, located([place], acted.draft, reading), 422))
    except SpecInvalid as problem:
        return show(request, page, Shown(acted, reading, located(problem.errors, acted.draft, reading), 422))
    return created_at(request, f"/services/{service.name}")


@require_safe
@signed_in
def schema(request: SignedInRequest) -> HttpResponse:
    """The JSON schema of a service document, for the editor's completion; in the reader's language."""
    whole = document_schema(on_kubernetes=settings.SLIPWAY_CLUSTER == "kubernetes")
    return JsonResponse(whole, headers={"Cache-Control": "private, max-age=3600", "Vary": "Cookie"})


def view_of(request: SignedInRequest) -> str:
    """The view that the address names."""
    wanted = str(request.GET.get("view", ""))
    return wanted if wanted in custom.VIEWS else FORM


def posted(request: SignedInRequest) -> Acted:
    """The posted draft, after what its button does to it."""
    act = act_of(request)
    starter = act.removeprefix("starter:") if act.startswith("starter:") else ""
    stem = next((one.stem for one in STARTERS if one.key == starter), "")
    taken = taken_names(stem) if stem else set()
    nodes = get_cluster().capacity() if stem else ()
    return act_on(Draft.parse(request.POST), act, request.POST, file_of(request), taken, nodes)


def file_of(request: SignedInRequest) -> File | None:
    """The file that was chosen, or dropped on the page; one over the limit is not read."""
    upload = request.FILES.get("file")
    if upload is None or not upload.name:
        return None
    is_small = upload.size is not None and upload.size <= MAX_DOCUMENT_BYTES
    return File(upload.name[:120], upload.read() if is_small else None)


def convert(request: SignedInRequest, page: Page) -> HttpResponse:
    """The LLM form's document here; where it has none yet, the LLM form again with what is wrong."""
    typed = Typed.parse(request.POST.dict())
    llm = deploy_llm.Page(page.workspaces, get_cluster().capacity())
    result = deploy_llm.worked_out(typed, llm)
    if result.request is None:
        errors = deploy_llm.errors_of(typed, result, llm)
        return deploy_llm.show(request, llm, typed, result, errors, status=422)
    draft = Draft.of(render_document(result.request, llm.nodes))
    reading = custom.read(draft)
    return show(request, page, Shown(Acted(draft), reading, located(reading.errors, draft, reading)))


def convert_back(request: SignedInRequest, page: Page, acted: Acted, reading: Reading) -> HttpResponse:
    """The document in the LLM form; what that cannot hold is listed first, and left out only when it is meant."""
    if reading.spec is None:
        return show(request, page, Shown(acted, reading, located(reading.errors, acted.draft, reading), 422))
    llm, lost = llm_request_of(reading.spec.document)
    if llm is None:
        message = _("The LLM form cannot open this: its command starts no model that the form knows.")
        problem = FieldError(lost[0] if lost else "", "no_llm", message)
        return show(request, page, Shown(Acted(acted.draft, acted.undo, problem), reading))
    if lost and request.GET.get("sure") != "1":
        values = {one.path: one for one in compare({}, reading.spec.document)}
        return show(request, page, Shown(acted, reading), left_out=[values.get(path, path) for path in lost])
    form = deploy_llm.Page(page.workspaces, get_cluster().capacity())
    typed = typed_of(llm, reading.spec.instances, form.nodes)
    typed = replace(typed, filled={**typed.filled, "service_name": ""})  # the name was chosen, not suggested
    return deploy_llm.show(request, form, typed, deploy_llm.worked_out(typed, form), [])


def reason_of(request: SignedInRequest) -> str:
    """Why, in the person's own words; "" for nothing said."""
    return " ".join(str(request.POST.get("reason", "")).replace("\0", "").split())[:500]


def located(errors: Sequence[FieldError], draft: Draft, reading: Reading) -> list[FormError]:
    """Errors of the document as the page shows them: at a field, or at a line of the text."""
    found = []
    for error in errors:
        field, element = custom.field_of(error, draft)
        message = custom.worded(error, field)
        if error.code == "name_missing":
            suggestion = suggest_service_name("custom", taken_names("custom"))
            message += " " + _("Use `%(name)s`?") % {"name": suggestion}
        place = None if draft.view == FORM else reading.find_place(error.field)
        line, column = (place.line, place.column) if place else (0, 0)
        found.append(FormError(field, element, custom.label_of(field), message, error.code, line, column))
    return sorted(found, key=lambda one: one.line)


def taken_or_unknown(draft: Draft, reading: Reading, page: Page) -> list[FormError]:
    """What the database knows against a document that is right in itself."""
    errors, spec = [], reading.spec
    if spec is not None and page.service is None and Service.objects.filter(name=spec.name).exists():
        message = _("A service named %(name)s exists already. Choose another name, or update that service.")
        errors.append(FieldError("metadata.name", NAME_TAKEN, message % {"name": spec.name}))
    if spec is not None and choose_workspace(spec.workspace or "", page.workspaces) is None:
        message = _("metadata.workspace_id names no workspace of yours. Choose one of %(names)s.")
        told = {"names": ", ".join(one.slug for one in page.workspaces)}
        errors.append(FieldError("metadata.workspace_id", "workspace_unknown", message % told))
    return located(errors, draft, reading)


def visible(errors: list[FormError], request: SignedInRequest) -> list[FormError]:
    """While typing into fields only what was left once is corrected."""
    if not is_scripted(request):
        return errors
    visited = visited_of(request.POST.dict())
    fields = {"env_name": "env", "env_value": "env", "mount_path": "mount", "mount_source": "mount"}
    seen = {fields.get(name, name) for name in visited}
    return [error for error in errors if error.field in seen]


def notes_of(draft: Draft, reading: Reading) -> list[FormError]:
    """What the document holds that does nothing here, at its line."""
    found = []
    for one in passed_over(reading.document or {}, on_kubernetes=settings.SLIPWAY_CLUSTER == "kubernetes"):
        place = None if draft.view == FORM else reading.find_place(one.path)
        line, column = (place.line, place.column) if place else (0, 0)
        found.append(FormError("document", "f-document", one.path, one.message, "passed_over", line, column))
    return found


def show(request: SignedInRequest, page: Page, shown: Shown, **extra: Any) -> HttpResponse:
    """The page, or for a script the form alone."""
    act = act_of(request) if request.method == "POST" else ""
    draft, reading, problem = shown.draft, shown.reading, shown.acted.problem
    fields = custom.with_spare_rows(draft.fields, act)
    document = reading.document
    problems = located(reading.errors, draft, reading)
    if page.service is None:
        extra = preflight_context(request, reading.spec, None, act) | extra
    context = {
        "section": "services",
        "page": page,
        "service": page.service,
        "address": page.address,
        "draft": draft,
        "view": draft.view,
        "views": [{"key": FORM, "word": _("Form")}, {"key": JSON, "word": "JSON"}, {"key": YAML, "word": "YAML"}],
        "editor_words": editor_words(),
        "v": draft.fields.texts,
        "fields": fields,
        "base_document": write_text(write_fields(draft.fields, draft.base), JSON) if draft.view == FORM else "",
        "hidden_parts": hidden_parts(document or {}) if draft.view == FORM else [],
        "workspaces": page.workspaces,
        "errors": by_field(shown.errors),
        "row_errors": {error.element_id: error.message for error in shown.errors},
        "error_list": shown.errors if shown.status != 200 else [],
        "problems": problems,
        "notes": notes_of(draft, reading),
        "act_problem": located([problem], draft, reading)[0] if problem else None,
        "undo": shown.acted.undo,
        "starters": [] if page.service else list_offers(get_cluster()),
        "visited": " ".join(sorted(visited_of(request.POST.dict()))),
        "reason": request.POST.get("reason", ""),
        "is_dirty": request.method == "POST",
        "has_editor": True,
        "is_local": settings.SLIPWAY_CLUSTER == "local",
        "command": custom.run_of(document),
        "document": write_text(document, JSON) if document is not None and draft.view == FORM else "",
        "refusal": get_cluster().refuse(reading.spec) if reading.spec is not None else None,
        "draft_store": "tab",
        "act": act,
        **extra,
    }
    template = "console/deploy/custom_form.html" if is_scripted(request) else "console/deploy/custom.html"
    return render(request, template, context, status=shown.status)
