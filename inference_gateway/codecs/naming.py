"""Which service a body names in ``model``, and the same body under another name. Pure.

A body that is only carried is not decoded and encoded again: the one value is found where it stands, and all
around it (the order of keys, how a number is written) reaches the engine as its caller wrote it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from inference_gateway.codecs.fields import decode_text, refuse

_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
_NAME = re.compile(rb'(?:^|[;\s])name="?([^";\r\n]*)"?', re.IGNORECASE)
_BOUNDARY = re.compile(r'boundary="?([^";,]{1,200})"?', re.IGNORECASE)


def find_json_name(body: bytes) -> str | None:
    """The ``model`` of a JSON object; None where it has none. Raises ChatError 400 for what is no such object."""
    name = None
    for key, value, _, _ in _walk(decode_text(body)):
        if key == "model":
            name = value
    if name is not None and not isinstance(name, str):
        refuse("model", "model must be a string.")
    return name


def rename_json(body: bytes, name: str | None, drops_nulls: bool = False) -> bytes:
    """The same object with ``name`` as its ``model`` (None: as it is); with ``drops_nulls`` less its null fields."""
    text = decode_text(body)
    pieces: list[str] = []
    at = 0
    items = list(_walk(text))
    if drops_nulls and any(value is None for _, value, _, _ in items):
        kept = {key: text[start:end] for key, value, start, end in items if value is not None}
        if name is not None and "model" in kept:
            kept["model"] = json.dumps(name)
        return ("{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in kept.items()) + "}").encode()
    for key, _, start, end in items if name is not None else ():
        if key == "model":
            pieces += (text[at:start], json.dumps(name))
            at = end
    return ("".join(pieces) + text[at:]).encode()


def _walk(text: str) -> Iterator[tuple[str, Any, int, int]]:
    """Key, value, and where the value's text begins and ends, of each field of the outermost object."""
    try:
        at = _skip(text, 0)
        if text[at : at + 1] != "{":
            refuse(None, "The body must be a JSON object, such as {...}.", "invalid_json")
        at = _skip(text, at + 1)
        while text[at : at + 1] != "}":
            if text[at : at + 1] != '"':
                raise ValueError(f"a field's name is missing at character {at}")
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, at)
            if text[at : at + 1] != ":":
                raise ValueError(f"a colon is missing at character {at}")
            start = _skip(text, at + 1)
            value, end = _DECODER.raw_decode(text, start)
            yield key, value, start, end
            at = _skip(text, end)
            if text[at : at + 1] == ",":
                at = _skip(text, at + 1)
            elif text[at : at + 1] != "}":
                raise ValueError(f"a comma is missing at character {at}")
        if _skip(text, at + 1) != len(text):
            raise ValueError("something follows the object")
    except RecursionError:
        refuse(None, "The JSON is nested too deep. Send a flat object.", "invalid_json")
    except ValueError as error:
        refuse(None, f"The body is not valid JSON: {str(error).split('. ')[0]}.", "invalid_json")


def _skip(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank is not None else at


def find_boundary(content_type: str) -> bytes | None:
    """The boundary of a multipart body; None for a body of another kind."""
    if not content_type.lower().startswith("multipart/form-data"):
        return None
    found = _BOUNDARY.search(content_type)
    return None if found is None else found.group(1).strip().encode("latin-1")


def find_form_name(head: bytes, boundary: bytes) -> str | None:
    """The field ``model`` of a form whose beginning is ``head``; None where it has not come yet, or never will."""
    for part in (b"\r\n" + head).split(b"\r\n--" + boundary)[1:-1]:  # the last one may go on
        fields, blank, value = part.partition(b"\r\n\r\n")
        if blank and _read_disposition(fields).get("name") == "model":
            return value.decode("utf-8", "replace").strip()
    return None


def _read_disposition(fields: bytes) -> Mapping[str, str]:
    for line in fields.split(b"\r\n"):
        header, _, value = line.partition(b":")
        if header.strip().lower() == b"content-disposition" and (found := _NAME.search(value)) is not None:
            return {"name": found.group(1).decode("utf-8", "replace")}
    return {}
