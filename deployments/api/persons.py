"""People, for administrators: created with a one-time password, reset, switched off and on."""

from __future__ import annotations

from typing import Any, TypedDict

from django.contrib.auth.models import User
from django.db.models import Max
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import people
from deployments.api import query
from deployments.api.authentication import caller
from deployments.api.body import read_object, text
from deployments.api.errors import not_found, wrong
from deployments.api.fields import time_text
from deployments.api.openapi import answers, body, paging, parameters
from deployments.api.service import MessageAnswer


class PersonFields(TypedDict):
    """A person. ``OneTimePasswordUntil`` is "" once they have set a password of their own."""

    UserId: str
    UserName: str
    DisplayName: str
    Email: str
    Administrator: bool
    Active: bool
    OneTimePasswordUntil: str
    CreateTime: str
    LastSeenTime: str


class PersonList(TypedDict):
    """A page of people, by name."""

    People: list[PersonFields]
    PageNumber: int
    PageSize: int
    TotalCount: int


class OneTimePasswordAnswer(MessageAnswer):
    """A one-time password; it is in this answer and nowhere else."""

    OneTimePassword: str
    OneTimePasswordUntil: str


class NewPerson(PersonFields):
    """A new person with their one-time password, which is in this answer and nowhere else."""

    OneTimePassword: str


def person_fields(row: User) -> PersonFields:
    one_time = getattr(row, "one_time_password", None)
    return PersonFields(
        UserId=str(row.pk),
        UserName=row.get_username(),
        DisplayName=row.first_name,
        Email=row.email,
        Administrator=row.is_superuser,
        Active=row.is_active,
        OneTimePasswordUntil=time_text(one_time.expires_at if one_time else None),
        CreateTime=time_text(row.date_joined),
        LastSeenTime=time_text(getattr(row, "seen_at", None)),
    )


def get_person(request: Request, name: str) -> User:
    """The person a path names, for administrators. Raises ``NotAllowed``, else 404."""
    people.require_administrator(caller(request))
    rows = User.objects.select_related("one_time_password")
    row = None if "\0" in name else rows.filter(username=name).first()
    if row is None:
        raise not_found("PersonNotFound", "There is no person of that name. List them all.")
    return row


def optional(given: dict[str, Any], field: str, longest: int) -> str:
    """A line of the body that may be left out."""
    return text(given, field, longest) if given.get(field) not in (None, "") else ""


def truth(given: dict[str, Any], field: str) -> bool:
    """A switch of the body, off where it is left out."""
    value = given.get(field, False)
    if not isinstance(value, bool):
        raise wrong(field, "invalid", f"{field} must be true or false.")
    return value


class PeopleView(APIView):
    """All people."""

    @extend_schema(
        operation_id="ListPeople",
        parameters=[*paging(), *parameters(OpenApiTypes.STR, "Filter")],
        responses=answers(PersonList),
    )
    def get(self, request: Request) -> Response:
        """Everybody, by name; ``Filter`` is a part of the name."""
        people.require_administrator(caller(request))
        page = query.page(request)
        rows = User.objects.select_related("one_time_password").order_by("username")
        if said := query.text(request, "Filter"):
            rows = rows.filter(username__icontains=said)
        found = page.of(rows.annotate(seen_at=Max("sign_ins__last_seen_at")))
        return Response(
            PersonList(
                People=[person_fields(row) for row in found],
                PageNumber=page.number,
                PageSize=page.size,
                TotalCount=rows.count(),
            )
        )

    @extend_schema(
        operation_id="CreatePerson",
        request=body(UserName="string", DisplayName="string", Email="string", Administrator="boolean"),
        responses=answers(NewPerson, 201, validates=True),
    )
    def post(self, request: Request) -> Response:
        """Create a person. Their one-time password is in this answer, and lets them in only to set their own."""
        actor, given = caller(request), read_object(request)
        people.require_administrator(actor)
        person, secret, _until = people.create_person(
            actor,
            text(given, "UserName", 150),
            display_name=optional(given, "DisplayName", 150),
            email=optional(given, "Email", 254),
            is_administrator=truth(given, "Administrator"),
        )
        return Response(NewPerson(**person_fields(person), OneTimePassword=secret), status=201)


class PersonView(APIView):
    """One person."""

    @extend_schema(operation_id="DescribePerson", responses=answers(PersonFields))
    def get(self, request: Request, name: str) -> Response:
        """A person."""
        return Response(person_fields(get_person(request, name)))

    @extend_schema(
        operation_id="UpdatePerson",
        request=body(Administrator="boolean"),
        responses=answers(PersonFields, validates=True),
    )
    def put(self, request: Request, name: str) -> Response:
        """Make somebody an administrator, or no longer; nobody changes this of themselves."""
        person = get_person(request, name)
        given = read_object(request)
        if "Administrator" not in given:
            raise wrong("Administrator", "missing", "Administrator must be true or false.")
        people.set_administrator(caller(request), person, truth(given, "Administrator"))
        return Response(person_fields(get_person(request, name)))


class PersonPasswordView(APIView):
    """A person's password."""

    @extend_schema(operation_id="ResetPassword", request=None, responses=answers(OneTimePasswordAnswer))
    def post(self, request: Request, name: str) -> Response:
        """Give a person another one-time password. Their sessions end; their tokens and keys go on."""
        person = get_person(request, name)
        secret, until = people.reset_password(caller(request), person)
        message = f"[{name}] has a one-time password and is signed out."
        return Response(
            OneTimePasswordAnswer(Message=message, OneTimePassword=secret, OneTimePasswordUntil=time_text(until))
        )


class DeactivatePersonView(APIView):
    """Switching an account off."""

    @extend_schema(operation_id="DeactivatePerson", request=None, responses=answers(MessageAnswer))
    def put(self, request: Request, name: str) -> Response:
        """End sessions, tokens and keys at once and let the person in no more. What they made stays."""
        people.deactivate(caller(request), get_person(request, name))
        return Response(MessageAnswer(Message=f"[{name}] is switched off."))


class ActivatePersonView(APIView):
    """Switching an account on again."""

    @extend_schema(operation_id="ActivatePerson", request=None, responses=answers(OneTimePasswordAnswer))
    def put(self, request: Request, name: str) -> Response:
        """Let a person in again, with a one-time password; old tokens and keys stay ended."""
        secret, until = people.reactivate(caller(request), get_person(request, name))
        message = f"[{name}] is switched on."
        return Response(
            OneTimePasswordAnswer(Message=message, OneTimePassword=secret, OneTimePasswordUntil=time_text(until))
        )
