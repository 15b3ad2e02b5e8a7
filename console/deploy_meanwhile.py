"""Two people edit one service: what the other saved since, and both edits in one document (console.md §7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deployments.differences import Change, compare, leaves
from deployments.models import Service

#: What tells the entries of a list apart: environment variables, mounts, containers.
_KEYS = ("name", "mount_path", "image")
_ABSENT: Any = object()


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What came since the edit began. ``contested`` are the fields that both changed, and differently."""

    number: int
    author: str
    created_at: datetime
    reason: str
    changes: tuple[Change, ...]
    contested: tuple[str, ...]


def meanwhile_of(service: Service, base: int | None, mine: Mapping[str, Any] | None) -> Meanwhile | None:
    """None where nobody saved a version since ``base``, the one that the edit began with."""
    wanted = service.wanted_revision
    if base is None or wanted is None or base == wanted.number:
        return None
    before = base_document(service, base)
    changes = tuple(compare(before, wanted.document))
    contested: list[str] = []
    if mine is not None:
        own, theirs = dict(leaves(mine)), dict(leaves(wanted.document))
        changed = {one.path for one in compare(before, mine)}
        both = [one.path for one in changes if one.path in changed]
        contested = [path for path in both if own.get(path, _ABSENT) != theirs.get(path, _ABSENT)]
    author = wanted.author.get_username() if wanted.author else "–"
    return Meanwhile(wanted.number, author, wanted.created_at, wanted.reason, changes, tuple(contested))


def base_document(service: Service, base: int) -> dict[str, Any]:
    """The document of the version that an edit began with; an unknown one counts as empty."""
    found = service.revisions.filter(number=base).values_list("document", flat=True).first()
    return dict(found) if found else {}


def merge_edits(base: Any, theirs: Any, mine: Any) -> Any:
    """Both edits of ``base``: what only one changed is taken from whoever did; what both changed is mine.

    Entries of a list that have a name (or a mount path, an image) of their own are merged one by one, so that two
    people may each add a variable.
    """
    if mine == base:
        return theirs
    if theirs == base:
        return mine
    if all(isinstance(one, Mapping) for one in (base, theirs, mine)):
        merged = {
            key: _merge_key(key, base, theirs, mine) for key in [*mine, *(key for key in theirs if key not in mine)]
        }
        return {key: value for key, value in merged.items() if value is not _ABSENT}
    key = _key_of(base, theirs, mine)
    if key is not None:
        return list(merge_edits(*({one[key]: one for one in entries} for entries in (base, theirs, mine))).values())
    return mine


def _merge_key(key: str, base: Mapping[str, Any], theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> Any:
    """One value of an object; ``_ABSENT`` where it is gone."""
    was, their, own = base.get(key, _ABSENT), theirs.get(key, _ABSENT), mine.get(key, _ABSENT)
    if _ABSENT in (was, their, own):
        return their if own is was or own == was else own
    return merge_edits(was, their, own)


def _key_of(*lists: Any) -> str | None:
    """The key that names every entry of all the lists once, None where there is none."""
    if not all(isinstance(one, list) and all(isinstance(entry, Mapping) for entry in one) for one in lists):
        return None
    for key in _KEYS:
        names = [[entry.get(key) for entry in one] for one in lists]
        if all(all(isinstance(name, str) for name in one) and len(set(one)) == len(one) for one in names):
            return key
    return None
