"""Request bodies: JSON whatever the content type says (sdk-wire.md §1), bounded, and never a crash."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http.request import RawPostDataException
from rest_framework.request import Request

from deployments.api.errors import ApiError, wrong


def read_bytes(request: Request) -> bytes:
    """The body as it came. Raises ``ApiError`` 400 or 413."""
    try:
        raw: bytes = request.body
    except RequestDataTooBig:
        raise ApiError(413, "BodyTooLarge", "The body is too large: at most 4 MiB.") from None
    except RawPostDataException:  # a form with files, which the check of the CSRF token has read
        raise ApiError(400, "InvalidJson", "Send the body as JSON.") from None
    return raw


def read_json(request: Request) -> Any:
    """The body's JSON value, None for an empty body. Raises ``ApiError`` 400 or 413."""
    raw = read_bytes(request)
    if not raw.strip():
        return None
    try:
        return json.loads(raw.decode("utf-8-sig"), parse_constant=refuse_constant)
    except UnicodeDecodeError:
        raise ApiError(400, "InvalidJson", "The body is not UTF-8 text. Send JSON in UTF-8.") from None
    except RecursionError:
        raise ApiError(400, "InvalidJson", "The body nests too deeply.") from None
    except ValueError as error:
        where = f" in line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else ""
        raise ApiError(400, "InvalidJson", f"The body is not valid JSON{where}. Correct it.") from None


def refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def read_object(request: Request) -> dict[str, Any]:
    """The body's object; an empty body is an empty object."""
    value = read_json(request)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong("", "not_an_object", "The body must be a JSON object.")
    return value


def read_document(request: Request) -> dict[str, Any]:
    """A service document: the body itself, or a JSON text that holds one (eas.md §4.1)."""
    value = read_json(request)
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_constant=refuse_constant)
        except (ValueError, RecursionError):
            raise ApiError(400, "InvalidJson", "The text in the body is not valid JSON. Correct it.") from None
    if not isinstance(value, dict):
        raise wrong("", "not_an_object", "The body must be a service document: a JSON object.")
    return value


def whole(body: dict[str, Any], field: str, low: int, high: int) -> int:
    """A required whole number of the body."""
    value = body.get(field)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        code = "missing" if value is None else "out_of_range" if isinstance(value, int) else "invalid"
        raise wrong(field, code, f"{field} must be a whole number from {low} to {high}.")
    return value


def text(body: dict[str, Any], field: str, longest: int) -> str:
    """A required line of text of the body."""
    value = body.get(field)
    line = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(line) <= longest or not line.isprintable():
        code = "missing" if value is None else "invalid"
        raise wrong(field, code, f"{field} must be a line of 1 to {longest} characters.")
    return line
