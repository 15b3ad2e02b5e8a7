"""Logs of instances whose platform forgets them (a pod's go with the pod): lines in compressed chunks.

The watcher's log keeper (``clusters.kubernetes.logs``) writes them; everybody reads them.
"""

from __future__ import annotations

from django.db import models


class KeptLog(models.Model):
    """One log of an instance, and how far it has been read."""

    service_uid = models.CharField(max_length=32)
    instance = models.CharField(max_length=80, unique=True)  # ``clusters.base.log_name``
    created_at = models.DateTimeField()  # of the instance
    #: When the instance was gone and its log as whole as it will be; None while there may come more.
    ended_at = models.DateTimeField(null=True, blank=True)
    next_line = models.PositiveBigIntegerField(default=0)
    #: The program's number, counted from 0 with each that wrote here or would have.
    run = models.PositiveIntegerField(default=0)
    #: Where reading goes on (``clusters.kubernetes.logs.containers.Position``).
    position = models.JSONField(default=dict)
    #: Whether lines come as they are written; otherwise when the program has ended, or soon after somebody asks.
    is_followed = models.BooleanField(default=False)
    asked_at = models.DateTimeField(null=True, blank=True)
    #: How far a program said last that it is with copying or loading (``clusters.kubernetes.logs.counting.Counted``).
    counted = models.JSONField(null=True, blank=True)

    class Meta:
        indexes = (models.Index(fields=("service_uid", "-created_at")), models.Index(fields=("ended_at",)))

    def __str__(self) -> str:
        return self.instance


class LogChunk(models.Model):
    """Lines ``first_line`` to ``first_line + lines`` of one run: zlib, UTF-8, one line feed after each."""

    log = models.ForeignKey(KeptLog, on_delete=models.CASCADE, related_name="chunks")
    run = models.PositiveIntegerField()
    first_line = models.PositiveBigIntegerField()
    lines = models.PositiveIntegerField()
    characters = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("log", "first_line"), name="log_chunks_once"),)

    def __str__(self) -> str:
        return f"{self.log_id} from {self.first_line}"
