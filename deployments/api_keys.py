"""API keys: a person's programs call the services of a workspace at the gateway with them.

A secret is ``sk-slw-``, 32 random letters and digits, and 8 that seal them with this installation's secret key: what
was made up is told from a key without a look at the database, however much of it comes.

A key acts with the rights that its owner has now: whoever leaves the workspace, or is switched off, takes their keys
with them. Every member may have keys, viewers too: they may chat.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from deployments.accounts import NotAllowed, owners_words, role_in
from deployments.audit import record_audit
from deployments.encryption import digest_of
from deployments.hints import hint_keys
from deployments.models import KEY_LETTERS, ApiKey, Desired, Limited, Membership, Role, Service, Workspace
from deployments.spec import FieldError, SpecInvalid

PREFIX = "sk-slw-"
RANDOM_LETTERS = 32
SEAL_LETTERS = 8
SHOWN_LETTERS = len(PREFIX) + 4
MAX_API_KEYS = 100  # a person, those that still work or have only expired
KEEP_REVOKED = timedelta(days=90)
LIMIT_FIELDS = tuple(one.name for one in Limited._meta.local_fields)
MOST = 10**15


class KeyScope(models.TextChoices):
    """What a key may be used for. Each request to a service needs one of them (``inference_gateway.key_rights``).

    Three, for they are what somebody hands out differently: to talk to a model, to work with one's texts and media
    otherwise, and to reach whatever a program itself offers, which nobody but its author knows.
    """

    CHAT = "chat"
    EMBEDDINGS = "embeddings"
    CALL = "call"


class TooManyApiKeys(Exception):
    """A person has as many API keys as anybody may."""

    def __init__(self) -> None:
        super().__init__(_("You have %(count)s API keys. Revoke one first.") % {"count": MAX_API_KEYS})


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """What a key is called and may do. No services: all of the workspace, those made later included."""

    name: str
    scopes: tuple[str, ...] = tuple(KeyScope.values)
    service_uids: tuple[str, ...] = ()
    limits: Mapping[str, int | None] = field(default_factory=dict)


@lru_cache(maxsize=4)
def _sealing_key(secret_key: str) -> bytes:
    return hmac.digest(secret_key.encode(), b"slipway.api_key.v1", "sha256")


def seal(body: str) -> str:
    """The letters at the end of a key, which only this installation can make."""
    number = int.from_bytes(hmac.digest(_sealing_key(settings.SECRET_KEY), body.encode(), hashlib.sha256)[:8])
    letters = ""
    for _place in range(SEAL_LETTERS):
        number, rest = divmod(number, len(KEY_LETTERS))
        letters += KEY_LETTERS[rest]
    return letters


def new_secret() -> str:
    body = "".join(secrets.choice(KEY_LETTERS) for _place in range(RANDOM_LETTERS))
    return PREFIX + body + seal(body)


def is_sealed(presented: str) -> bool:
    """Whether this installation made it once. Whether it still counts is in the database."""
    if not presented.startswith(PREFIX) or len(presented) != len(PREFIX) + RANDOM_LETTERS + SEAL_LETTERS:
        return False
    if not presented.isascii():
        return False
    body, given = presented[len(PREFIX) : -SEAL_LETTERS], presented[-SEAL_LETTERS:]
    return hmac.compare_digest(seal(body), given)


def issue_api_key(
    owner: User, workspace: Workspace, terms: KeyTerms, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Make a key; the secret is returned this once and never again.

    Raises ``NotAllowed`` for who is no member, ``SpecInvalid`` and ``TooManyApiKeys``.
    """
    secret = new_secret()
    with transaction.atomic():
        if role_in(owner, workspace) is None:
            words = _("You do not belong to %(workspace)s. Owners: %(names)s.")
            raise NotAllowed(words % {"workspace": workspace.name, "names": owners_words(workspace)})
        values = check_terms(terms, workspace)
        if ApiKey.objects.filter(user=owner, revoked_at=None).count() >= MAX_API_KEYS:
            raise TooManyApiKeys
        row = ApiKey.objects.create(
            user=owner,
            workspace=workspace,
            digest=digest_of(secret),
            prefix=secret[:SHOWN_LETTERS],
            expires_at=expires_at,
            **values,
        )
        record_audit(owner, "api_key.create", row.prefix, workspace, after=describe_terms(row))
    return row, secret


