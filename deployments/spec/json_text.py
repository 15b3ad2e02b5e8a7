"""JSON text of a service document: its values, and the place of each."""

from __future__ import annotations

import json
import re
from typing import Any

from django.utils.translation import gettext as _

from deployments.spec.places import (
    MAX_TEXT_DEPTH,
    Lines,
    NoNumber,
    Place,
    TextInvalid,
    Walk,
    finite,
    number_words,
    too_deep,
    whole_text,
)

_JSON_TOKEN = re.compile(r'[{}\[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+')


def read_json(text: str) -> tuple[Any, dict[str, Place]]:
    lines = Lines(text)
    check_nesting(text, lines)  # first, for the decoder works by recursion
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=finite)
    except json.JSONDecodeError as problem:
        raise TextInvalid("not_json", json_words(problem.msg), Place(problem.lineno, problem.colno)) from None
    except NoNumber as problem:
        at = re.search(rf"(?<![\w\".+-]){re.escape(problem.said)}(?![\w.])", text)
        raise TextInvalid("number_invalid", number_words(problem.said), lines.place(at.start() if at else 0)) from None
    except ValueError:  # a whole number of thousands of digits
        at = re.search(r"\d{4000,}", text)
        raise TextInvalid("number_invalid", number_words("…"), lines.place(at.start() if at else 0)) from None
    return value, json_places(text, lines)


def _refuse_constant(name: str) -> Any:
    raise NoNumber(name)


def json_words(said: str) -> str:
    """What Python's decoder found, said with the cure."""
    sentences = {
        "Expecting ',' delimiter": _("A comma or a closing bracket is missing before this."),
        "Expecting ':' delimiter": _("A colon is missing between a name and its value."),
        "Expecting value": _('A value is missing here: a text in " ", a number, true, false, null, [ or {.'),
        "Expecting property name enclosed in double quotes": _(
            'A name in " " is missing here, or a comma is too many.'
        ),
        "Illegal trailing comma before end of object": _("This comma is too many: nothing follows it."),
        "Illegal trailing comma before end of array": _("This comma is too many: nothing follows it."),
        "Extra data": _("The document ends before this. Remove what follows, or the bracket too many before it."),
    }
    if said.startswith("Unterminated string"):
        return _('This text does not end: its closing " is missing.')
    if said.startswith("Invalid control character"):
        return _("A text holds a line break or another control character. Write \\n for a line break.")
    if "escape" in said:
        return _("This is no escape of JSON. Write \\\\ for a backslash.")
    return sentences.get(said, _("This is not JSON. Correct it here."))


def check_nesting(text: str, lines: Lines) -> None:
    """Refuse what nests without end before anything works on it by recursion."""
    level = 0
    for found in _JSON_TOKEN.finditer(text):
        if found[0] in "{[":
            level += 1
            if level > MAX_TEXT_DEPTH:
                raise too_deep(lines.place(found.start()))
        elif found[0] in "}]":
            level -= 1


def json_places(text: str, lines: Lines) -> dict[str, Place]:
    """The place of every value of valid JSON text. Raises ``TextInvalid`` for a name given twice."""
    walk = Walk(lines)
    for found in _JSON_TOKEN.finditer(text):
        token, at = found[0], found.start()
        if token in "{[":
            walk.open("object" if token == "{" else "list", at)
        elif token in "}]":
            walk.close()
        elif token in ",:":
            continue
        elif walk.wants_name:
            walk.name(whole_text(json.loads(token), lines.place(at)), at)
        else:
            if "\\u" in token:
                whole_text(json.loads(token), lines.place(at))
            walk.value(at)
    return walk.places
