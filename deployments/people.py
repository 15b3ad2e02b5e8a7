"""People: administrators create them with a one-time password, which lets in only to set one of one's own.

Every change of somebody else's account is made under a lock of all administrators' rows, in which the actor is
looked at again: of two who switch one another off at once, one stays.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from deployments.accounts import NotAllowed, administrators_words
from deployments.audit import record_audit
from deployments.hints import hint_keys, hint_person
from deployments.lifecycle import Conflict
from deployments.models import AccessKey, ApiKey, OneTimePassword, PersonalToken
from deployments.sign_ins import end_sign_ins
from deployments.spec import FieldError, SpecInvalid

#: How long a one-time password may wait to be used.
ONE_TIME_DAYS = 3
#: No look-alikes (0 O, 1 l I): it is read out, written down, typed.
LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"


class OneTimePasswordOver(Exception):
    """A one-time password was used, replaced or has expired since it was given."""

    def __init__(self) -> None:
        super().__init__(_("This one-time password is over. Ask an administrator for another."))


@contextmanager
def administering(actor: User) -> Iterator[None]:
    """A transaction in which ``actor`` is an administrator and stays one. Raises ``NotAllowed``."""
    with transaction.atomic():
        # All are locked, in one order: of two who switch one another off at once, the second finds itself off.
        list(User.objects.select_for_update().filter(is_superuser=True, is_active=True).order_by("pk"))
        require_administrator(actor)
        yield


def require_administrator(actor: User) -> None:
    """Raise ``NotAllowed`` unless ``actor`` is an administrator now."""
    if not User.objects.filter(pk=actor.pk, is_superuser=True, is_active=True).exists():
        words = _("Only administrators manage people. Administrators: %(names)s.")
        raise NotAllowed(words % {"names": administrators_words()})


def create_person(
    actor: User, name: str, *, display_name: str = "", email: str = "", is_administrator: bool = False
) -> tuple[User, str, datetime]:
    """Create a person. Returns them, their one-time password (shown this once) and until when it works.

    Raises ``NotAllowed``, ``SpecInvalid`` for wrong fields, ``Conflict`` (``name_taken``).
    """
    name = unicodedata.normalize("NFKC", name.strip())
    check_person(name, display_name, email)
    secret, expires_at = new_one_time_password(), timezone.now() + timedelta(days=ONE_TIME_DAYS)
    try:
        with administering(actor):
            if User.objects.filter(username__iexact=name).exists():
                raise taken(name)
            person = User(
                username=name,
                first_name=display_name,
                email=email,
                is_superuser=is_administrator,
                is_staff=is_administrator,
            )
            person.set_password(secret)
            person.save()
            OneTimePassword.objects.create(user=person, expires_at=expires_at)
            after = {"name": display_name, "email": email, "administrator": is_administrator}
            record_audit(actor, "user.create", name, None, after=after)
    except IntegrityError:
        raise taken(name) from None
    return person, secret, expires_at


def taken(name: str) -> Conflict:
    return Conflict("name_taken", _("There is a person named %(name)s already. Choose another name.") % {"name": name})


def check_person(name: str, display_name: str, email: str) -> None:
    """Raise ``SpecInvalid`` with every wrong field."""
    errors = []
    if not 1 <= len(name) <= 150 or not is_user_name(name):
        words = _("A user name has 1 to 150 letters, digits and @ . + - _ and no spaces.")
        errors.append(FieldError("UserName", "invalid", words))
    errors += check_profile(display_name, email)
    if errors:
        raise SpecInvalid(errors)


def is_user_name(name: str) -> bool:
    try:
        UnicodeUsernameValidator()(name)
    except ValidationError:
        return False
    return True


def check_profile(display_name: str, email: str) -> list[FieldError]:
    """What is wrong with what a person may change of themselves."""
    errors = []
    if len(display_name) > 150 or (display_name and not display_name.isprintable()):
        words = _("Give a name of at most 150 characters, or none.")
        errors.append(FieldError("DisplayName", "invalid", words))
    try:
        if email:
            validate_email(email)
        is_address = len(email) <= 254
    except ValidationError:
        is_address = False
    if not is_address:
        words = _("This is no e-mail address. Write it as name@example.org, or leave it empty.")
        errors.append(FieldError("Email", "invalid", words))
    return errors


def change_profile(person: User, display_name: str, email: str) -> None:
    """Change one's own name and address. Raises ``SpecInvalid``."""
    if errors := check_profile(display_name, email):
        raise SpecInvalid(errors)
    before = {"name": person.first_name, "email": person.email}
    after = {"name": display_name, "email": email}
    if before == after:
        return
    with transaction.atomic():
        User.objects.filter(pk=person.pk).update(first_name=display_name, email=email)
        record_audit(person, "user.change_profile", person.get_username(), None, before=before, after=after)


