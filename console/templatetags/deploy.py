"""Rows of the custom form: their ids, and the error of one of their inputs."""

from __future__ import annotations

from collections.abc import Mapping

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def at(prefix: str, number: int) -> str:
    """``env-`` and 3 as ``env-3``."""
    return f"{prefix}{number}"


@register.simple_tag
def rowmessage(errors: Mapping[str, str], row: str, part: str) -> str:
    """What is wrong with one input of a row, "" for nothing."""
    return errors.get(f"{row}-{part}", "")


@register.simple_tag
def rowerror(errors: Mapping[str, str], row: str, part: str) -> SafeString | str:
    """The attributes of an input that is wrong."""
    element = f"{row}-{part}"
    return format_html(' aria-invalid="true" aria-describedby="{}-error"', element) if element in errors else ""
