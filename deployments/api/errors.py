"""Failures in EAS's shape, ``{"RequestId", "Code", "Message"}``: stable codes, sentences with the cure.

Wrong input lists every wrong field in ``Errors`` as well. 409 carries the code of the conflict itself.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from deployments.access_keys import TooManyAccessKeys
from deployments.accounts import NotAllowed, PasswordChangeRequired, TooManyTokens, TooManyTries
from deployments.api_keys import TooManyApiKeys
from deployments.clusters.base import ClusterError
from deployments.encryption import SecretUnreadable
from deployments.lifecycle import Conflict, RevisionMissing
from deployments.signatures import SignatureRefused
from deployments.spec import FieldError, SpecInvalid

logger = logging.getLogger(__name__)

DATABASE_DOWN = "The database does not answer. Try again in a moment; the server's log says why."


class FieldErrorAnswer(TypedDict):
    """One wrong field."""

    Field: str
    Code: str
    Message: str


class ErrorAnswer(TypedDict):
    """Every answer from 400 up. ``Errors`` is there where fields are wrong."""

    RequestId: str
    Code: str
    Message: str


class InvalidAnswer(ErrorAnswer):
    """400 for wrong fields or parameters."""

    Errors: list[FieldErrorAnswer]


class ApiError(Exception):
    """An answer with this status, stable code and sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def not_found(code: str, message: str) -> ApiError:
    return ApiError(404, code, message)


def wrong(field: str, code: str, message: str) -> SpecInvalid:
    """One wrong field or parameter."""
    return SpecInvalid([FieldError(field, code, message)])


TOO_MANY: dict[type[Exception], str] = {
    TooManyTokens: "too_many_tokens",
    TooManyAccessKeys: "too_many_access_keys",
    TooManyApiKeys: "too_many_api_keys",
}


def answer_error(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's ``EXCEPTION_HANDLER``. None is a defect: Django logs it and answers 500."""
    if isinstance(error, ApiError):
        return refusal(error.status, error.code, error.message)
    if isinstance(error, SpecInvalid):
        return invalid(error.errors)
    if isinstance(error, Conflict):
        return refusal(409, error.code, error.message)
    if isinstance(error, RevisionMissing):
        return refusal(404, "VersionNotFound", str(error))
    if type(error) in TOO_MANY:
        return refusal(409, TOO_MANY[type(error)], str(error))
    if isinstance(error, SignatureRefused):
        return refusal(401, error.code, error.message, {"WWW-Authenticate": 'ACS3-HMAC-SHA256 realm="Slipway"'})
    if isinstance(error, TooManyTries):
        # The second header is in milliseconds, and tells Alibaba's SDKs that they were throttled (sdk-wire.md §4).
        waits = {"Retry-After": str(error.wait_seconds), "x-acs-retry-after": str(error.wait_seconds * 1000)}
        return refusal(429, "Throttling", str(error), waits)
    if isinstance(error, PasswordChangeRequired):
        code = "OneTimePasswordExpired" if error.is_expired else "PasswordChangeRequired"
        return refusal(403, code, str(error))
    if isinstance(error, NotAllowed | PermissionDenied):
        return refusal(403, "Forbidden", str(error) or "Your role does not allow this.")
    if isinstance(error, Http404):
        return refusal(404, "NotFound", "There is nothing here.")
    if isinstance(error, SecretUnreadable):
        return refusal(409, "SecretUnreadable", str(error))
    if isinstance(error, exceptions.APIException):
        return answer_framework_error(error)
    return answer_outage(error)


def answer_outage(error: Exception) -> Response | None:
    """503 where what Slipway stands on does not answer."""
    if isinstance(error, ClusterError):
        logger.warning("the cluster did not answer: %s: %s", error.code, error.message)
        return refusal(503, error.code, f"{error.message} {error.cure}".strip())
    if isinstance(error, OperationalError | InterfaceError):
        logger.error("the database did not answer", exc_info=error)
        return refusal(503, "DatabaseUnavailable", DATABASE_DOWN, {"Retry-After": "5"})
    return None


def answer_framework_error(error: exceptions.APIException) -> Response:
    codes = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed"}
    message = str(error.detail)
    if isinstance(error, exceptions.NotAuthenticated):
        message = "Sign in with HTTP Basic or a personal access token."
    if isinstance(error, exceptions.MethodNotAllowed):
        message = f"{message} See the header Allow."
    headers = {}
    challenge = getattr(error, "auth_header", None)
    if challenge:
        headers["WWW-Authenticate"] = challenge
    return refusal(error.status_code, codes.get(error.status_code, "BadRequest"), message, headers)


def refusal(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response({"Code": code, "Message": message}, status=status, headers=dict(headers or {}))


def invalid(errors: Iterable[FieldError]) -> Response:
    fields = [FieldErrorAnswer(Field=error.field, Code=error.code, Message=error.message) for error in errors]
    message = " ".join(dict.fromkeys(named(field) for field in fields))
    return Response({"Code": "InvalidParameter", "Message": message, "Errors": fields}, status=400)


def named(field: FieldErrorAnswer) -> str:
    """The sentence with its field: a page shows it beside the input, and so it need not name it."""
    name, message = field["Field"], field["Message"]
    return message if not name or name in message or names_place(message, name) else f"{name}: {message}"


def names_place(message: str, path: str) -> bool:
    """Whether a sentence names what ``path`` lies in (``storage[0]``). One word alone is a word of English too."""
    places = [path[: dot.start()] for dot in re.finditer(r"\.", path)]
    return any(
        re.search(rf"(?<![\w.]){re.escape(place)}(?![\w\[]|\.\w)", message) is not None
        for place in places
        if re.search(r"[.\[]", place)
    )
