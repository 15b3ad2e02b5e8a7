"""Reads untrusted JSON leniently where clients differ, and refuses the rest with the field and the cure.

Lenient (eas.md §1.3, §1.9): booleans as strings, numbers as strings, null as absent, unknown keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from inference_gateway.chat import ChatError

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def refuse(field: str | None, message: str, code: str = "invalid_parameter") -> NoReturn:
    raise ChatError(400, code, message, field)


def decode_text(body: bytes) -> str:
    """The body as text, less a byte order mark. Raises ChatError 400 ``invalid_encoding``."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        refuse(
            None,
            f"The body is not valid UTF-8 (byte {error.start}). Send the text encoded as UTF-8.",
            "invalid_encoding",
        )


def parse_object(text: str) -> dict[str, Any]:
    """A JSON object that every parser reads the same: no NaN, no name twice, nothing nested without end, no half
    characters.

    Raises ChatError 400 ``invalid_json``.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_take_each_once)
        if "\\u" in text:  # Half of a surrogate pair can only come as an escape.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        json.dumps(value, allow_nan=False)  # 1e999 is read as infinity.
    except UnicodeEncodeError:
        refuse(None, "The JSON holds half of a surrogate pair, which is no character.", "invalid_json")
    except RecursionError:
        refuse(None, "The JSON is nested too deep. Send a flat object.", "invalid_json")
    except ValueError as error:
        reason = str(error).split(". ")[0]  # Python's own text, less its advice on interpreter settings.
        refuse(None, f"The body is not valid JSON: {reason}.", "invalid_json")
    if not isinstance(value, dict):
        refuse(None, "The body must be a JSON object, such as {...}.", "invalid_json")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _take_each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Parsers differ in which of two they take; what was checked here must be what the engine reads."""
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:50]!r} is given twice")
    return value


class Fields:
    """The fields of one request. Where one is absent or null, ``read_`` returns None or the default."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def has(self, name: str) -> bool:
        return self.values.get(name) is not None

    def read_text(self, name: str) -> str | None:
        value = self.values.get(name)
        if value is None or isinstance(value, str):
            return value
        refuse(name, f"{name} must be a string, not {_kind(value)}.")

    def read_boolean(self, name: str, default: bool) -> bool:
        value = self.values.get(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        if isinstance(value, int) and value in (0, 1):
            return bool(value)
        if isinstance(value, str):
            text = value.strip().lower()
            if text in _BOOLEANS:
                return _BOOLEANS[text]
            if text == "":
                return default
        refuse(name, f"{name} must be true or false.")

    def read_number(self, name: str, low: float, high: float) -> float | None:
        """A number from ``low`` to ``high``, both included."""
        value = self._read_numeric(name)
        if value is None:
            return None
        if not low <= value <= high:  # so is no infinity, and NaN, which no comparison holds for
            refuse(name, f"{name} must be a number from {low:g} to {high:g}.")
        return float(value)

    def read_integer(self, name: str, low: int, high: int) -> int | None:
        value = self._read_numeric(name)
        if value is None:
            return None
        if isinstance(value, float) and not value.is_integer():  # nor are infinity and NaN
            refuse(name, f"{name} must be a whole number.")
        if not low <= value <= high:
            refuse(name, f"{name} must be from {low} to {high}.")
        return int(value)

    def read_texts(self, name: str) -> tuple[str, ...]:
        """A list of strings, or one string alone. Empty ones are dropped: they match everywhere."""
        value = self.values.get(name)
        if value is None:
            return ()
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            refuse(name, f"{name} must be a string or a list of strings.")
        if len(items) > 16:
            refuse(name, f"{name} may hold at most 16 strings.")
        return tuple(item for item in items if item)

    def _read_numeric(self, name: str) -> int | float | None:
        value = self.values.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str):
            try:
                value = float(value) if not value.strip().lstrip("+-").isdigit() else int(value)
            except ValueError:
                refuse(name, f"{name} must be a number, not the text it holds.")
        if isinstance(value, bool) or not isinstance(value, int | float):
            refuse(name, f"{name} must be a number, not {_kind(value)}.")
        return value


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    names = {int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "that")
