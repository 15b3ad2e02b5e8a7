"""YAML with its names, texts and numbers marked for the eye. Pure; it paints what Slipway writes, not all of YAML."""

from __future__ import annotations

import re

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

_LINE = re.compile(r"""^(\s*)((?:-\s+)*)(?:([^\s:'"#][^:]*|"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')(:)(?=\s|$))?(.*)$""")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|true|false|null|~")
_BLOCK = re.compile(r"[|>][+-]?\d?[+-]?")


def yaml_html(text: str) -> SafeString:
    """The lines of ``text``, escaped, in ``<span>`` of classes ``y-name``, ``y-text`` and ``y-number``."""
    painted, block_indent = [], None
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip(" "))
        if block_indent is not None and (indent > block_indent or not line.strip()):
            painted.append(span("y-text", line))
            continue
        block_indent = None
        match = _LINE.match(line)
        assert match is not None  # every line matches, an odd one as a value alone
        space, dashes, name, colon, value = match.groups()
        if _BLOCK.fullmatch(value.strip()):
            block_indent = indent + len(dashes)
        painted.append(f"{space}{dashes}{span('y-name', name) if name else ''}{colon or ''}{value_html(value)}")
    return mark_safe("\n".join(painted))  # noqa: S308 - every part was escaped


def value_html(value: str) -> str:
    bare = value.strip()
    if not bare or _BLOCK.fullmatch(bare) or bare in ("{}", "[]"):
        return escape(value)
    lead = value[: len(value) - len(value.lstrip())]
    return f"{lead}{span('y-number' if _NUMBER.fullmatch(bare) else 'y-text', bare)}"


def span(kind: str, text: str) -> str:
    return f'<span class="{kind}">{escape(text)}</span>'
