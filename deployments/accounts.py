"""Who is asking, and what they may do. Programs come with HTTP Basic or a personal token, people with a session."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth import authenticate as check_password
from django.contrib.auth import get_user
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.cache import cache
from django.db import transaction
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from redis.exceptions import RedisError

from deployments.audit import record_audit
from deployments.encryption import digest_of
from deployments.models import Membership, OneTimePassword, PersonalToken, Role, Service, Workspace
from deployments.notices import unread_notices
from deployments.throttle import claim_try, forget_tries

TOKEN_PREFIX = "slp_"
#: A password hash costs a quarter of a second of CPU, so a verified pair is remembered this long.
REMEMBER_SECONDS = 60
TOUCH_EVERY = timedelta(minutes=1)
MAX_TOKENS = 100  # a person
CHANGERS = (Role.OWNER, Role.OPERATOR)

#: Held while a pair of name and password is looked at; by the pair, so that hardly anybody waits for others.
_verifying = [threading.Lock() for _ in range(64)]


class PeopleBackend(ModelBackend):
    """Django's own, bringing what the frame of every page needs of a person along in the one query that they all make:
    preferences, and how many notices are unread (``unread_notices``).
    """

    def get_user(self, user_id: int) -> User | None:
        """The person of a session, None where they are gone or may not sign in any more."""
        people = User.objects.select_related("preferences").annotate(unread_notices=unread_notices())
        user = people.filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None


class NotAllowed(Exception):
    """The person is known and may see the thing, but not do this. The message names who may."""


class PasswordChangeRequired(Exception):
    """The password is right, and lets in only to set another. ``is_expired``: not even to that any more."""

    def __init__(self, *, is_expired: bool) -> None:
        words = "This is a one-time password. Sign in at Slipway's page and set one of your own, then come back."
        over = "This one-time password has expired. Ask an administrator for another."
        super().__init__(over if is_expired else words)
        self.is_expired = is_expired


class TooManyTokens(Exception):
    """A person has as many personal tokens as anybody may."""

    def __init__(self) -> None:
        super().__init__(_("You have %(count)s tokens. Delete one first.") % {"count": MAX_TOKENS})


class TooManyTries(Exception):
    """Too many wrong passwords or signatures came from there; ``wait_seconds`` until the next is looked at."""

    def __init__(self, wait_seconds: int, what: str = "passwords") -> None:
        super().__init__(f"Too many wrong {what}. Wait {wait_seconds} s, then try again.")
        self.wait_seconds = wait_seconds


def find_user(authorization: str, address: str = "") -> User | None:
    """The person behind an ``Authorization`` header, or None: ``Basic …``, ``Bearer <personal token>`` or it bare.

    ``address`` is where the request came from. Raises ``TooManyTries`` instead of looking at a password, and
    ``PasswordChangeRequired`` for a one-time password.
    """
    scheme, _, rest = authorization.strip().partition(" ")
    if scheme.lower() == "basic":
        return find_user_by_basic(rest.strip(), address)
    token = rest.strip() if scheme.lower() == "bearer" else authorization.strip()
    return find_user_by_token(token) if token.startswith(TOKEN_PREFIX) else None


def find_user_by_basic(encoded: str, address: str) -> User | None:
    """HTTP Basic; the password may be a personal token, as GitHub's and npm's users are used to."""
    try:
        name, separator, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    if not separator or "\0" in name or "\0" in password:
        return None
    if password.startswith(TOKEN_PREFIX):
        owner = find_user_by_token(password)
        return owner if owner and owner.get_username() == name else None
    return find_user_by_password(name, password, address)


def find_user_by_password(name: str, password: str, address: str) -> User | None:
    """Check a password, remembering a right one for a minute under a keyed hash of all that could revoke it."""
    user = User.objects.filter(username=name, is_active=True).first()
    if user is None:
        claim_password_try(name, address)
        check_password(username=name, password=password)  # the same time as for a person who exists
        return None
    proof = f"{user.pk}\0{user.password}\0{password}".encode()
    key = "slipway:basic:" + hmac.new(settings.SECRET_KEY.encode(), proof, hashlib.sha256).hexdigest()
    if recall(key):
        return user
    # A program asks many things at once: one of them is looked at, and the others find it remembered. Each would
    # count as a try, and the right password be refused for too many of them.
    with _verifying[int(key[-8:], 16) % len(_verifying)]:
        if recall(key):
            return user
        claim_password_try(name, address)
        if check_password(username=name, password=password) is None:
            return None
        forget_tries(name, address)
        one_time = OneTimePassword.objects.filter(user=user).first()
        if one_time is not None:
            raise PasswordChangeRequired(is_expired=one_time.expires_at <= timezone.now())
        remember(key)
        return user


def claim_password_try(name: str, address: str) -> None:
    wait_seconds = claim_try(name, address)
    if wait_seconds:
        raise TooManyTries(wait_seconds)


def recall(key: str) -> bool:
    try:
        return bool(cache.get(key))
    except (OSError, RedisError):
        return False


def remember(key: str) -> None:
    try:
        cache.set(key, 1, timeout=REMEMBER_SECONDS)
    except (OSError, RedisError):
        return  # slower, and still right


def find_user_by_token(token: str) -> User | None:
    """The owner of a personal token that is valid now; notes its use once a minute at most."""
    now = timezone.now()
    row = PersonalToken.objects.select_related("user").filter(digest=digest_of(token)).first()
    if row is None or not row.user.is_active or (row.expires_at is not None and row.expires_at <= now):
        return None
    if row.last_used_at is None or now - row.last_used_at > TOUCH_EVERY:
        PersonalToken.objects.filter(pk=row.pk).update(last_used_at=now)
    return row.user


def find_user_by_session(session_key: str) -> User | None:
    """The person whose session that is now, for sockets: they outlive sessions, so they ask again each time."""
    request = HttpRequest()
    request.session = SessionStore(session_key or None)
    user = get_user(request)
    return user if isinstance(user, User) and user.is_active else None


def issue_personal_token(user: User, name: str, expires_at: datetime | None = None) -> tuple[PersonalToken, str]:
    """Make a token; the secret is returned this once and never again. Raises ``TooManyTokens``."""
    secret = TOKEN_PREFIX + secrets.token_urlsafe(30)
    with transaction.atomic():
        if PersonalToken.objects.filter(user=user).count() >= MAX_TOKENS:
            raise TooManyTokens
        row = PersonalToken.objects.create(user=user, name=name, digest=digest_of(secret), expires_at=expires_at)
        record_audit(user, "token.create", name, None)
    return row, secret


def delete_personal_token(row: PersonalToken) -> None:
    """Whoever uses it is refused from now on."""
    with transaction.atomic():
        record_audit(row.user, "token.delete", row.name, None)
        row.delete()


def role_in(user: User, workspace: Workspace) -> Role | None:
    """A person's role; administrators are owners everywhere."""
    if user.is_superuser:
        return Role.OWNER
    role = Membership.objects.filter(user=user, workspace=workspace).values_list("role", flat=True).first()
    return Role(role) if role else None


