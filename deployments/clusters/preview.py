"""What a cluster would do with a spec, before anybody clicks: objects beside those that are there, and checks.

Secrets never leave a backend: their values are ``MASK`` in both, and their paths in ``changed_secrets`` where they
would change.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

MASK = "••••••••"
#: A variable of such a name holds a secret, as far as anybody can tell.
SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|PRIVATE|(ACCESS|API)_?KEY|_KEY$|^KEY$", re.IGNORECASE)

#: ``ok``: nothing stands in the way. ``waits``: it would wait, and go on by itself. ``fails``: it would not get on
#: without a person. ``unknown``: nobody could say.
State = Literal["ok", "waits", "fails", "unknown"]


@dataclass(frozen=True, slots=True)
class Check:
    """One answer. ``message`` and ``cure`` may be ``words.Sentence``; ``values`` are the numbers in them."""

    key: Literal["cluster", "capacity", "quota", "pull_secret", "storage"]
    state: State
    message: str
    cure: str = ""
    code: str = ""
    values: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObjectPreview:
    """One object, ``Kind/name``. ``wanted`` None: it would be removed; ``live`` None: it is not there yet.

    ``live`` holds no more than the values that would be written: what the cluster adds by itself is no difference.
    """

    name: str
    wanted: Mapping[str, Any] | None
    live: Mapping[str, Any] | None
    changed_secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """Everything known without changing anything. ``needs_access``: ``check_access`` has something to look at."""

    objects: tuple[ObjectPreview, ...] = ()
    checks: tuple[Check, ...] = ()
    needs_access: bool = False


def mask_value(name: str, value: str) -> str:
    """A variable's value as it may be shown."""
    return MASK if value and SECRET_NAME.search(name) else value
