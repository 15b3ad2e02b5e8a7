"""Rows about a person beside ``auth.User``: a one-time password, the browsers they are signed in with."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone


class OneTimePassword(models.Model):
    """While this row is there, the person's password lets them in only to set one of their own."""

    user = models.OneToOneField(User, primary_key=True, on_delete=models.CASCADE, related_name="one_time_password")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"one-time password of {self.user_id}"


class SignIn(models.Model):
    """One browser in which a person is, or was, signed in. Django's session row has neither a person nor a time."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_ins")
    session_key = models.CharField(max_length=40, unique=True)
    address = models.CharField(max_length=64, blank=True, default="")
    user_agent = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    last_seen_at = models.DateTimeField(default=timezone.now, db_index=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-last_seen_at", "-pk")

    def __str__(self) -> str:
        return f"sign-in {self.pk} of {self.user_id}"