def change_api_key(row: ApiKey, terms: KeyTerms) -> ApiKey:
    """Give a key other terms; they count within a second. Its owner does that. Raises ``SpecInvalid``."""
    with transaction.atomic():
        locked = ApiKey.objects.select_for_update().select_related("workspace", "user").get(pk=row.pk)
        before = describe_terms(locked)
        values = check_terms(terms, locked.workspace, known=locked.service_uids)
        for name, value in values.items():
            setattr(locked, name, value)
        after = describe_terms(locked)
        if after != before:
            locked.save(update_fields=list(values))
            record_audit(locked.user, "api_key.change", locked.prefix, locked.workspace, before=before, after=after)
            hint_keys()
    return locked


def revoke_api_key(actor: User, row: ApiKey) -> None:
    """Whoever uses it is refused within a second. Twice is fine.

    Raises ``NotAllowed`` unless the actor has the key or owns its workspace.
    """
    if actor.pk != row.user_id and role_in(actor, row.workspace) != Role.OWNER:
        words = _("You can revoke your own keys. Others: ask the owners, %(names)s.")
        raise NotAllowed(words % {"names": owners_words(row.workspace)})
    with transaction.atomic():
        if ApiKey.objects.filter(pk=row.pk, revoked_at=None).update(revoked_at=timezone.now()):
            before = {"name": row.name, "owner": row.user.get_username()}
            record_audit(actor, "api_key.revoke", row.prefix, row.workspace, before=before)
            hint_keys()


def api_keys_of(reader: User) -> QuerySet[ApiKey]:
    """The keys that a person may see and that are not revoked: their own, and all of workspaces they own."""
    rows = ApiKey.objects.filter(revoked_at=None).select_related("workspace", "user")
    if reader.is_superuser:
        return rows
    owned = Membership.objects.filter(user=reader, role=Role.OWNER).values("workspace")
    return rows.filter(Q(user=reader) | Q(workspace__in=owned))


def find_api_key(reader: User, key_id: int) -> ApiKey | None:
    """A key that a person may see, by its number. None for others' as for those that are none."""
    return api_keys_of(reader).filter(pk=key_id).first() if 0 < key_id < 2**63 else None


def services_to_name(workspace: Workspace) -> QuerySet[Service]:
    """The services that a key of the workspace may be for, by name."""
    return Service.objects.filter(workspace=workspace).exclude(desired=Desired.DELETED).order_by("name")


def limits_of(row: Limited) -> dict[str, int | None]:
    return {name: getattr(row, name) for name in LIMIT_FIELDS}


def check_limits(limits: Mapping[str, int | None]) -> dict[str, int | None]:
    """Whole numbers of 1 and more, or None. Raises ``SpecInvalid`` that names each wrong one."""
    wrong = [
        FieldError(name, "invalid", _("Give a whole number of 1 or more, or nothing for no limit."))
        for name, value in limits.items()
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST)
    ]
    if wrong:
        raise SpecInvalid(wrong)
    return {name: limits[name] for name in LIMIT_FIELDS if name in limits}


def check_terms(terms: KeyTerms, workspace: Workspace, known: Iterable[str] = ()) -> dict[str, Any]:
    """What is kept of terms. ``known``: services that the key names already; they may be gone by now.

    Raises ``SpecInvalid``.
    """
    wrong: list[FieldError] = []
    name = " ".join(terms.name.split())
    if not name.isprintable() or not 1 <= len(name) <= 120:
        words = _("Give the key a name of 1 to 120 characters, so that you know it later.")
        wrong.append(FieldError("name", "invalid", words))
    scopes = [scope for scope in KeyScope.values if scope in terms.scopes]
    if not scopes or len(scopes) != len(set(terms.scopes)):
        words = _("Choose at least one of what the key may be used for: chat, embeddings, call.")
        wrong.append(FieldError("scopes", "invalid", words))
    uids = list(dict.fromkeys(terms.service_uids))
    there = set(services_to_name(workspace).filter(uid__in=uids).values_list("uid", flat=True)) | set(known)
    if any(uid not in there for uid in uids):
        words = _("One of these services is not in %(workspace)s. Choose among its services.")
        wrong.append(FieldError("services", "invalid", words % {"workspace": workspace.name}))
    try:
        limits = check_limits(terms.limits)
    except SpecInvalid as refusal:
        wrong += refusal.errors
    if wrong:
        raise SpecInvalid(wrong)
    return {"name": name, "scopes": scopes, "service_uids": uids, **limits}


def describe_terms(row: ApiKey) -> dict[str, Any]:
    """What the audit trail says of a key. The secret is not among it, nor is its digest."""
    told: dict[str, Any] = {"name": row.name, "scopes": list(row.scopes), "services": list(row.service_uids) or "all"}
    return told | {name: value for name, value in limits_of(row).items() if value is not None}


def forget_old_api_keys() -> None:
    """Drop keys that were revoked long ago."""
    ApiKey.objects.filter(revoked_at__lt=timezone.now() - KEEP_REVOKED).delete()
