"""Errors name a field as documents and REST do; forms name it by its label."""

from __future__ import annotations

import re

from django.utils.translation import get_language

#: What a translation may set around a name, so that it stays whole among words from right to left.
ISOLATES = ("\u2068", "\u2069")


def with_label(message: str, path: str, label: str) -> str:
    """The sentence with the label where it names the path, wherever its language puts it.

    A path of one word is a word of English too: there only the beginning of a sentence is sure to mean the field.
    """
    if not path or not label:
        return message
    if message.startswith(f"{path} "):
        return f"{label}{message.removeprefix(path)}"
    if (get_language() or "en").startswith("en") and not re.search(r"[.\[]", path):
        return message
    opening, closing = ISOLATES
    whole = rf"(?<![A-Za-z0-9_./`-]){opening}?{re.escape(path)}{closing}?(?![A-Za-z0-9_\[/`-]|\.[A-Za-z0-9_])"
    isolated = f"{opening}{label}{closing}" if opening in message else label
    return re.sub(whole, lambda _match: isolated, message, count=1)
