"""The rule for service names, and a name to offer to whoever broke it."""

from __future__ import annotations

import re
import unicodedata

from deployments.spec.errors import FieldError
from deployments.spec.messages import shorten

NAME_PATTERN = re.compile(r"[a-z0-9_]{3,63}")  # eas.md §3.2
NAME_RULE = "Use a-z, 0-9 and _, 3 to 63 characters."


def suggest_name(wrong: str) -> str:
    """The nearest valid name, or "" where nothing of ``wrong`` can be kept."""
    plain = unicodedata.normalize("NFKD", wrong).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9_]+", "_", plain).strip("_")[:63]
    return plain if NAME_PATTERN.fullmatch(plain) else ""


def check_name(name: object, field: str = "metadata.name") -> FieldError | None:
    """Return what is wrong with a service name, or None (console.md §7, "name")."""
    if name is not None and not isinstance(name, str):
        return FieldError(field, "name_invalid", f"{field} must be a text; got {shorten(name)}. {NAME_RULE}")
    if not name:
        return FieldError(field, "name_missing", f"{field} is missing. {NAME_RULE}")
    if NAME_PATTERN.fullmatch(name):
        return None
    offer = suggest_name(name)
    return FieldError(field, "name_invalid", f"{NAME_RULE} Use `{offer}`?" if offer else NAME_RULE)
