"""The fields of the custom form, and the document that they are written into. No I/O.

They hold the parts of a document that most people change; everything else in it is kept as it is. What they cannot
hold without changing it is named by ``unshowable``.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployments.differences import leaves

SOURCES = ("oss", "empty_dir")
DEFAULT_PORT = "8000"
MAX_ROWS = 200
TEXTS = ("service_name", "image", "port", "run_kind", "run", "instances", "cpu", "memory", "gpu", "workspace")


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
class Fields:
    """What the inputs show: ``texts`` by name, and the rows."""

    texts: Mapping[str, str]
    env: tuple[EnvRow, ...] = ()
    mounts: tuple[MountRow, ...] = ()

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Fields:
        """The fields of a document; parts of another shape than they expect stay out."""
        container = first_container(document)
        metadata = mapping(document.get("metadata"))
        kind = "command" if "command" in container else "script"
        texts = {
            "service_name": shown(metadata.get("name") or document.get("name")),
            "instances": shown(metadata.get("instance")),
            "cpu": shown(metadata.get("cpu")),
            "memory": shown(metadata.get("memory")),
            "gpu": shown(metadata.get("gpu")),
            "workspace": shown(metadata.get("workspace_id")),
            "image": shown(container.get("image")),
            "port": shown(container.get("port", DEFAULT_PORT)),
            "run_kind": kind,
            "run": shown_run(container.get(kind, "")),
        }
        env = tuple(EnvRow(shown(one.get("name")), shown(one.get("value"))) for one in dicts(container.get("env")))
        mounts = tuple(mount_row(one) for one in dicts(document.get("storage")) if is_simple_mount(one))
        return cls(texts, env, mounts)


def write_fields(fields: Fields, base: Mapping[str, Any]) -> dict[str, Any]:
    """The base document with the fields written into it; numbers that are none stay text, to be refused."""
    document = copy.deepcopy(dict(base))
    document.pop("name", None)
    metadata = document["metadata"] = dict(mapping(document.get("metadata")))
    texts = fields.texts
    metadata["name"] = texts["service_name"]
    for name, key in (("instances", "instance"), ("cpu", "cpu"), ("memory", "memory"), ("gpu", "gpu")):
        put(metadata, key, number(texts[name]))
    put(metadata, "workspace_id", texts["workspace"] or None)
    containers = document.get("containers")
    rest = list(containers[1:]) if isinstance(containers, list) else []
    container = dict(first_container(document))
    if texts["image"] or "image" in container or not containers:
        container["image"] = texts["image"]
    if "port" in container or texts["port"] != DEFAULT_PORT:
        put(container, "port", number(texts["port"]))
    kind, other = ("command", "script") if texts["run_kind"] == "command" else ("script", "command")
    container.pop(other, None)
    if shown_run(container.get(kind)) != texts["run"]:
        put(container, kind, command_of(texts["run"]) if kind == "command" else texts["run"] or None)
    put_rows(container, "env", env_entries(fields, dicts(container.get("env"))))
    document["containers"] = [container, *rest]
    put_rows(document, "storage", storage_entries(fields, document.get("storage")))
    return document


def env_entries(fields: Fields, before: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows; what an entry of that name held besides its value is kept, and a value that reads the same."""
    known = {shown(one.get("name")): one for one in before}
    entries = []
    for row in (one for one in fields.env if not one.is_blank):
        old = known.get(row.name, {})
        value = old["value"] if "value" in old and one_line(old["value"]) == row.value else row.value
        entries.append({**old, "name": row.name, "value": value})
    return entries


def storage_entries(fields: Fields, storage: object) -> list[Any]:
    """The rows, and in their places the mounts that no row can show."""
    before = storage if isinstance(storage, list) else []
    known = {mount_row(one): one for one in before if is_simple_mount(one)}
    at = {(one.kind, one.mount_path): entry for one, entry in known.items()}
    entries: list[Any] = []
    for row in (one for one in fields.mounts if not one.is_blank):
        old = known.get(row) or at.get((row.kind, row.mount_path), {})
        source = dict(mapping(old.get(row.kind)))
        if row.kind == "oss":
            source["path"] = row.source
        rest = {key: value for key, value in old.items() if key not in SOURCES}
        entries.append({**rest, "mount_path": row.mount_path, row.kind: source})
    for index, one in enumerate(before):
        if not is_simple_mount(one):
            entries.insert(min(index, len(entries)), one)
    return entries


def unshowable(document: Mapping[str, Any]) -> list[str]:
    """The paths that filling the fields in and writing them back would lose or change: no fields for those."""
    fields = Fields.of(document)
    after = dict(leaves(write_fields(fields, document)))
    lost = []
    for path, value in leaves(document):
        is_filled = value in ({}, []) and any(one.startswith((f"{path}.", f"{path}[")) for one in after)
        same = path in after and shown_run(after[path]) == shown_run(value)
        if path != "name" and value is not None and not same and not is_filled:
            lost.append(path)
    many = {"containers[0].env": fields.env, "storage": fields.mounts}
    return lost + [path for path, found in many.items() if len(found) > MAX_ROWS]


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


def one_line(value: object) -> str:
    """The same as an input of one line holds it: a browser leaves line breaks out."""
    return re.sub(r"[\r\n]", "", shown(value))


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


def put_rows(place: dict[str, Any], key: str, rows: list[Any]) -> None:
    if rows or place.get(key):
        place[key] = rows
