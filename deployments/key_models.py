"""Rows about API keys and about what may be used: of a key, of a person in a workspace, of a workspace."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone


class Limited(models.Model):
    """What may be used at the gateway; None is no limit. The names are those of ``principals.Limits`` there."""

    requests_per_minute = models.PositiveBigIntegerField(null=True, blank=True)
    tokens_per_minute = models.PositiveBigIntegerField(null=True, blank=True)
    parallel_requests = models.PositiveBigIntegerField(null=True, blank=True)
    tokens_per_day = models.PositiveBigIntegerField(null=True, blank=True)
    tokens_per_month = models.PositiveBigIntegerField(null=True, blank=True)

    class Meta:
        abstract = True


class ApiKey(Limited):
    """A program's way to the services of one workspace, with the rights that its owner has there.

    The secret is shown once; its digest is kept. Revoking keeps the row a while, so that a program that still uses
    the key is told why it is refused. ``deployments.api_keys`` writes these rows.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    workspace = models.ForeignKey("deployments.Workspace", on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=120)
    digest = models.CharField(max_length=64, unique=True)
    #: How the secret begins, by which people tell their keys apart.
    prefix = models.CharField(max_length=16)
    scopes = models.JSONField(default=list)  # of ``deployments.api_keys.KeyScope``
    #: ``uid`` of each service it may call; empty: every one of the workspace. Not a relation: a key for one service
    #: must not become one for all when that service is deleted.
    service_uids = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at", "-pk")

    def __str__(self) -> str:
        return f"{self.prefix}…"
