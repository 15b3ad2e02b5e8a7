"""Access keys: pairs of an id and a secret with which Alibaba's SDKs sign requests (sdk-wire.md §1-§3)."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from deployments.accounts import TOUCH_EVERY, TooManyTries
from deployments.audit import record_audit
from deployments.encryption import SecretUnreadable, decrypt, encrypt, new_access_key_secret
from deployments.models import AccessKey, UsedNonce
from deployments.signatures import (
    DATE_WINDOW,
    HMAC_SHA1,
    Claim,
    SignatureRefused,
    SignedRequest,
    check_date,
    check_signature,
    parse_claim,
    unsupported,
)
from deployments.throttle import claim_try

MAX_ACCESS_KEYS = 100  # a person
#: How long a program that uses a revoked key is told so, before the key counts as one that never was.
KEEP_REVOKED = timedelta(days=90)
UNPROVEN = {"SignatureDoesNotMatch", "InvalidAccessKeyId.NotFound"}


class TooManyAccessKeys(Exception):
    """A person has as many access keys as anybody may."""

    def __init__(self) -> None:
        super().__init__(_("You have %(count)s access keys. Revoke one first.") % {"count": MAX_ACCESS_KEYS})


def issue_access_key(user: User, name: str, expires_at: datetime | None = None) -> tuple[AccessKey, str]:
    """Make a key; the secret is returned this once and never again. Raises ``TooManyAccessKeys``."""
    secret = new_access_key_secret()
    with transaction.atomic():
        if AccessKey.objects.filter(user=user, revoked_at=None).count() >= MAX_ACCESS_KEYS:
            raise TooManyAccessKeys
        row = AccessKey.objects.create(user=user, name=name, secret_encrypted=encrypt(secret), expires_at=expires_at)
        record_audit(user, "access_key.create", row.key_id, None, after={"name": name})
    return row, secret


def revoke_access_key(row: AccessKey) -> None:
    """Whoever signs with it is refused from now on, and the secret is forgotten. Twice is fine."""
    with transaction.atomic():
        rows = AccessKey.objects.filter(pk=row.pk, revoked_at=None)
        if rows.update(revoked_at=timezone.now(), secret_encrypted=""):
            record_audit(row.user, "access_key.revoke", row.key_id, None, before={"name": row.name})


def find_access_key(user: User, key_id: str) -> AccessKey | None:
    """A person's key that is not revoked."""
    return AccessKey.objects.select_related("user").filter(user=user, key_id=key_id, revoked_at=None).first()


def get_user_by_signature(request: SignedRequest, address: str) -> User:
    """The person whose access key signed the request; takes its nonce and notes the key's use.

    ``address`` is where the request came from. Raises ``SignatureRefused``, or ``TooManyTries`` after many wrong
    ones from there. A right signature is never throttled: a stranger who knows a key's id cannot lock its owner out.
    """
    now = timezone.now()
    claim = parse_claim(request)
    if claim.algorithm == HMAC_SHA1 and not settings.SLIPWAY_HMAC_SHA1:
        raise unsupported("HMAC-SHA1 is switched off here, for it does not cover the body. Use ACS3-HMAC-SHA256.")
    check_date(claim, now)
    try:
        row = get_usable_key(claim.access_key_id, now)
        check_signature(request, claim, secret_of(row))
    except SignatureRefused as refusal:
        if refusal.code in UNPROVEN and (wait_seconds := claim_try(claim.access_key_id, address)):
            raise TooManyTries(wait_seconds, "signatures") from None
        raise
    take_nonce(row, claim)
    if row.last_used_at is None or now - row.last_used_at > TOUCH_EVERY:
        AccessKey.objects.filter(pk=row.pk).update(last_used_at=now)
    return row.user


def get_usable_key(key_id: str, now: datetime) -> AccessKey:
    """The key of that id. Raises ``SignatureRefused`` where there is none that may be used now."""
    row = AccessKey.objects.select_related("user").filter(key_id=key_id).first()
    if row is None:
        raise SignatureRefused("InvalidAccessKeyId.NotFound", "There is no such access key. Copy its id again.")
    if row.revoked_at is not None:
        why = f"was revoked on {row.revoked_at:%Y-%m-%d}"
    elif row.expires_at is not None and row.expires_at <= now:
        why = f"expired on {row.expires_at:%Y-%m-%d}"
    elif not row.user.is_active:
        why = "belongs to an account that is switched off"
    else:
        return row
    raise inactive(f"This access key {why}. Use another.")


def secret_of(row: AccessKey) -> str:
    try:
        return decrypt(row.secret_encrypted)
    except SecretUnreadable:
        raise inactive(
            "This access key was stored with another SLIPWAY_SECRET_KEY and cannot be read. Create another."
        ) from None


def inactive(message: str) -> SignatureRefused:
    return SignatureRefused("InvalidAccessKeyId.Inactive", message)


def take_nonce(row: AccessKey, claim: Claim) -> None:
    """Let a proven request in once: whoever replays it is refused, by this row and later by its date."""
    try:
        with transaction.atomic():
            UsedNonce.objects.create(
                access_key=row, nonce=claim.nonce, expires_at=claim.signed_at + DATE_WINDOW + timedelta(minutes=1)
            )
    except IntegrityError:
        message = "This request was sent before: its x-acs-signature-nonce is used. Sign each request anew."
        raise SignatureRefused("SignatureNonceUsed", message) from None


def forget_old_keys() -> None:
    """Drop nonces whose requests are too old to come again, and keys that were revoked long ago."""
    now = timezone.now()
    UsedNonce.objects.filter(expires_at__lt=now).delete()
    AccessKey.objects.filter(revoked_at__lt=now - KEEP_REVOKED).delete()
