"""Usage: what each request used, for a while, and what each hour sums up to, for ever."""

from __future__ import annotations

from django.db import models


class UsageRow(models.Model):
    """Whose usage it is. Names and numbers, no references: usage outlives what it was of.

    ``key_id`` is 0 for a service's own token and for the web chat, ``person_id`` 0 where nobody is known.
    """

    workspace_id = models.BigIntegerField()
    service_uid = models.CharField(max_length=32)
    service_name = models.CharField(max_length=63)
    person_id = models.BigIntegerField(default=0)
    key_id = models.BigIntegerField(default=0)
    #: ``principals.Proof``.
    proof = models.CharField(max_length=16)
    #: As the service's document names it; callers may write anything.
    model = models.CharField(max_length=200, blank=True, default="")
    prompt_tokens = models.PositiveBigIntegerField(default=0)
    completion_tokens = models.PositiveBigIntegerField(default=0)

    class Meta:
        abstract = True


class UsageEvent(UsageRow):
    """One request. ``is_counted``: an engine counted the tokens; else they are told by length and pieces."""

    at = models.DateTimeField()
    request_id = models.CharField(max_length=64)
    operation = models.CharField(max_length=32)
    status = models.PositiveSmallIntegerField()
    error_code = models.CharField(max_length=64, blank=True, default="")
    #: ``accounts.Ending``.
    ending = models.CharField(max_length=16)
    is_counted = models.BooleanField()
    first_token_ms = models.PositiveIntegerField(null=True)
    duration_ms = models.PositiveIntegerField()

    def __str__(self) -> str:
        return self.request_id


class UsageHour(UsageRow):
    """The sum of one hour, UTC."""

    hour = models.DateTimeField()
    requests = models.PositiveBigIntegerField(default=0)
    #: Of those, how many were answered with a status from 400 on; 499 is a caller who left.
    failed = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("hour", "service_uid", "service_name", "workspace_id", "person_id", "key_id", "proof", "model"),
                name="usage_hours_once",
            ),
        )
        indexes = (
            models.Index(fields=("workspace_id", "hour")),
            models.Index(fields=("person_id", "hour")),
            models.Index(fields=("key_id", "hour")),
        )

    def __str__(self) -> str:
        return f"{self.service_name} {self.hour:%Y-%m-%d %H}"


class UsageSpool(models.Model):
    """How far a process's spool has been taken into the tables, in bytes: what is before is there once."""

    name = models.CharField(max_length=64, unique=True)
    taken = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name} {self.taken}"
