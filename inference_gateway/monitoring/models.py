"""What was measured, a row for each service and step of time: at most so many rows, however many requests."""

from __future__ import annotations

from django.db import models


class Sample(models.Model):
    """What one writer measured of one service in one step. What several wrote of a step adds up.

    Without a foreign key: rows are written beside requests, when the service may just have been deleted, and go by
    age. A service that gets the name of another has another uid.
    """

    class Kind(models.TextChoices):
        TRAFFIC = "traffic"
        ENGINE = "engine"

    #: "" marks a step in which a gateway measured at all: without a row of its own a service had no requests then.
    service_uid = models.CharField(max_length=32, blank=True)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    step_seconds = models.PositiveIntegerField()
    begins_at = models.DateTimeField()
    #: Which process; "" for what was folded from finer steps.
    writer = models.CharField(max_length=32, blank=True)
    measures = models.JSONField(default=dict)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("service_uid", "kind", "step_seconds", "begins_at", "writer"), name="samples_once"
            ),
        )
        indexes = (models.Index(fields=("step_seconds", "begins_at")),)

    def __str__(self) -> str:
        return f"{self.kind} of {self.service_uid} at {self.begins_at}"