def reset_password(actor: User, person: User) -> tuple[str, datetime]:
    """Give a person another one-time password and sign them out; tokens and keys of theirs go on.

    Returns it (shown this once) and until when it works. Raises ``NotAllowed`` or ``Conflict``.
    """
    refuse_self(actor, person, _("Change your own password under Settings, Security."))
    secret, expires_at = new_one_time_password(), timezone.now() + timedelta(days=ONE_TIME_DAYS)
    with administering(actor):
        row = User.objects.select_for_update().get(pk=person.pk)
        if not row.is_active:
            words = _("%(name)s is switched off. Switch the account on again instead.")
            raise Conflict("person_inactive", words % {"name": row.get_username()})
        give_one_time_password(row, secret, expires_at)
        record_audit(actor, "user.reset_password", row.get_username(), None)
    return secret, expires_at


def give_one_time_password(person: User, secret: str, expires_at: datetime) -> None:
    person.set_password(secret)
    person.save(update_fields=["password"])
    OneTimePassword.objects.update_or_create(
        user=person, defaults={"expires_at": expires_at, "created_at": timezone.now()}
    )
    end_sign_ins(person)


def set_own_password(person: User, password: str) -> None:
    """Use up a one-time password. Raises ``ValidationError`` for a weak one, ``OneTimePasswordOver``."""
    validate_password(password, person)
    if person.check_password(password):
        raise ValidationError(_("This is the one-time password. Choose another."))
    with transaction.atomic():
        now = timezone.now()
        # The hash that was looked at: another reset meanwhile has made another password.
        alive = OneTimePassword.objects.filter(user=person, expires_at__gt=now, user__password=person.password)
        if not alive.delete()[0]:
            raise OneTimePasswordOver
        person.set_password(password)
        person.save(update_fields=["password"])
        record_audit(person, "user.set_password", person.get_username(), None)


def deactivate(actor: User, person: User) -> None:
    """Switch an account off: sessions, tokens and keys end at once, everything they made stays. Twice is fine."""
    refuse_self(actor, person, _("You cannot switch off your own account. Ask another administrator."))
    with administering(actor):
        if not User.objects.filter(pk=person.pk, is_active=True).update(is_active=False):
            return
        now = timezone.now()
        PersonalToken.objects.filter(user=person).exclude(expires_at__lte=now).update(expires_at=now)
        AccessKey.objects.filter(user=person, revoked_at=None).update(revoked_at=now, secret_encrypted="")
        ApiKey.objects.filter(user=person, revoked_at=None).update(revoked_at=now)
        hint_keys()
        OneTimePassword.objects.filter(user=person).delete()
        end_sign_ins(person)
        record_audit(actor, "user.deactivate", person.get_username(), None)


def reactivate(actor: User, person: User) -> tuple[str, datetime]:
    """Switch an account on again, with a one-time password; its old tokens and keys stay ended.

    Raises ``Conflict`` (``person_active``).
    """
    secret, expires_at = new_one_time_password(), timezone.now() + timedelta(days=ONE_TIME_DAYS)
    with administering(actor):
        if not User.objects.filter(pk=person.pk, is_active=False).update(is_active=True):
            words = _("%(name)s is switched on already.")
            raise Conflict("person_active", words % {"name": person.get_username()})
        give_one_time_password(User.objects.get(pk=person.pk), secret, expires_at)
        record_audit(actor, "user.activate", person.get_username(), None)
    return secret, expires_at


def set_administrator(actor: User, person: User, is_administrator: bool) -> None:
    """Make somebody an administrator, or no longer. Twice is fine."""
    refuse_self(actor, person, _("You cannot take this from yourself. Ask another administrator."))
    with administering(actor):
        rows = User.objects.filter(pk=person.pk, is_superuser=not is_administrator)
        if rows.update(is_superuser=is_administrator, is_staff=is_administrator):
            before, after = {"administrator": not is_administrator}, {"administrator": is_administrator}
            record_audit(actor, "user.change_administrator", person.get_username(), None, before, after)
            hint_person(person.pk)


def refuse_self(actor: User, person: User, words: str) -> None:
    if actor.pk == person.pk:
        raise Conflict("own_account", words)


def new_one_time_password() -> str:
    """Four groups of four letters, 80 random bits."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(4))
