"""Who calls a service with its token: addresses and programs, counted in memory and written every few seconds.

It is what **Rotate** names before it breaks them. Off the path of requests: a database that is away costs nothing but
what was counted meanwhile, and that only past a bound.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from inference_gateway.database import in_database
from inference_gateway.http import Scope
from inference_gateway.models import Caller

logger = logging.getLogger(__name__)
WRITE_EVERY_SECONDS = 2.0
MOST_PENDING = 5_000
MOST_OF_A_SERVICE = 200
KEEP = timedelta(days=30)
AGENT_LENGTH = 120
EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(slots=True)
class Count:
    """Calls since the last writing."""

    calls: int
    last_at: datetime


Key = tuple[int, str, str]


class Callers:
    """One a process."""

    def __init__(self) -> None:
        self._pending: dict[Key, Count] = {}
        #: As it came, with the second of the last call: what a call costs is counted in microseconds.
        self._noted: dict[tuple[int, str, bytes], tuple[int, float]] = {}

    def note(self, service_id: int, scope: Scope) -> None:
        """Count a call that was let in. Never waits and never fails."""
        agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
        self.note_agent(service_id, scope, agent)

    def note_agent(self, service_id: int, scope: Scope, agent: bytes) -> None:
        """The same where the program is known."""
        client = scope.get("client") or ("",)
        key = (service_id, client[0], agent[: 4 * AGENT_LENGTH])
        calls, _ = self._noted.get(key, (0, 0.0))
        if calls or len(self._noted) < MOST_PENDING:
            self._noted[key] = (calls + 1, time.time())

    def _gather(self) -> None:
        """Bring what was noted into the form that is written."""
        noted, self._noted = self._noted, {}
        gathered: dict[Key, Count] = {}
        for (service_id, address, agent), (calls, last) in noted.items():
            told = "".join(filter(str.isprintable, agent.decode("latin-1")))[:AGENT_LENGTH]
            count = gathered.setdefault((service_id, address[:64], told), Count(0, EPOCH))
            count.calls += calls
            count.last_at = max(count.last_at, datetime.fromtimestamp(last, UTC))
        self.count_on(gathered)

    async def keep(self) -> None:
        """Write what was counted, again and again, until cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY_SECONDS)
            await self.write()

    async def write(self) -> None:
        """Write what was counted now; what could not be written is counted on."""
        self._gather()
        counted, self._pending = self._pending, {}
        if not counted:
            return
        try:
            await in_database(write_counts, counted)
        except Exception:  # an edge: the database may be away for a moment
            logger.warning("who called could not be written; it is tried again", exc_info=True)
            self.count_on(counted)

    def count_on(self, unwritten: dict[Key, Count]) -> None:
        """Add counts to those that wait; who has called twice has both."""
        for key, count in unwritten.items():
            newer = self._pending.get(key)
            if newer is not None:
                newer.calls += count.calls
                newer.last_at = max(newer.last_at, count.last_at)
            elif len(self._pending) < MOST_PENDING:
                self._pending[key] = count


def write_counts(counted: dict[Key, Count]) -> None:
    """Write each, and take it out of ``counted``: what is left in it after an error was not written."""
    services = {key[0] for key in counted}
    for key, count in list(counted.items()):
        service_id, address, agent = key
        rows = Caller.objects.filter(service_id=service_id, address=address, agent=agent)
        if not rows.update(calls=F("calls") + count.calls, last_at=count.last_at):
            try:
                with transaction.atomic():
                    Caller.objects.create(
                        service_id=service_id, address=address, agent=agent, calls=count.calls, last_at=count.last_at
                    )
            except IntegrityError:  # another process was first, or the service is gone
                rows.update(calls=F("calls") + count.calls, last_at=count.last_at)
        del counted[key]
    for service_id in services:
        forget_old(service_id)


def forget_old(service_id: int) -> None:
    """Keep a service's callers of the last month, and of those the newest."""
    rows = Caller.objects.filter(service_id=service_id)
    rows.filter(last_at__lt=timezone.now() - KEEP).delete()
    surplus = list(rows.order_by("-last_at").values_list("pk", flat=True)[MOST_OF_A_SERVICE:])
    if surplus:
        Caller.objects.filter(pk__in=surplus).delete()
