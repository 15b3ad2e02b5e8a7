"""Rows of what was measured: written by the minute, folded into coarser steps, forgotten by age. Blocking.

A row is written whole, again and again while its minute lasts, so writing twice is writing once. Folding computes a
coarse row from all fine ones of its step each time: it may run twice, late, or after a crash.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from inference_gateway.monitoring.measures import Measures
from inference_gateway.monitoring.models import Sample

MINUTE, FIVE_MINUTES, HOUR = 60, 300, 3600
#: (finer, coarser).
FOLDS = ((MINUTE, FIVE_MINUTES), (FIVE_MINUTES, HOUR))
#: The longest range that is shown in such steps, with the day before it.
KEEP = {MINUTE: timedelta(hours=26), FIVE_MINUTES: timedelta(hours=50), HOUR: timedelta(days=32)}
#: Who could not reach the database writes late, and its step is folded again.
LATE = timedelta(minutes=10)
ROWS_AT_ONCE = 500
KEY = ["service_uid", "kind", "step_seconds", "begins_at", "writer"]


@dataclass(frozen=True, slots=True)
class Row:
    """One service's measures in one minute, "" for the mark that there was a gateway."""

    service_uid: str
    kind: str
    begins_at: datetime
    measures: Measures


def floor(at: datetime, step_seconds: int) -> datetime:
    """When the step began in which ``at`` lies."""
    seconds = at.timestamp()
    return datetime.fromtimestamp(seconds - seconds % step_seconds, UTC)


def write(rows: Iterable[Row], writer: str) -> None:
    """Put these in place of what the writer wrote of the same minutes."""
    _put(
        Sample(
            service_uid=row.service_uid,
            kind=row.kind,
            step_seconds=MINUTE,
            begins_at=row.begins_at,
            writer=writer,
            measures=row.measures.as_json(),
        )
        for row in rows
    )


def _put(samples: Iterable[Sample]) -> None:
    Sample.objects.bulk_create(
        samples, batch_size=ROWS_AT_ONCE, update_conflicts=True, unique_fields=KEY, update_fields=["measures"]
    )


def fold(now: datetime) -> None:
    """Make the coarse rows of all steps that have ended and are not, or may not be, whole."""
    for fine, coarse in FOLDS:
        end = floor(now, coarse)
        newest = (
            Sample.objects.filter(step_seconds=coarse)
            .order_by("-begins_at")
            .values_list("begins_at", flat=True)
            .first()
        )
        begin = now - KEEP[fine] if newest is None else min(newest, floor(now - LATE, coarse))
        begin = max(floor(begin, coarse), floor(now - KEEP[fine], coarse) + timedelta(seconds=coarse))
        while begin < end:
            _fold_step(fine, coarse, begin)
            begin += timedelta(seconds=coarse)


def _fold_step(fine: int, coarse: int, begin: datetime) -> None:
    rows = Sample.objects.filter(
        step_seconds=fine, begins_at__gte=begin, begins_at__lt=begin + timedelta(seconds=coarse)
    ).order_by("service_uid", "kind")
    folded: list[Sample] = []
    for (uid, kind), group in groupby(rows.iterator(ROWS_AT_ONCE), key=lambda row: (row.service_uid, row.kind)):
        measures = Measures()
        for row in group:
            measures.add(Measures.read(row.measures))
        folded.append(
            Sample(
                service_uid=uid, kind=kind, step_seconds=coarse, begins_at=begin, writer="", measures=measures.as_json()
            )
        )
    _put(folded)


def prune(now: datetime) -> None:
    """Forget what is older than any range that shows it."""
    for step_seconds, age in KEEP.items():
        Sample.objects.filter(step_seconds=step_seconds, begins_at__lt=now - age).delete()
