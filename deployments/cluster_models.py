"""What is known of a Kubernetes cluster, kept where every process can read it.

The watcher writes these rows; a worker's own writes to the cluster go in as well, so that its next look knows of them.
Nothing here is wanted state: all of it can be deleted and comes back with the next list.
"""

from __future__ import annotations

import secrets

from django.db import models


def new_mark() -> str:
    return secrets.token_hex(6)


class ClusterMark(models.Model):
    """The one row whose ``mark`` is on every object that is written for this database.

    Two Slipways that by mistake share a namespace and a name see each other's objects, and neither has rows for the
    other's: only what carries the own mark is an orphan. A restored database keeps its mark.
    """

    mark = models.CharField(max_length=32, default=new_mark, editable=False)

    def __str__(self) -> str:
        return self.mark

    @classmethod
    def get(cls) -> str:
        """Made at its first use."""
        mark: str | None = cls.objects.filter(pk=1).values_list("mark", flat=True).first()
        return mark or cls.objects.get_or_create(pk=1)[0].mark


class ClusterView(models.Model):
    """All objects of one service as they were last seen in the cluster."""

    service_uid = models.CharField(max_length=32, unique=True)
    #: "Kind/name" to the object as the API server gave it, without managedFields; a Secret's values as digests.
    manifests = models.JSONField(default=dict)
    #: "name" to the pod, without managedFields.
    pods = models.JSONField(default=dict)
    #: Kubernetes' own events about these objects, the newest last.
    events = models.JSONField(default=list)
    changed_at = models.DateTimeField()
    #: Counts writes, so that of two writers the slower one does not put back what it read before.
    version = models.PositiveBigIntegerField(default=1)

    def __str__(self) -> str:
        return self.service_uid


class ClusterState(models.Model):
    """A cluster as a whole: its health in the watcher's words, its nodes, and who watches it."""

    class Health(models.TextChoices):
        """``UNKNOWN``: nobody has watched it yet."""

        UNKNOWN = "unknown"
        OK = "ok"
        FAILING = "failing"

    #: ``KubernetesSettings.installation`` and namespace: two Slipways on one database would be two rows.
    key = models.CharField(max_length=160, unique=True)
    health = models.CharField(max_length=16, choices=Health.choices, default=Health.UNKNOWN)
    code = models.CharField(max_length=64, blank=True, default="")  # of ``ClusterError``
    message = models.TextField(blank=True, default="")
    message_words = models.JSONField(default=list, blank=True)
    health_since = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)  # when the API server last answered well
    #: When every kind was last listed whole; None: not since somebody else watched.
    listed_at = models.DateTimeField(null=True, blank=True)
    api_version = models.CharField(max_length=64, blank=True, default="")
    #: Lists of ``clusters.overview``'s NodeFields, QuotaFields and StorageFields.
    nodes = models.JSONField(default=list)
    quotas = models.JSONField(default=list)
    storage_drivers = models.JSONField(default=list)
    watcher = models.CharField(max_length=120, blank=True, default="")
    watcher_until = models.DateTimeField(null=True, blank=True)  # its lease

    def __str__(self) -> str:
        return self.key
