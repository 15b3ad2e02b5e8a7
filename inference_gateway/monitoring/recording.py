"""Writes this process's counters down beside its requests: every second for ``/metrics``, by the minute for the pages.

A database or a disk that is away costs nothing on a request's way: rows are written again with all that came meanwhile,
for as long as they are kept anyway.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from deployments.models import Service
from inference_gateway.database import in_database
from inference_gateway.monitoring.measures import Measures
from inference_gateway.monitoring.models import Sample
from inference_gateway.monitoring.samples import MINUTE, Row, floor, write
from inference_gateway.monitoring.shared import Slot, tell
from inference_gateway.monitoring.traffic import Traffic

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
#: A page asks every ten seconds.
WRITE_SECONDS = 5.0
MOST_PENDING = 5_000
FORGET_SECONDS = 3600.0
#: Encoding takes at most one part in so many of the event loop's time.
ENCODING_SHARE = 50


def metrics_folder() -> Path:
    return Path(settings.SLIPWAY_DATA_DIR) / "metrics"


class Recorder:
    """One a process. ``queued`` says how many wait for each service here, by uid."""

    def __init__(self, traffic: Traffic, queued: Callable[[], dict[str, int]]) -> None:
        self._traffic = traffic
        self._queued = queued
        self._writer = uuid.uuid4().hex
        self._slot: Slot | None = None
        self._told: tuple[int, dict[str, int]] = (-1, {})
        self._tell_at = 0.0
        self._minute = floor(datetime.now(UTC), MINUTE)
        self._bases: dict[str, Measures] = {}
        self._looked: dict[str, Measures] = {}
        self._pending: dict[tuple[str, datetime], Row] = {}
        self._written: dict[str, dict[str, Any]] = {}
        self._marked_at: datetime | None = None

    async def keep(self) -> None:
        """Look and write, again and again, until cancelled."""
        await self.begin()
        wrote_at = time.monotonic()
        forgot_at = -FORGET_SECONDS
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look(datetime.now(UTC))
            await self._tell()
            if time.monotonic() - wrote_at >= WRITE_SECONDS:
                wrote_at = time.monotonic()
                await self.write()
            if time.monotonic() - forgot_at >= FORGET_SECONDS:
                forgot_at = time.monotonic()
                await self._forget()

    async def begin(self) -> None:
        """Take a slot and go on with its numbers."""
        try:
            self._slot = await asyncio.to_thread(Slot, metrics_folder())
            await asyncio.to_thread(self._slot.go_on, self._traffic)
        except OSError as error:
            logger.error("%s cannot be used (%s): /metrics lacks this process.", metrics_folder(), error)
        self._bases = {uid: self._traffic.measure(uid) for uid in self._traffic.by_service}

    async def end(self) -> None:
        """Write what there is and give the slot back."""
        self.look(datetime.now(UTC))
        await self._tell()
        await self.write()
        if self._slot is not None:
            self._slot.close()
            self._slot = None

    def look(self, now: datetime) -> None:
        """Count what is under way for the last second, and close a minute that has ended."""
        minute = floor(now, MINUTE)
        if minute != self._minute:
            self._gather_rows()
            # Whoever was not touched stands where it stood.
            for uid in self._traffic.touched:
                self._bases[uid] = self._traffic.measure(uid)
            self._traffic.touched.clear()
            self._looked, self._minute = {}, minute
        for tally in self._traffic.tallies.values():
            if tally.in_flight:
                self._look_at(tally.uid, "in_flight_seconds", tally.in_flight)
        for uid, count in self._queued().items():
            self._look_at(uid, "queued_seconds", count)

    def _look_at(self, uid: str, name: str, count: int) -> None:
        self._looked.setdefault(uid, Measures()).count(name, count * LOOK_SECONDS)

    async def write(self) -> None:
        """Write the rows of this minute, and those that could not be written before."""
        self._gather_rows()
        rows, self._pending = self._pending, {}
        if not rows:
            return
        try:
            await in_database(write, list(rows.values()), self._writer)
        except Exception:  # an edge: the database may be away for a moment
            logger.warning("what was measured could not be written; it is tried again", exc_info=True)
            self._pending = dict(list((rows | self._pending).items())[-MOST_PENDING:])

    def _gather_rows(self) -> None:
        """What changed since the last writing becomes a row; the mark does once a minute."""
        rows: dict[str, Measures] = {}
        for uid in self._traffic.touched | self._looked.keys():
            grown = self._traffic.measure(uid).since(self._bases.get(uid, Measures()))
            if uid in self._looked:
                grown.add(self._looked[uid])
            rows[uid] = grown
        if self._marked_at != self._minute:
            self._marked_at, self._written = self._minute, {}
            rows.setdefault("", Measures())
        for uid, measures in rows.items():
            told = measures.as_json()
            if self._written.get(uid) != told:
                self._written[uid] = told
                self._pending[uid, self._minute] = Row(uid, Sample.Kind.TRAFFIC, self._minute, measures)

    async def _tell(self) -> None:
        queued = self._queued()
        state = self._traffic.version, queued
        if self._slot is None or state == self._told or time.monotonic() < self._tell_at:
            return
        began = time.monotonic()
        content = tell(self._traffic, queued)
        # Thousands of services take a moment: then less often.
        self._tell_at = began + ENCODING_SHARE * (time.monotonic() - began)
        try:
            await asyncio.to_thread(self._slot.write, content)
            self._told = state
        except OSError as error:
            logger.warning("%s cannot be written (%s)", self._slot.path, error)

    async def _forget(self) -> None:
        try:
            uids = await in_database(lambda: frozenset(Service.objects.values_list("uid", flat=True)))
        except Exception:  # an edge: the database may be away; the next hour does it
            logger.warning("which services there are could not be read", exc_info=True)
            return
        self._traffic.forget(uids)