def may_change(user: User, workspace: Workspace) -> bool:
    return role_in(user, workspace) in CHANGERS


def require_change(user: User, workspace: Workspace, what: str) -> None:
    """Raise ``NotAllowed`` unless the person may change things in the workspace; names the owners."""
    if may_change(user, workspace):
        return
    words = _("You can view %(what)s, not change it. Owners: %(names)s.")
    raise NotAllowed(words % {"what": what, "names": owners_words(workspace)})


def owners_words(workspace: Workspace) -> str:
    """Who to ask about a workspace: its owners, by name, who may sign in; else the administrators."""
    owners = Membership.objects.filter(workspace=workspace, role=Role.OWNER, user__is_active=True)
    return ", ".join(sorted(owners.values_list("user__username", flat=True))) or administrators_words()


def administrators_words() -> str:
    """Who to ask about people."""
    names = User.objects.filter(is_superuser=True, is_active=True).values_list("username", flat=True)
    return ", ".join(sorted(names))


def workspaces_of(user: User) -> list[Workspace]:
    """The workspaces a person belongs to, by name; an administrator sees all."""
    rows = Workspace.objects.all() if user.is_superuser else Workspace.objects.filter(memberships__user=user)
    return list(rows.order_by("name"))


def rights_in_workspaces(user: User) -> dict[Workspace, bool]:
    """The workspaces a person belongs to, by name, and whether they may change things there: both in one query."""
    if user.is_superuser:
        return dict.fromkeys(workspaces_of(user), True)
    rows = Workspace.objects.filter(memberships__user=user).annotate(role=F("memberships__role")).order_by("name")
    return {row: row.role in CHANGERS for row in rows}


def workspaces_to_change(user: User) -> QuerySet[Workspace]:
    """Where a person may create and change things, by name; an administrator may everywhere."""
    rows = Workspace.objects.order_by("name")
    return rows if user.is_superuser else rows.filter(memberships__user=user, memberships__role__in=CHANGERS)


def find_visible_service(user: User, name: str) -> Service | None:
    """A service by name, None for strangers as for names that do not exist."""
    rows = Service.objects.visible_to(user).select_related(
        "workspace", "wanted_revision", "serving_revision", "created_by"
    )
    return rows.filter(name=name).first()
