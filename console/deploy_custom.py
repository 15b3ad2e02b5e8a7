"""The custom form: one document as fields, as JSON and as YAML (console.md §5). No I/O.

Each view converts into the others without loss. In the view of the fields, what they do not show travels in a hidden
field; a document that they cannot hold stays in its text, and what stands in the way is named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.deploy_fields import (
    MAX_ROWS,
    TEXTS,
    EnvRow,
    Fields,
    MountRow,
    is_simple_mount,
    unix,
    unshowable,
    write_fields,
)
from console.field_words import with_label
from deployments.spec import FieldError, ServiceSpec, SpecInvalid
from deployments.spec.places import Place, TextInvalid
from deployments.spec.text import JSON, YAML, DocumentText, read_text, write_text

FORM = "form"
VIEWS = (FORM, JSON, YAML)
LABELS = {
    "service_name": gettext_lazy("Service Name"),
    "image": gettext_lazy("Image"),
    "port": gettext_lazy("Port"),
    "run": gettext_lazy("Command to Run"),
    "instances": gettext_lazy("Instances"),
    "cpu": gettext_lazy("CPU"),
    "memory": gettext_lazy("Memory"),
    "gpu": gettext_lazy("GPUs"),
    "env": gettext_lazy("Environment"),
    "mount": gettext_lazy("Mounts"),
    "document": gettext_lazy("Service document"),
    "workspace": gettext_lazy("Workspace"),
}
ROW_LABELS = {
    "name": gettext_lazy("Name"),
    "value": gettext_lazy("Value"),
    "path": gettext_lazy("OSS path"),
    "mount_path": gettext_lazy("Mount path"),
}
#: Fields that are one value of the document.
PATHS = {
    "service_name": "metadata.name",
    "instances": "metadata.instance",
    "cpu": "metadata.cpu",
    "memory": "metadata.memory",
    "gpu": "metadata.gpu",
    "image": "containers[0].image",
    "port": "containers[0].port",
}
_ROW_PATH = re.compile(r"(containers\[0\]\.env|storage)\[(\d+)\](?:\.(.+))?")


@dataclass(frozen=True, slots=True)
class Draft:
    """What was written, in the view it was written in: ``text`` in JSON or YAML, else ``fields`` upon ``base``."""

    view: str
    fields: Fields
    text: str
    base: Mapping[str, Any]

    @classmethod
    def of(cls, document: Mapping[str, Any], view: str = FORM) -> Draft:
        """A document in a view. One that the fields cannot hold is shown as JSON instead."""
        if view == FORM and unshowable(document):
            view = JSON
        text = "" if view == FORM else write_text(document, view)
        return cls(view, Fields.of(document), text, document)

    @classmethod
    def parse(cls, form: QueryDict) -> Draft:
        """Read what was posted, and do what an add or remove button asks for."""
        view = form.get("view", FORM)
        if view != FORM:
            return cls(JSON if view != YAML else YAML, Fields.of({}), unix(str(form.get("document", ""))), {})
        texts = {name: unix(str(form.get(name, ""))).strip() for name in TEXTS}
        env = tuple(map(EnvRow, form.getlist("env_name")[:MAX_ROWS], form.getlist("env_value")[:MAX_ROWS]))
        kinds, sources = form.getlist("mount_kind")[:MAX_ROWS], form.getlist("mount_source")[:MAX_ROWS]
        mounts = tuple(map(MountRow, kinds, sources, form.getlist("mount_path")[:MAX_ROWS]))
        act = next((one for one in reversed(form.getlist("act")) if one), "")
        # Blank rows stay where they are, or a row would slip under the hands of whoever empties another.
        env = tuple(row for index, row in enumerate(env) if act != f"remove-env:{index}")
        mounts = tuple(row for index, row in enumerate(mounts) if act != f"remove-mount:{index}")
        try:
            base = json.loads(form.get("base_document", "") or "{}")
        except (ValueError, RecursionError):
            base = {}
        return cls(FORM, Fields(texts, env, mounts), "", base if isinstance(base, dict) else {})


@dataclass(frozen=True, slots=True)
class Reading:
    """What a draft means: ``document`` and ``spec`` as far as there is one, and everything wrong with it."""

    document: dict[str, Any] | None
    spec: ServiceSpec | None
    errors: tuple[FieldError, ...]
    text: DocumentText | None = None
    place: Place | None = None  # of text that is no document at all

    def find_place(self, path: str) -> Place | None:
        """Where a field stands in the text; None where the draft is no text."""
        return self.text.find_place(path) if self.text is not None else self.place


def read(draft: Draft) -> Reading:
    """The draft's document, checked. Errors name the document's fields."""
    if draft.view == FORM:
        document, text = write_fields(draft.fields, draft.base), None
    else:
        try:
            text = read_text(draft.text, draft.view)
        except TextInvalid as problem:
            error = FieldError("document", problem.code, problem.message)
            return Reading(None, None, (error,), place=problem.place)
        document = text.document
    try:
        return Reading(document, ServiceSpec.parse(document), (), text)
    except SpecInvalid as problem:
        return Reading(document, None, problem.errors, text)


@dataclass(frozen=True, slots=True)
class Switched:
    """A draft in another view. ``problem`` is why it stayed where it was; ``loses_comments`` where it did not."""

    draft: Draft
    problem: FieldError | None = None
    loses_comments: bool = False


def switch_view(draft: Draft, view: str) -> Switched:
    """The same document in another view; text that cannot be read, or not be held by the fields, stays as it is."""
    if view == draft.view or view not in VIEWS:
        return Switched(draft)
    reading = read(draft)
    if reading.document is None:
        return Switched(draft, reading.errors[0])
    if view == FORM and (parts := unshowable(reading.document)):
        message = _("The form cannot show this without changing it: %(parts)s. Change it in this view.") % {
            "parts": ", ".join(parts[:5])
        }
        return Switched(draft, FieldError(parts[0], "form_cannot_show", message))
    comments = reading.text is not None and reading.text.has_comments
    return Switched(Draft.of(reading.document, view), loses_comments=comments)


def run_of(document: Mapping[str, Any] | None) -> str:
    """The command of the document, as the summary shows it."""
    return Fields.of(document or {}).texts["run"]


def field_of(error: FieldError, draft: Draft) -> tuple[str, str]:
    """Where to show an error of a document: the field's name and its element. The text where no field holds it."""
    if draft.view == FORM and error.field not in ("", "document"):
        for name, path in PATHS.items():
            if error.field == path:
                return name, f"f-{name}"
        if error.field in ("containers[0].script", "containers[0].command", "containers[0]"):
            return "run", "f-run"
        if error.field == "metadata.workspace_id":
            return "workspace", "f-workspace"
        if match := _ROW_PATH.match(error.field):
            return row_field(match, draft)
    return "document", "part-document" if draft.view == FORM else "f-document"


