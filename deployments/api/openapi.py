"""The OpenAPI document's schemas, made of the typed dictionaries that the views answer with."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_object_type, resolve_type_hint
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from deployments.api.errors import ErrorAnswer, InvalidAnswer


class ProgramScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How programs sign in. It stands here, for DRF imports the authentication before its views."""

    target_class = "deployments.api.authentication.ProgramAuthentication"
    name = ["basic", "personalToken"]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, str]]:
        return [{"type": "http", "scheme": "basic"}, {"type": "http", "scheme": "bearer"}]

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        return [{name: []} for name in self.name]


class SignatureScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Requests signed with an access key; OpenAPI has no words for more than the header."""

    target_class = "deployments.api.authentication.SignatureAuthentication"
    name = "accessKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        description = "ACS3-HMAC-SHA256 or HMAC-SHA1, as Alibaba's SDKs sign with an access key."
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": description}


REQUEST_ID = {"type": "string", "format": "uuid"}


def schema_of(hint: Any) -> dict[str, Any]:
    """The JSON schema of a typed dictionary."""
    found: dict[str, Any] = resolve_type_hint(hint)  # type: ignore[no-untyped-call]
    return found


def answers(hint: Any, status: int = 200, *, validates: bool = False) -> dict[int, Any]:
    """An operation's answers: the object with its ``RequestId``, and the failures every operation has."""
    schema = schema_of(hint)
    schema = {
        **schema,
        "properties": {"RequestId": REQUEST_ID, **schema.get("properties", {})},
        "required": ["RequestId", *schema.get("required", [])],
    }
    return {
        status: OpenApiResponse(schema),
        400: OpenApiResponse(schema_of(InvalidAnswer if validates else ErrorAnswer)),
        401: OpenApiResponse(schema_of(ErrorAnswer)),
        403: OpenApiResponse(schema_of(ErrorAnswer)),
        404: OpenApiResponse(schema_of(ErrorAnswer)),
        409: OpenApiResponse(schema_of(ErrorAnswer)),
    }


def body(**fields: str) -> dict[str, Any]:
    """A request body of these fields, each with its JSON type."""
    return {"application/json": build_object_type({name: {"type": kind} for name, kind in fields.items()})}


def parameters(kind: Any = OpenApiTypes.STR, *names: str) -> list[OpenApiParameter]:
    return [OpenApiParameter(name, kind) for name in names]


def paging(number: str = "PageNumber") -> list[OpenApiParameter]:
    return parameters(OpenApiTypes.INT, number, "PageSize")
