"""The custom form: one document as fields and as JSON text (console.md §5). No I/O.

The fields hold the parts of a document that most people change; everything else in it is kept as it is. The
document they are written into travels in a hidden field, so that going back and forth loses nothing.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from deployments.spec import FieldError, ServiceSpec, SpecInvalid

FORM, JSON = "form", "json"
SOURCES = ("oss", "empty_dir")
DEFAULT_PORT = "8000"
MAX_ROWS = 200
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
TEXTS = ("service_name", "image", "port", "run_kind", "run", "instances", "cpu", "memory", "gpu", "workspace")
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

#: A program with no dependencies that answers: what the form starts with.
STARTER: dict[str, Any] = {
    "metadata": {"name": "", "instance": 1, "cpu": 1, "memory": 512},
    "containers": [{"image": "python:3.11", "script": "python3 -m http.server $PORT", "port": 8000, "env": []}],
}


@dataclass(frozen=True, slots=True)
class EnvRow:
    name: str = ""
    value: str = ""

    @property
    def is_blank(self) -> bool:
        return not self.name and not self.value


@dataclass(frozen=True, slots=True)
class MountRow:
    """``kind`` is "oss" or "empty_dir"; ``source`` the OSS path."""

    kind: str = "oss"
    source: str = ""
    mount_path: str = ""

    @property
    def is_blank(self) -> bool:
        return not self.source and not self.mount_path


@dataclass(frozen=True, slots=True)
class CustomForm:
    """The form as it is shown. ``text`` is the JSON; ``base`` the document the fields are written into."""

    mode: str
    texts: Mapping[str, str]
    env: tuple[EnvRow, ...]
    mounts: tuple[MountRow, ...]
    text: str
    base: Mapping[str, Any]

    @classmethod
    def of(cls, document: Mapping[str, Any], mode: str = FORM) -> CustomForm:
        """The form of a document; parts of another shape than the fields expect are left to the JSON."""
        container = first_container(document)
        metadata = mapping(document.get("metadata"))
        kind = "command" if "command" in container else "script"
        run = container.get(kind, "")
        texts = {
            "service_name": shown(metadata.get("name")),
            "instances": shown(metadata.get("instance", 1)),
            "cpu": shown(metadata.get("cpu")),
            "memory": shown(metadata.get("memory")),
            "gpu": shown(metadata.get("gpu")),
            "workspace": shown(metadata.get("workspace_id")),
            "image": shown(container.get("image")),
            "port": shown(container.get("port", DEFAULT_PORT)),
            "run_kind": kind,
            "run": shown_run(run),
        }
        env = tuple(EnvRow(shown(one.get("name")), shown(one.get("value"))) for one in dicts(container.get("env")))
        mounts = tuple(mount_row(one) for one in dicts(document.get("storage")) if is_simple_mount(one))
        return cls(mode, texts, env, mounts, dump(document), document)

    @classmethod
    def parse(cls, form: QueryDict) -> CustomForm:
        """Read what was posted, and do what an add or remove button asks for."""
        texts = {name: unix(str(form.get(name, ""))).strip() for name in TEXTS}
        env = tuple(map(EnvRow, form.getlist("env_name")[:MAX_ROWS], form.getlist("env_value")[:MAX_ROWS]))
        kinds, sources = form.getlist("mount_kind")[:MAX_ROWS], form.getlist("mount_source")[:MAX_ROWS]
        mounts = tuple(map(MountRow, kinds, sources, form.getlist("mount_path")[:MAX_ROWS]))
        act = next((one for one in reversed(form.getlist("act")) if one), "")
        # Blank rows stay where they are, or a row would slip under the hands of whoever empties another.
        env = tuple(row for index, row in enumerate(env) if act != f"remove-env:{index}")
        mounts = tuple(row for index, row in enumerate(mounts) if act != f"remove-mount:{index}")
        text = unix(str(form.get("document", "")))
        try:
            base = json.loads(form.get("base_document", "") or "{}")
        except ValueError:
            base = {}
        mode = JSON if form.get("mode") == JSON else FORM
        return cls(mode, texts, env, mounts, text, base if isinstance(base, dict) else {})


def document_of(form: CustomForm) -> tuple[dict[str, Any] | None, list[FieldError]]:
    """The document the form means, or why there is none yet: text that is no JSON object."""
    if form.mode == FORM:
        return write_fields(form), []
    try:
        document = json.loads(form.text)
    except ValueError as problem:
        at = f"Line {problem.lineno}, column {problem.colno}: " if isinstance(problem, json.JSONDecodeError) else ""
        said = getattr(problem, "msg", "it is not JSON")
        return None, [FieldError("document", "not_json", f"{at}{said}. Correct the JSON there.")]
    except RecursionError:
        return None, [FieldError("document", "document_too_large", _("The document nests too deeply."))]
    if not isinstance(document, dict):
        return None, [FieldError("document", "not_an_object", _("The service document must be a JSON object, { … }."))]
    return document, []


def write_fields(form: CustomForm) -> dict[str, Any]:
    """The base document with the fields written into it; numbers that are none stay text, to be refused."""
    document = copy.deepcopy(dict(form.base))
    document.pop("name", None)
    metadata = document["metadata"] = dict(mapping(document.get("metadata")))
    texts = form.texts
    metadata["name"] = texts["service_name"]
    for name, key in (("instances", "instance"), ("cpu", "cpu"), ("memory", "memory"), ("gpu", "gpu")):
        put(metadata, key, number(texts[name]))
    put(metadata, "workspace_id", texts["workspace"] or None)
    containers = document.get("containers")
    rest = list(containers[1:]) if isinstance(containers, list) else []
    container = dict(first_container(document))
    container["image"] = texts["image"]
    if "port" in container or texts["port"] != DEFAULT_PORT:
        put(container, "port", number(texts["port"]))
    kind, other = ("command", "script") if texts["run_kind"] == "command" else ("script", "command")
    container.pop(other, None)
    if shown_run(container.get(kind)) != texts["run"]:
        put(container, kind, command_of(texts["run"]) if kind == "command" else texts["run"] or None)
    put_rows(container, "env", env_entries(form, dicts(container.get("env"))))
    document["containers"] = [container, *rest]
    put_rows(document, "storage", storage_entries(form, dicts(document.get("storage"))))
    return document


def env_entries(form: CustomForm, before: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows; what an entry of that name held besides its value is kept, and a value that reads the same."""
    known = {shown(one.get("name")): one for one in before}
    entries = []
    for row in (one for one in form.env if not one.is_blank):
        old = known.get(row.name, {})
        value = old["value"] if "value" in old and shown(old["value"]) == row.value else row.value
        entries.append({**old, "name": row.name, "value": value})
    return entries


