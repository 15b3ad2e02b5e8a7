"""Pydantic's findings, said in Slipway's words: the field, what is wrong, the cure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, get_args

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from deployments.spec.errors import FieldError
from deployments.words import number

#: Sentences for rules that are more than a type or a range; they know %(path)s and %(input)s.
SENTENCES = {
    "port_reserved": gettext_noop(
        "%(path)s %(input)s is reserved for the gateway's engine. Let the program listen on another port."
    ),
    "probe_action": gettext_noop("%(path)s needs exactly one of http_get, tcp_socket and exec."),
    "script_and_command": gettext_noop("%(path)s has script and command. Keep one of them."),
    "storage_source": gettext_noop("%(path)s needs exactly one source: oss, nfs, git, dataset or empty_dir."),
    "mount_path": gettext_noop(
        "%(path)s.mount_path must be an absolute path, without spaces and `..`, such as /model_dir."
    ),
    "mount_colon": gettext_noop("%(path)s.mount_path must not hold a colon. Use another, such as /model_dir."),
    "mount_system": gettext_noop(
        "%(path)s.mount_path would cover %(folder)s, a system folder. Use another, such as /model_dir."
    ),
    "oss_path": gettext_noop(
        "%(path)s must look like oss://BUCKET/FOLDER/, the bucket of a-z, 0-9, - and ., without `..`."
    ),
    "image_name": gettext_noop("%(path)s must be the name of an image, such as chat-llm-webui:3.0."),
    "docker_auth": gettext_noop(
        "%(path)s must be USER:PASSWORD in base64, as `printf USER:PASSWORD | base64` writes it."
    ),
    "autoscaler_bounds": gettext_noop("%(path)s.max must not be less than %(path)s.min."),
    "text_nul": gettext_noop("%(path)s holds a NUL character. Remove it."),
}
#: What a field must be that has no description.
VALID = gettext_noop("valid")
AN_OBJECT, A_TEXT = gettext_noop("an object"), gettext_noop("a text")
CODES = {
    "missing": "missing",
    "extra_forbidden": "unknown",
    "greater_than": "out_of_range",
    "greater_than_equal": "out_of_range",
    "less_than": "out_of_range",
    "less_than_equal": "out_of_range",
    "too_long": "too_long",
    "string_too_long": "too_long",
    "finite_number": "out_of_range",
}


def explain(problem: ValidationError, model: type[BaseModel]) -> list[FieldError]:
    """One error a field, in the document's order."""
    found: dict[str, FieldError] = {}
    for error in problem.errors(include_url=False):
        path, description = locate(error["loc"], model)
        found.setdefault(path, sentence(path, description, dict(error)))
    return list(found.values())


def sentence(path: str, description: str, error: dict[str, Any]) -> FieldError:
    kind = str(error["type"])
    if kind in SENTENCES:
        folder = (error.get("ctx") or {}).get("path", "")
        text = _(SENTENCES[kind]) % {"path": path, "input": shorten(error["input"]), "folder": folder}
        field = f"{path}.mount_path" if kind.startswith("mount_") else path
        return FieldError(field, kind, text)
    code = CODES.get(kind, "invalid")
    known = {"path": path, "rule": _(description or VALID), "input": shorten(error["input"])}
    if code == "missing":
        text = _("%(path)s is missing. It must be %(rule)s.") if description else _("%(path)s is missing.")
    elif path == "token" or path.endswith((".value", ".password", ".repo")):  # a secret is never repeated
        text = _("%(path)s must be %(rule)s.")
    else:
        text = _("%(path)s must be %(rule)s; got %(input)s.")
    return FieldError(path, code, text % known)


def locate(loc: Iterable[int | str], model: type[BaseModel]) -> tuple[str, str]:
    """The document's own path of an error, and the description of the field it lies in."""
    path, description, place = "", "", model
    for step in loc:
        if isinstance(step, int):
            path += f"[{step}]"
            description = AN_OBJECT if place is not None else A_TEXT
            continue
        field = find_field(place, step) if place is not None else None
        if place is not None and field is None:
            continue  # a step that pydantic adds for a member of a union
        path = f"{path}.{step}".lstrip(".")
        if field is not None:
            description = field.description or ""
            place = inner_model(field.annotation)
    return path, description


def find_field(model: type[BaseModel], name: str) -> FieldInfo | None:
    for key, field in model.model_fields.items():
        aliases = {key, field.alias}
        choices = getattr(field.validation_alias, "choices", ())
        if name in aliases or name in choices:
            return field
    return None


def inner_model(annotation: Any) -> Any:
    """The model inside Optional[…] or list[…], None where there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        found = inner_model(part)
        if found is not None:
            return found
    return None


def shorten(value: object) -> str:
    """The value in JSON's words, cut where it is long."""
    if isinstance(value, dict | list):
        return _("an object") if isinstance(value, dict) else _("a list of %(count)s") % {"count": number(len(value))}
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
