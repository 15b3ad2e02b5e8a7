"""The browsers that people are signed in with: ended when a password or an account is, forgotten when they are old."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.utils import timezone
from redis.exceptions import RedisError

from deployments.hints import hint_person
from deployments.models import SignIn

NOTE_EVERY_SECONDS = 60
KEEP_SIGN_INS = timedelta(days=90)


def note_seen(user: User, session_key: str, address: str, user_agent: str) -> None:
    """Remember that a browser is in use; a query once a minute at most. Without the cache, nothing is noted."""
    try:
        is_due = bool(session_key) and cache.add(f"slipway:seen:{session_key}", 1, timeout=NOTE_EVERY_SECONDS)
    except (OSError, RedisError):
        return
    if is_due and not SignIn.objects.filter(session_key=session_key).update(last_seen_at=timezone.now()):
        SignIn.objects.get_or_create(
            session_key=session_key,
            defaults={"user": user, "address": address[:64], "user_agent": user_agent[:300]},
        )


def end_sign_ins(person: User, keys: Iterable[str] | None = None) -> None:
    """End sessions of a person, all of them unless ``keys`` name some; their open pages are told."""
    rows = SignIn.objects.filter(user=person, ended_at=None)
    if keys is not None:
        rows = rows.filter(session_key__in=list(keys))
    found = list(rows.values_list("session_key", flat=True))
    Session.objects.filter(session_key__in=found).delete()
    SignIn.objects.filter(session_key__in=found).update(ended_at=timezone.now())
    hint_person(person.pk)


def forget_old_sign_ins() -> None:
    """Drop browsers that were not seen for long."""
    SignIn.objects.filter(last_seen_at__lt=timezone.now() - KEEP_SIGN_INS).delete()
