"""Service documents of the command line: files in JSON or YAML, and ``-Dmetadata.instance=2`` (eas.md §4.4)."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from console.cli.errors import usage
from console.cli.profiles import reason_of

#: Longer lists are a typing error: ``containers[100000000]`` must not fill the memory.
MAX_INDEX = 999


@dataclass(frozen=True, slots=True)
class Definition:
    """One value and where it goes: names of objects' keys and numbers of lists' elements."""

    path: tuple[str | int, ...]
    value: Any


def parse_definition(text: str) -> Definition:
    r"""``key.key[0].key=value``. The value is JSON where it is valid JSON, else text; ``\.`` is a dot within a key."""
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise usage(f"-D{text} has no value. Write it as -Dmetadata.instance=2.")
    path: list[str | int] = []
    for part in re.split(r"(?<!\\)\.", key):
        match = re.fullmatch(r"([^\[\]]+)((?:\[[0-9]{1,6}\])*)", part)
        if match is None:
            raise usage(f"-D{key} is no path in a document. Write it as metadata.instance or containers[0].image.")
        path.append(match[1].replace("\\.", "."))
        path += [int(number) for number in re.findall(r"[0-9]+", match[2])]
    if any(isinstance(one, int) and one > MAX_INDEX for one in path):
        raise usage(f"-D{key}: a list has at most {MAX_INDEX + 1} elements here.")
    try:
        return Definition(tuple(path), json.loads(value))
    except ValueError:
        return Definition(tuple(path), value)


def with_definitions(document: dict[str, Any], definitions: Sequence[Definition]) -> dict[str, Any]:
    """The document with these values; the objects and lists on the way are made where they are missing."""
    whole: Any = deepcopy(document)
    for one in definitions:
        whole = _with_value(whole, one.path, one.value)
    return dict(whole)


def needs_the_document(definitions: Sequence[Definition]) -> bool:
    """Whether a change names an element of a list: lists are replaced whole, so the others have to be known."""
    return any(isinstance(part, int) for one in definitions for part in one.path)


def changes(document: dict[str, Any], definitions: Sequence[Definition]) -> dict[str, Any]:
    """What to send for a merge: the values alone, and every list that one of them lies in, whole."""
    sent: dict[str, Any] = {}
    for one in definitions:
        length = next((at for at, part in enumerate(one.path) if isinstance(part, int)), len(one.path))
        whole: Any = with_definitions(document, definitions)
        for part in one.path[:length]:
            whole = whole[part]
        sent = with_definitions(sent, [Definition(one.path[:length], whole)])
    return sent


def _with_value(node: Any, path: tuple[str | int, ...], value: Any) -> Any:
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(first, int):
        items = list(node) if isinstance(node, list) else []
        if first > len(items):
            raise usage(f"There is no element {first}: the list has {len(items)}. Elements are counted from 0.")
        items[first : first + 1] = [_with_value(items[first] if first < len(items) else None, rest, value)]
        return items
    keys = dict(node) if isinstance(node, dict) else {}
    keys[first] = _with_value(keys.get(first), rest, value)
    return keys


def read_document(name: str) -> dict[str, Any]:
    """A document from a file, ``-`` for standard input. JSON is YAML too; JSON's own errors are clearer."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise usage(f"{name} cannot be read: {reason_of(error)}.") from error
    try:
        found = yaml.safe_load(text) if name.endswith((".yaml", ".yml")) else _read_text(text)
    except json.JSONDecodeError as error:
        raise usage(f"{name} is not valid JSON, line {error.lineno}, column {error.colno}: {error.msg}.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise usage(f"{name} is not valid YAML{where}: {getattr(error, 'problem', error)}.") from error
    if not isinstance(found, dict):
        raise usage(f"{name} holds no service document: an object with metadata, containers and so on.")
    return found


def _read_text(text: str) -> Any:
    if text.lstrip().startswith(("{", "[", '"')):
        return json.loads(text)
    return yaml.safe_load(text)
