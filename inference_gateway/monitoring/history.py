"""What was measured of a service over a range of time, in even steps, beside the same hours of the day before."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from inference_gateway.monitoring.measures import Measures
from inference_gateway.monitoring.models import Sample
from inference_gateway.monitoring.samples import FIVE_MINUTES, HOUR, MINUTE, floor

DAY = timedelta(days=1)
#: A step is shown once it has lasted so long: what was measured in it is written every few seconds.
SHOWN_AFTER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Range:
    """``step_seconds`` is how long one point stands for, ``stored_seconds`` the rows that it is made of."""

    key: str
    seconds: int
    step_seconds: int
    stored_seconds: int


RANGES = (
    Range("15m", 15 * 60, MINUTE, MINUTE),
    Range("1h", HOUR, MINUTE, MINUTE),
    Range("6h", 6 * HOUR, FIVE_MINUTES, FIVE_MINUTES),
    Range("24h", 24 * HOUR, 3 * FIVE_MINUTES, FIVE_MINUTES),
    Range("7d", 7 * 24 * HOUR, 2 * HOUR, HOUR),
    Range("30d", 30 * 24 * HOUR, 6 * HOUR, HOUR),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One point. None: nothing was measured then, which is not the same as nothing asked.

    ``seconds`` is how much of the step has passed.
    """

    begins_at: datetime
    seconds: float
    traffic: Measures | None
    engine: Measures | None


@dataclass(frozen=True, slots=True)
class History:
    """``before`` has the same steps a day earlier."""

    steps: tuple[Step, ...]
    before: tuple[Step, ...]


Stored = dict[datetime, Measures]


def read_history(service_uid: str, asked: Range, now: datetime) -> History:
    """One query, whatever the range."""
    step = timedelta(seconds=asked.step_seconds)
    end = floor(now, asked.step_seconds) + step
    begin = end - timedelta(seconds=asked.seconds)
    # Steps that have not ended, or were not folded yet, are made of minutes.
    tail = floor(now, asked.stored_seconds) - timedelta(seconds=asked.stored_seconds)
    span = {"begins_at__gte": begin, "begins_at__lt": end}
    span_before = {"begins_at__gte": begin - DAY, "begins_at__lt": end - DAY}
    rows = Sample.objects.filter(
        Q(step_seconds=asked.stored_seconds) & (Q(**span) | Q(**span_before))
        | Q(step_seconds=MINUTE, begins_at__gte=tail, begins_at__lt=end),
        service_uid__in=(service_uid, ""),
    ).values_list("service_uid", "kind", "step_seconds", "begins_at", "measures")
    coarse: defaultdict[tuple[str, str], Stored] = defaultdict(dict)
    fine: defaultdict[tuple[str, str], Stored] = defaultdict(dict)
    for uid, kind, step_seconds, begins_at, measures in rows:
        found = coarse if step_seconds == asked.stored_seconds else fine
        at = floor(begins_at, asked.stored_seconds)
        found[uid, kind].setdefault(at, Measures()).add(Measures.read(measures))
    for key, stored in fine.items():
        coarse[key] = stored | coarse[key]
    marks = coarse["", Sample.Kind.TRAFFIC]
    traffic = coarse[service_uid, Sample.Kind.TRAFFIC]
    engine = coarse[service_uid, Sample.Kind.ENGINE]

    def steps(begin: datetime, end: datetime) -> tuple[Step, ...]:
        found, at = [], begin
        while at < end:
            passed = min(step.total_seconds(), max(1.0, (now - at).total_seconds()))
            if passed < SHOWN_AFTER_SECONDS:
                found.append(Step(at, passed, None, None))
            else:
                measured = _gather(traffic, at, asked) or (Measures() if _gather(marks, at, asked) else None)
                found.append(Step(at, passed, measured, _gather(engine, at, asked)))
            at += step
        return tuple(found)

    return History(steps(begin, end), steps(begin - DAY, end - DAY))


def _gather(stored: Stored, begin: datetime, asked: Range) -> Measures | None:
    """All that is stored of one step; None where there is nothing."""
    gathered: Measures | None = None
    for offset in range(0, asked.step_seconds, asked.stored_seconds):
        found = stored.get(begin + timedelta(seconds=offset))
        if found is not None:
            gathered = gathered or Measures()
            gathered.add(found)
    return gathered


def total(steps: tuple[Step, ...]) -> tuple[Measures, Measures]:
    """Traffic and engines over a whole range."""
    traffic, engine = Measures(), Measures()
    for one in steps:
        if one.traffic is not None:
            traffic.add(one.traffic)
        if one.engine is not None:
            engine.add(one.engine)
    return traffic, engine
