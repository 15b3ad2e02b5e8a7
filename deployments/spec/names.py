"""The rule for service names, and a name to offer to whoever broke it."""

from __future__ import annotations

import re
import unicodedata

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from deployments.spec.errors import FieldError
from deployments.spec.messages import shorten

NAME_PATTERN = re.compile(r"[a-z0-9_]{3,63}")  # eas.md §3.2
NAME_RULE = gettext_noop("Use a-z, 0-9 and _, 3 to 63 characters.")


def suggest_name(wrong: str) -> str:
    """The nearest valid name, or "" where nothing of ``wrong`` can be kept."""
    plain = unicodedata.normalize("NFKD", wrong).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9_]+", "_", plain).strip("_")[:63]
    return plain if NAME_PATTERN.fullmatch(plain) else ""


def check_name(name: object, field: str = "metadata.name") -> FieldError | None:
    """Return what is wrong with a service name, or None (console.md §7, "name")."""
    if isinstance(name, str) and NAME_PATTERN.fullmatch(name):
        return None
    rule = _(NAME_RULE)
    if name is not None and not isinstance(name, str):
        known = {"field": field, "input": shorten(name), "rule": rule}
        message = _("%(field)s must be a text; got %(input)s. %(rule)s") % known
        return FieldError(field, "name_invalid", message)
    if not name:
        message = _("%(field)s is missing. %(rule)s") % {"field": field, "rule": rule}
        return FieldError(field, "name_missing", message)
    offer = suggest_name(name)
    message = _("%(rule)s Use `%(offer)s`?") % {"rule": rule, "offer": offer} if offer else rule
    return FieldError(field, "name_invalid", message)
