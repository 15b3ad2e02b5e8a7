"""The caller's access keys: made, listed and revoked."""

from __future__ import annotations

from datetime import timedelta
from typing import TypedDict

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments.access_keys import find_access_key, issue_access_key, revoke_access_key
from deployments.api.authentication import caller
from deployments.api.body import read_object, text, whole
from deployments.api.errors import not_found
from deployments.api.fields import time_text
from deployments.api.openapi import answers, body
from deployments.api.people import MAX_TOKEN_DAYS
from deployments.api.service import MessageAnswer
from deployments.models import AccessKey


class AccessKeyFields(TypedDict):
    """An access key, without its secret."""

    AccessKeyId: str
    Name: str
    CreateTime: str
    ExpireTime: str
    LastUsedTime: str


class NewAccessKey(AccessKeyFields):
    """A new access key; ``AccessKeySecret`` is shown this once."""

    AccessKeySecret: str


class AccessKeyList(TypedDict):
    """The caller's access keys that are not revoked, newest first."""

    AccessKeys: list[AccessKeyFields]
    TotalCount: int


def access_key_fields(row: AccessKey) -> AccessKeyFields:
    return AccessKeyFields(
        AccessKeyId=row.key_id,
        Name=row.name,
        CreateTime=time_text(row.created_at),
        ExpireTime=time_text(row.expires_at),
        LastUsedTime=time_text(row.last_used_at),
    )


class AccessKeysView(APIView):
    """The caller's access keys."""

    @extend_schema(operation_id="ListAccessKeys", responses=answers(AccessKeyList))
    def get(self, request: Request) -> Response:
        """The caller's access keys, without their secrets."""
        rows = AccessKey.objects.filter(user=caller(request), revoked_at=None)
        found = [access_key_fields(row) for row in rows]
        return Response(AccessKeyList(AccessKeys=found, TotalCount=len(found)))

    @extend_schema(
        operation_id="CreateAccessKey",
        request=body(Name="string", ExpiresInDays="integer"),
        responses=answers(NewAccessKey, 201, validates=True),
    )
    def post(self, request: Request) -> Response:
        """Make a key; its secret is in this answer and nowhere else. Without ``ExpiresInDays`` it stays valid."""
        user, given = caller(request), read_object(request)
        name = text(given, "Name", 120)
        days = whole(given, "ExpiresInDays", 1, MAX_TOKEN_DAYS) if given.get("ExpiresInDays") is not None else None
        row, secret = issue_access_key(user, name, timezone.now() + timedelta(days=days) if days else None)
        return Response(NewAccessKey(**access_key_fields(row), AccessKeySecret=secret), status=201)


class AccessKeyView(APIView):
    """One access key."""

    @extend_schema(operation_id="DeleteAccessKey", responses=answers(MessageAnswer))
    def delete(self, request: Request, key_id: str) -> Response:
        """Revoke a key: whoever signs with it is refused from now on."""
        row = None if "\0" in key_id else find_access_key(caller(request), key_id)
        if row is None:
            raise not_found("AccessKeyNotFound", "You have no such access key. List them all.")
        revoke_access_key(row)
        return Response(MessageAnswer(Message=f"Access key [{row.key_id}] is revoked."))
