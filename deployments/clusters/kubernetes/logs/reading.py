"""What is kept of a service's logs: ``Cluster.read_log``, ``search_log`` and ``list_logs`` of the Kubernetes cluster.

Reads rows alone. Of a log that is not followed at the moment (there is a limit of streams) reading it notes that
somebody looks, and the keeper fetches it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from deployments.clusters.base import LogMatches, LogPage, LogQuery, instance_of
from deployments.clusters.kubernetes.logs.chunks import unpack
from deployments.clusters.kubernetes.logs.counting import Counted, read_counted
from deployments.clusters.local.log_writer import TAIL_CHARACTERS, TAIL_LINES
from deployments.clusters.log_pages import EMPTY, matches_of, page_of
from deployments.models import KeptLog, LogChunk

#: Somebody who looks asks again and again: it is noted this often.
ASKED_AGAIN = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class ChunkPart:
    """A chunk whose lines are read when they are needed."""

    pk: int
    begin: int
    end: int

    def lines(self, skipped: int) -> Iterator[str]:
        """From line ``begin + skipped`` on. What the keeper has added meanwhile is of the next look."""
        data = LogChunk.objects.filter(pk=self.pk).values_list("data", flat=True).first()
        yield from () if data is None else unpack(data)[skipped : self.end - self.begin]


def list_logs(service_uid: str) -> tuple[str, ...]:
    """See ``Cluster.list_logs``."""
    rows = KeptLog.objects.filter(service_uid=service_uid).order_by("-created_at", "-pk")
    logs = list(rows.values_list("instance", flat=True))
    order: dict[str, int] = {}
    for log in logs:
        order.setdefault(instance_of(log), len(order))
    return tuple(sorted(logs, key=lambda log: (order[instance_of(log)], log)))


def read_log(service_uid: str, query: LogQuery) -> LogPage:
    """A page of an instance's log, also of one that has ended. Unknown instance: an empty page."""
    log = find_log(service_uid, query.instance)
    return EMPTY if log is None else page_of(parts_of(log, previous=query.previous), query)


def search_log(service_uid: str, query: LogQuery) -> LogMatches:
    """All lines with ``query.keyword``, by their numbers."""
    log = find_log(service_uid, query.instance)
    return LogMatches() if log is None else matches_of(parts_of(log, previous=query.previous), query)


def read_tail(instance: str, container_id: str) -> tuple[str, ...]:
    """The last lines that this container's program wrote, without their times; none where they are not kept (yet)."""
    log = KeptLog.objects.filter(instance=instance).only("position").first()
    run = None if log is None else (log.position.get("runs") or {}).get(container_id)
    if log is None or run is None:
        return ()
    lines: list[str] = []
    for chunk in LogChunk.objects.filter(log=log, run=run).order_by("-first_line").iterator(chunk_size=1):
        lines = [*unpack(chunk.data), *lines]
        if len(lines) >= TAIL_LINES:
            break
    return tuple(line.partition(" ")[2][:TAIL_CHARACTERS] for line in lines[-TAIL_LINES:])


def read_counts(instances: Iterable[str]) -> Mapping[str, Counted]:
    """How far their programs are, by instance. Of a log that is not followed at the moment nothing is new."""
    rows = KeptLog.objects.filter(instance__in=list(instances), ended_at=None, is_followed=True)
    counts = {name: read_counted(kept) for name, kept in rows.values_list("instance", "counted")}
    return {name: found for name, found in counts.items() if found is not None}


def forget_logs(service_uid: str) -> None:
    """The service is gone, and its logs with it."""
    KeptLog.objects.filter(service_uid=service_uid).delete()


def find_log(service_uid: str, instance: str) -> KeptLog | None:
    """The row, noting that somebody looks where that helps."""
    log = KeptLog.objects.filter(service_uid=service_uid, instance=instance).first()
    if log is not None and log.ended_at is None and not log.is_followed:
        now = timezone.now()
        long_ago = Q(asked_at__isnull=True) | Q(asked_at__lt=now - ASKED_AGAIN)
        KeptLog.objects.filter(long_ago, pk=log.pk).update(asked_at=now)
    return log


def parts_of(log: KeptLog, *, previous: bool) -> list[ChunkPart]:
    """The chunks, oldest first; with ``previous`` those of the program before the last restart."""
    chunks = LogChunk.objects.filter(log=log).order_by("first_line")
    if previous:
        chunks = chunks.filter(run=log.run - 1)
    return [ChunkPart(pk, first, first + lines) for pk, first, lines in chunks.values_list("pk", "first_line", "lines")]
