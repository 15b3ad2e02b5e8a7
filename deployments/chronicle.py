"""What has happened: events of services, the steps of starts, notices to people. Pruned by age and count."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone

from deployments.words import read_sentence


class ServiceEvent(models.Model):
    """Something that happened to a service. Append-only."""

    class Type(models.TextChoices):
        NORMAL = "Normal"
        WARNING = "Warning"

    service = models.ForeignKey("deployments.Service", on_delete=models.CASCADE, related_name="events")
    type = models.CharField(max_length=8, choices=Type.choices, default=Type.NORMAL)
    code = models.CharField(max_length=64)
    message = models.TextField()
    message_words = models.JSONField(default=list, blank=True)
    cure = models.TextField(blank=True, default="")
    cure_words = models.JSONField(default=list, blank=True)
    cause = models.CharField(
        max_length=32, blank=True, default=""
    )  # of ``failures.CAUSES``: more precise than the code
    fix = models.JSONField(null=True, blank=True)  # {"field": path of the document, "value": what to put there}
    #: How often it has been seen, the first time included, and when last; of a crash loop, each end counts.
    times = models.PositiveIntegerField(default=1)
    last_seen_at = models.DateTimeField(null=True, blank=True)
    instance = models.CharField(max_length=80, blank=True, default="")
    revision_number = models.PositiveIntegerField(null=True, blank=True)
    log_tail = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-created_at", "-pk")
        indexes = (models.Index(fields=("service", "-created_at")),)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def sentence(self) -> str:
        """``message`` as it can be said in the reader's language."""
        return read_sentence(self.message, self.message_words)

    @property
    def cure_sentence(self) -> str:
        """``cure`` as it can be said in the reader's language."""
        return read_sentence(self.cure, self.cure_words)


class StartStep(models.Model):
    """One step of an instance's start, or its end, written when it is over. Append-only: it outlives the instance.

    ``alike`` is what such a step's time depends on besides the service (``timelines.alike_of``).
    """

    class Outcome(models.TextChoices):
        DONE = "done"
        FAILED = "failed"  # the program ended in it
        LEFT = "left"  # the instance was asked to end

    service = models.ForeignKey("deployments.Service", on_delete=models.CASCADE, related_name="start_steps")
    instance = models.CharField(max_length=80)
    revision_number = models.PositiveIntegerField()
    run = models.PositiveIntegerField(default=0)  # starts of the instance's program before this one
    stage = models.CharField(max_length=16)  # ``stages.Stage``; "ready" is the whole way from the wish to the answer
    outcome = models.CharField(max_length=8, choices=Outcome.choices)
    alike = models.CharField(max_length=64)
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField()

    class Meta:
        ordering = ("-pk",)
        indexes = (
            models.Index(fields=("service", "-id")),
            models.Index(fields=("alike", "-id")),
            models.Index(fields=("ended_at",)),
        )

    def __str__(self) -> str:
        return f"{self.instance} {self.stage} {self.outcome}"

    @property
    def seconds(self) -> float:
        return max(0.0, (self.ended_at - self.began_at).total_seconds())


class Notice(models.Model):
    """Something that happened to a service of a person's workspaces, for the bell. It outlives the service."""

    person = models.ForeignKey(User, on_delete=models.CASCADE, related_name="notices")
    workspace = models.ForeignKey("deployments.Workspace", on_delete=models.CASCADE, related_name="+")
    service_name = models.CharField(max_length=63)
    code = models.CharField(max_length=32)
    message = models.TextField()
    message_words = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at", "-pk")
        indexes = (
            models.Index(fields=("person", "-created_at")),
            models.Index(fields=("person", "read_at")),
            models.Index(fields=("created_at",)),
        )

    def __str__(self) -> str:
        return self.message

    @property
    def sentence(self) -> str:
        """``message`` as it can be said in the reader's language."""
        return read_sentence(self.message, self.message_words)