def storage_entries(form: CustomForm, before: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows, then the mounts that no row can show."""
    known = {mount_row(one): one for one in before if is_simple_mount(one)}
    at = {(one.kind, one.mount_path): entry for one, entry in known.items()}
    entries: list[dict[str, Any]] = []
    for row in (one for one in form.mounts if not one.is_blank):
        old = known.get(row) or at.get((row.kind, row.mount_path), {})
        source = dict(mapping(old.get(row.kind)))
        if row.kind == "oss":
            source["path"] = row.source
        rest = {key: value for key, value in old.items() if key not in SOURCES}
        entries.append({**rest, "mount_path": row.mount_path, row.kind: source})
    return entries + [dict(one) for one in before if not is_simple_mount(one)]


def check(document: Mapping[str, Any]) -> tuple[ServiceSpec | None, list[FieldError]]:
    """The spec, or everything wrong with the document."""
    try:
        return ServiceSpec.parse(document), []
    except SpecInvalid as problem:
        return None, list(problem.errors)


def field_of(error: FieldError, form: CustomForm) -> tuple[str, str]:
    """Where to show an error of a document: the field's name and its element. The JSON where no field holds it."""
    if form.mode == FORM and error.field not in ("", "document"):
        for name, path in PATHS.items():
            if error.field == path:
                return name, f"f-{name}"
        if error.field in ("containers[0].script", "containers[0].command", "containers[0]"):
            return "run", "f-run"
        if error.field == "metadata.workspace_id":
            return "workspace", "f-workspace"
        if match := _ROW_PATH.match(error.field):
            return row_field(match, form)
    return "document", "f-document"


def row_field(match: re.Match[str], form: CustomForm) -> tuple[str, str]:
    """A row's input: the document's entries are the rows that are not blank, in their order."""
    index, part = int(match[2]), match[3] or ""
    rows: Sequence[EnvRow | MountRow] = form.mounts if match[1] == "storage" else form.env
    numbers = [number for number, row in enumerate(rows) if not row.is_blank]
    if index >= len(numbers):
        return "document", "f-document"
    if match[1] != "storage":
        return "env", f"env-{numbers[index]}-{'value' if part == 'value' else 'name'}"
    return "mount", f"mount-{numbers[index]}-{'source' if part.startswith('oss') else 'path'}"


def label_of(field: str) -> str:
    return str(LABELS.get(field, ""))


def worded(error: FieldError, field: str) -> str:
    """The sentence with the field's label in place of its path in the document."""
    if field == "document" or not error.message.startswith(f"{error.field} "):
        return error.message
    part = error.field.rsplit(".", 1)[-1]
    label = ROW_LABELS.get(part, label_of(field)) if field in ("env", "mount") else label_of(field)
    return f"{label}{error.message.removeprefix(error.field)}"


def with_spare_rows(form: CustomForm, act: str = "") -> CustomForm:
    """A blank row at the end, so that there is always one to write in, with or without scripts."""
    env, mounts = form.env, form.mounts
    if act == "add-env" or not env or not env[-1].is_blank:
        env = (*env, EnvRow())
    if act == "add-mount" or not mounts or not mounts[-1].is_blank:
        mounts = (*mounts, MountRow())
    return replace(form, env=env, mounts=mounts)


def hidden_parts(document: Mapping[str, Any]) -> list[str]:
    """What of a document the fields do not show, in words of the document."""
    found = [key for key in document if key not in ("metadata", "containers", "storage", "name")]
    metadata = mapping(document.get("metadata"))
    shown_keys = ("name", "instance", "cpu", "memory", "gpu", "workspace_id")
    found += [f"metadata.{key}" for key in metadata if key not in shown_keys]
    container = first_container(document)
    found += [f"containers[0].{key}" for key in container if key not in ("image", "port", "script", "command", "env")]
    containers = document.get("containers")
    found += [f"containers[{index}]" for index in range(1, len(containers) if isinstance(containers, list) else 0)]
    storage = document.get("storage")
    entries = storage if isinstance(storage, list) else []
    return found + [f"storage[{index}]" for index, one in enumerate(entries) if not is_simple_mount(one)]


def first_container(document: Mapping[str, Any]) -> Mapping[str, Any]:
    containers = document.get("containers")
    return mapping(containers[0]) if isinstance(containers, list) and containers else {}


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def dicts(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def is_simple_mount(entry: object) -> bool:
    """Whether a row can show it: one OSS folder or an empty folder."""
    if not isinstance(entry, Mapping):
        return False
    return sum(kind in entry for kind in SOURCES) == 1 and not {"nfs", "git", "dataset"} & set(entry)


def mount_row(entry: Mapping[str, Any]) -> MountRow:
    kind = "oss" if "oss" in entry else "empty_dir"
    return MountRow(kind, shown(mapping(entry.get("oss")).get("path")), shown(entry.get("mount_path")))


def shown(value: object) -> str:
    """A document's value as an input shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def shown_run(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else unix(shown(value)).strip()


def unix(text: str) -> str:
    """A browser's line ends as a shell reads them; NUL, which nothing takes, left out."""
    return text.replace("\r\n", "\n").replace("\0", "")


def number(text: str) -> int | float | str | None:
    """A number where it is one; the text where it is not, so that the document's own check names it."""
    if not text:
        return None
    if re.fullmatch(r"[+-]?[0-9]{1,15}", text):
        return int(text)
    return float(text) if re.fullmatch(r"[+-]?[0-9]{0,15}\.[0-9]{1,15}", text) else text


def command_of(text: str) -> str | list[str] | None:
    """One command, as text or as a JSON list of texts."""
    if text.startswith("["):
        try:
            value = json.loads(text)
        except ValueError:
            return text
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return value
    return text or None


def put(place: dict[str, Any], key: str, value: Any) -> None:
    """Set a value that differs, take away one that is None; one that reads the same stays as it is spelled."""
    if value is None:
        place.pop(key, None)
    elif key not in place or place[key] != value:
        place[key] = value


def put_rows(place: dict[str, Any], key: str, rows: list[dict[str, Any]]) -> None:
    if rows or place.get(key):
        place[key] = rows


def dump(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)