def row_field(match: re.Match[str], draft: Draft) -> tuple[str, str]:
    """A row's input: the document's entries that rows show are the rows that are not blank, in their order."""
    index, part = int(match[2]), match[3] or ""
    is_mount = match[1] == "storage"
    rows: Sequence[EnvRow | MountRow] = draft.fields.mounts if is_mount else draft.fields.env
    if is_mount:
        entries = write_fields(draft.fields, draft.base).get("storage", [])
        simple = [number for number, one in enumerate(entries) if is_simple_mount(one)]
        index = simple.index(index) if index in simple else len(rows)
    numbers = [number for number, row in enumerate(rows) if not row.is_blank]
    if index >= len(numbers):
        return "document", "part-document"
    if not is_mount:
        return "env", f"env-{numbers[index]}-{'value' if part == 'value' else 'name'}"
    return "mount", f"mount-{numbers[index]}-{'source' if part.startswith('oss') else 'path'}"


def label_of(field: str) -> str:
    return str(LABELS.get(field, ""))


def worded(error: FieldError, field: str) -> str:
    """The sentence with the field's label in place of its path in the document."""
    if field == "document":
        return error.message
    part = error.field.rsplit(".", 1)[-1]
    label = ROW_LABELS.get(part, label_of(field)) if field in ("env", "mount") else label_of(field)
    return with_label(error.message, error.field, str(label))


def with_spare_rows(fields: Fields, act: str = "") -> Fields:
    """A blank row at the end, so that there is always one to write in, with or without scripts."""
    env, mounts = fields.env, fields.mounts
    if act == "add-env" or not env or not env[-1].is_blank:
        env = (*env, EnvRow())
    if act == "add-mount" or not mounts or not mounts[-1].is_blank:
        mounts = (*mounts, MountRow())
    return replace(fields, env=env, mounts=mounts)
