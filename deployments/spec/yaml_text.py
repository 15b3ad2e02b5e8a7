"""YAML text of a service document: its values, and the place of each.

Read by YAML 1.2's core schema, so ``yes``, ``012`` and ``12:30`` are texts, as in JSON. What would be dangerous or
ambiguous is refused with its line: anchors and aliases (a few lines can stand for gigabytes), tags, a key given
twice, several documents, numbers that no JSON holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
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

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")
_CONSTANTS: dict[str, Any] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_CONSTANTS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_OTHER_BREAKS = re.compile("[\r\x85\u2028\u2029\ufeff]")  # YAML would read them as line breaks
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def read_yaml(text: str) -> tuple[Any, dict[str, Place]]:
    """One YAML document of plain values."""
    walk = Walk()
    built: list[Any] = []
    names: list[Any] = []
    try:
        for event in yaml_events(text):
            if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                is_object = isinstance(event, yaml.MappingStartEvent)
                if walk.wants_name:
                    raise TextInvalid("not_yaml", _("A name must be a text, not a list or an object."), at(event))
                if len(walk.stack) >= MAX_TEXT_DEPTH:
                    raise too_deep(at(event))
                walk.open("object" if is_object else "list", at(event))
                names.append(None)
                built.append({} if is_object else [])
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                walk.close()
                names.pop()
                done = built.pop()
                if not built:
                    built.append(done)
                    names.append(None)
                    continue
                attach(built, names, done)
            elif isinstance(event, yaml.ScalarEvent):
                if walk.wants_name:
                    walk.name(whole_text(event.value, at(event)), at(event))
                    names[-1] = event.value
                    continue
                walk.value(at(event))
                value = scalar(event)
                if built and walk.stack:
                    attach(built, names, value)
                else:
                    built.append(value)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else None
        raise TextInvalid("not_yaml", yaml_words(str(problem.problem or ""), text, place), place) from None
    except yaml.YAMLError:
        problem_words = _("The text holds a control character that YAML does not take. Remove it.")
        raise TextInvalid("not_yaml", problem_words, control_character(text)) from None
    return (built[0] if built else None), walk.places


def attach(built: list[Any], names: list[Any], value: Any) -> None:
    if isinstance(built[-1], dict):
        built[-1][names[-1]] = value
    else:
        built[-1].append(value)


def yaml_events(text: str) -> Iterator[yaml.Event]:
    """The events of one document without anchors and tags."""
    documents = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise TextInvalid("not_yaml", _("A second document begins here. Keep one."), at(event))
        if getattr(event, "anchor", None) is not None:
            sentence = _("Anchors and aliases (& and *) are not taken. Write the value out.")
            raise TextInvalid("yaml_anchor", sentence, at(event))
        if getattr(event, "tag", None) is not None and getattr(event, "tag", "") != "!":
            raise TextInvalid("yaml_tag", _("Tags (!) are not taken. Write the plain value."), at(event))
        yield event


def at(event: yaml.Event) -> Place:
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1) if mark is not None else Place(1, 1)


def scalar(event: yaml.ScalarEvent) -> Any:
    """The value of a scalar, by YAML 1.2's core schema without octal and hexadecimal numbers."""
    text = event.value
    if event.style:  # quoted, or a block: a text
        return whole_text(text, at(event))
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _NO_NUMBER.fullmatch(text):
        raise TextInvalid("number_invalid", number_words(text), at(event))
    return plain_number(text, at(event))


def plain_number(text: str, place: Place) -> Any:
    """A number where the text is one, else the text."""
    try:
        if _NUMBER.fullmatch(text):
            return int(text)
        if _FRACTION.fullmatch(text):
            return finite(text)
    except (ValueError, NoNumber):
        raise TextInvalid("number_invalid", number_words(text), place) from None
    return text


def yaml_words(said: str, text: str, place: Place | None) -> str:
    """What the parser found, said with the cure."""
    line = text.split("\n")[place.line - 1] if place and place.line <= text.count("\n") + 1 else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return _("The line is indented with a tab, which YAML does not take. Use spaces.")
    if "mapping values are not allowed" in said:
        return _("A colon stands where none can. Put the text in quotes, or correct the indentation.")
    if "could not find expected ':'" in said or "expected <block end>" in said:
        return _("The indentation does not fit the lines above, or a colon after a name is missing.")
    if "unexpected end of stream" in said or "while scanning a quoted scalar" in said:
        return _("A quoted text does not end: its closing quote is missing.")
    if "cannot start any token" in said:
        return _("No value can begin with this character. Put the text in quotes.")
    return _("This is not YAML. Correct the indentation, brackets or quotes here.")


def control_character(text: str) -> Place | None:
    found = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    return Lines(text).place(found.start()) if found else None


def has_comment(text: str) -> bool:
    """Whether a line is a comment, or most likely ends in one: JSON has no place for it."""
    return re.search(r"(?m)^\s*#|\s#\s", text) is not None


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # whichever is installed
    """Safe, and only asked for events: nothing of YAML's own types is ever made."""


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # six times as fast
    """Block style without anchors; a text that would be read as something else is quoted."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    is_other = text in _CONSTANTS or _FRACTION.fullmatch(text) or _NO_NUMBER.fullmatch(text)
    if is_other or _OTHER_BREAKS.search(text):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def write_yaml(document: object) -> str:
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, indent=2))
