"""A service document as text, JSON or YAML, and the place in the text of every part of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from deployments.spec.json_text import read_json
from deployments.spec.places import Place, TextInvalid
from deployments.spec.spec import MAX_DOCUMENT_BYTES
from deployments.spec.yaml_text import has_comment, read_yaml, write_yaml

JSON, YAML = "json", "yaml"
LANGUAGES = (JSON, YAML)


@dataclass(frozen=True, slots=True)
class DocumentText:
    """The document that a text holds, and the place of each of its paths (``containers[0].port``)."""

    document: dict[str, Any]
    places: Mapping[str, Place] = field(repr=False)
    has_comments: bool = False

    def find_place(self, path: str) -> Place:
        """Where a field stands; what is missing is at the nearest part around it that is there."""
        if path == "metadata.name" and path not in self.places and "name" in self.places:
            path = "name"  # the old place of it, eas.md §3.1
        while path and path not in self.places:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.places.get(path, Place(1, 1))


def read_text(text: str, language: str) -> DocumentText:
    """Read a document. Raises ``TextInvalid``."""
    if len(text.encode("utf-8", "replace")) > MAX_DOCUMENT_BYTES:
        raise TextInvalid("document_too_large", _("The text is too large: a service document has at most 1 MiB."))
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise TextInvalid("document_empty", _("Nothing is written here yet. Write a service document, or choose one."))
    value, places = read_yaml(text) if language == YAML else read_json(text)
    if not isinstance(value, dict):
        problem = _("The service document must be an object with names such as metadata and containers.")
        raise TextInvalid("not_an_object", problem, Place(1, 1))
    return DocumentText(value, places, has_comments=language == YAML and has_comment(text))


def write_text(document: object, language: str) -> str:
    """The text of a document, in its own order; reading it gives the document again."""
    if language == YAML:
        return write_yaml(document)
    return json.dumps(document, indent=2, ensure_ascii=False)


def guess_language(text: str, file_name: str = "") -> str:
    """JSON or YAML, by the file's name where it has one that tells, else by the first character."""
    ending = file_name.lower().rpartition(".")[2]
    if ending in ("yaml", "yml"):
        return YAML
    return JSON if ending == JSON or text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[", '"') else YAML
