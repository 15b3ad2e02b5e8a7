"""Rows about service groups: services that share one address, and how its traffic is shared out (eas.md §4.5)."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

#: No weight was given: a member counts by its instances that answer, whatever the mode.
NO_WEIGHT = -1


class TrafficMode(models.TextChoices):
    """How a group shares out its requests: by instances that answer, or by the weights of its members."""

    AUTO = "auto"
    CUSTOMIZED = "customized"


class TrafficState(models.TextChoices):
    """Whether a service takes requests of its group. Its own address works in either state."""

    STANDALONE = "standalone"
    GROUPING = "grouping"


class ServiceGroup(models.Model):
    """Made with its first member and gone with its last; ``deployments.group_members`` sees to that."""

    workspace = models.ForeignKey("deployments.Workspace", on_delete=models.CASCADE, related_name="groups")
    name = models.CharField(max_length=63, unique=True)  # global, and no service's: it is the gateway's path
    token_encrypted = models.TextField()
    token_made_at = models.DateTimeField(default=timezone.now)
    traffic_mode = models.CharField(max_length=16, choices=TrafficMode.choices, default=TrafficMode.AUTO)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-created_at", "-pk")

    def __str__(self) -> str:
        return self.name


class Grouped(models.Model):
    """What a service keeps of its group, which its wanted document names (``metadata.group``)."""

    group = models.ForeignKey(ServiceGroup, null=True, blank=True, on_delete=models.PROTECT, related_name="members")
    weight = models.SmallIntegerField(default=NO_WEIGHT)
    traffic_state = models.CharField(max_length=16, choices=TrafficState.choices, default=TrafficState.STANDALONE)

    class Meta:
        abstract = True
