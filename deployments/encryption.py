"""Secrets at rest that are needed again, and so are encrypted, not hashed.

Service tokens are shown in Invocation Information; the secrets of access keys verify signatures.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import string
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings


class SecretUnreadable(Exception):
    """A stored secret was encrypted with another SLIPWAY_SECRET_KEY."""


@lru_cache(maxsize=4)
def fernet(secret_key: str) -> Fernet:
    """The cipher for one secret key; a purpose string keeps it apart from Django's other uses of the key."""
    digest = hmac.new(secret_key.encode(), b"slipway.encryption.v1", hashlib.sha256).digest()
    return Fernet(base64.urlsafe_b64encode(digest))


def encrypt(plain: str) -> str:
    """Encrypt text for a database column."""
    return fernet(settings.SECRET_KEY).encrypt(plain.encode()).decode()


def decrypt(stored: str) -> str:
    """The text behind ``encrypt``. Raises ``SecretUnreadable`` after the secret key has changed."""
    try:
        return fernet(settings.SECRET_KEY).decrypt(stored.encode()).decode()
    except InvalidToken:
        cure = "Start Slipway with the SLIPWAY_SECRET_KEY it was stored with, or rotate the token."
        raise SecretUnreadable(f"A stored secret cannot be read with this secret key. {cure}") from None


def new_service_token() -> str:
    """A service token as EAS's look: base64 of 40 hex digits (eas.md §2.1), 160 random bits."""
    return base64.b64encode(secrets.token_hex(20).encode()).decode()


def new_access_key_secret() -> str:
    """The secret of an access key: 30 letters and digits as Alibaba's, 178 random bits."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(30))


def digest_of(high_entropy_secret: str) -> str:
    """A plain digest, enough for random secrets of 128 bits and more (never for passwords)."""
    return hashlib.sha256(high_entropy_secret.encode()).hexdigest()
