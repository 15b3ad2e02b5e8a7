"""The browsers in which a person is signed in: one row for each session, with when it was last seen."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.utils import timezone

from deployments import sign_ins
from deployments.audit import record_audit
from deployments.models import SignIn
from deployments.sign_ins import end_sign_ins


def begin(request: HttpRequest, user: User) -> None:
    """Sign the person in, in this browser."""
    login(request, user)
    note_seen(request, user)


def end(request: HttpRequest) -> None:
    """Sign out here."""
    SignIn.objects.filter(session_key=request.session.session_key or "").update(ended_at=timezone.now())
    logout(request)


def go_on_with_new_password(request: HttpRequest, user: User) -> None:
    """Keep this browser signed in after its person's password changed; the session gets another key."""
    before = request.session.session_key
    update_session_auth_hash(request, user)
    SignIn.objects.filter(session_key=before).update(session_key=request.session.session_key)


def note_seen(request: HttpRequest, user: User) -> None:
    """Remember that the browser is in use."""
    sign_ins.note_seen(
        user,
        request.session.session_key or "",
        request.META.get("REMOTE_ADDR", ""),
        request.headers.get("User-Agent", ""),
    )


def list_sign_ins(user: User) -> list[SignIn]:
    """Where the person is signed in now, last seen first."""
    rows = list(SignIn.objects.filter(user=user, ended_at=None))
    now = timezone.now()
    alive = set(
        Session.objects.filter(session_key__in=[row.session_key for row in rows], expire_date__gt=now).values_list(
            "session_key", flat=True
        )
    )
    return [row for row in rows if row.session_key in alive]


def end_others(user: User, rows: Iterable[SignIn], own_key: str) -> int:
    """Sign out everywhere but here; returns in how many browsers."""
    keys = [row.session_key for row in rows if row.session_key != own_key]
    if keys:
        end_sign_ins(user, keys)
        record_audit(user, "user.sign_out_others", user.get_username(), None, after={"browsers": len(keys)})
    return len(keys)


def browser_words(user_agent: str) -> str:
    """What a person calls their browser: "Firefox, Linux"; "" where it says nothing that is known."""
    browsers = ("Edg/", "OPR/", "Firefox/", "Chrome/", "Safari/")
    names = {"Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
    systems = ("Android", "iPhone", "iPad", "Windows", "Mac OS X", "CrOS", "Linux")
    browser = next((names[mark] for mark in browsers if mark in user_agent), "")
    system = next((mark for mark in systems if mark in user_agent), "")
    return ", ".join(
        part for part in (browser, system.replace("Mac OS X", "macOS").replace("CrOS", "ChromeOS")) if part
    )
