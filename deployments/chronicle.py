"""What outlives an instance and a service: the steps of starts, and notices to people. Both are pruned by age."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import models
from django.utils import timezone

from deployments.words import read_sentence


class StartStep(models.Model):
    """One step of an instance's start, written when it is over. Append-only: it outlives the instance.

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
        indexes = (models.Index(fields=("service", "-id")), models.Index(fields=("alike", "-id")))

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
