"""In which values two documents differ, by their paths; secrets are only ever "changed". Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: Paths of a service document whose values are nobody's to read in a list of changes.
SECRET = re.compile(r"token|dockerAuth|containers\[\d+\]\.env\[\d+\]\.value|storage\[\d+\]\..*(password|secret)")
_MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs. Secrets are only ever "changed"."""

    path: str
    before: str
    after: str
    is_secret: bool


def compare(before: Mapping[str, Any], after: Mapping[str, Any], secrets: re.Pattern[str] = SECRET) -> Iterator[Change]:
    """The values in which two documents differ, in the order of the new one, those that go last."""
    old, new = dict(leaves(before)), dict(leaves(after))
    for path in [*new, *(path for path in old if path not in new)]:
        one, other = old.get(path, _MISSING), new.get(path, _MISSING)
        if one != other or (one is _MISSING) != (other is _MISSING):
            secret = secrets.fullmatch(path) is not None
            yield Change(path, "" if secret else words(one), "" if secret else words(other), secret)


def words(value: object) -> str:
    if value is _MISSING:
        return ""
    return value if isinstance(value, str) else str(value)


def leaves(value: object, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a document with its path, such as ``containers[0].port``."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{index}]")
    else:
        yield path, value
