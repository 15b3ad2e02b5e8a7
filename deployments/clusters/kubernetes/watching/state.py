"""The ``ClusterState`` row: who may write (a lease), and how the API server does (its health).

One watcher writes at a time. The others wait; one whose lease has run out stops writing at once, because every
transaction of it begins with ``is_held``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from deployments.clusters.base import ClusterError
from deployments.clusters.kubernetes.watching.watched import Watched
from deployments.leases import is_gone
from deployments.models import ClusterState
from deployments.words import join, words_of

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=15)
#: A watch that is broken for less is being mended: the API server ends each every half minute.
PATIENCE_SECONDS = 8.0
#: Of what is not needed: it is told once on the page, and is no failure.
NOT_ALLOWED = frozenset({"forbidden", "kind_missing"})


class Lease:
    """On one cluster's row, by its key. ``holder`` is a ``leases.process_name``."""

    def __init__(self, key: str, holder: str) -> None:
        self.key = key
        self.holder = holder

    @property
    def rows(self) -> Any:
        return ClusterState.objects.filter(key=self.key)

    def claim(self, now: datetime) -> bool:
        """Take it where it is free, run out, or held by a process of this machine that has ended."""
        row, _ = ClusterState.objects.get_or_create(key=self.key)
        taken = {"watcher": self.holder, "watcher_until": now + LEASE, "listed_at": None}
        free = Q(watcher_until__isnull=True) | Q(watcher_until__lt=now)
        if self.rows.filter(free).update(**taken):
            return True
        if row.watcher and is_gone(row.watcher):
            return bool(self.rows.filter(watcher=row.watcher).update(**taken))
        return False

    def renew(self, now: datetime) -> bool:
        """False: it has run out, and somebody else may have it."""
        mine = self.rows.filter(watcher=self.holder, watcher_until__gt=now)
        return bool(mine.update(watcher_until=now + LEASE))

    def is_held(self, now: datetime) -> bool:
        """Inside a transaction: nobody else takes it until that has ended."""
        mine = self.rows.select_for_update().filter(watcher=self.holder, watcher_until__gt=now)
        return mine.values_list("pk", flat=True).first() is not None

    def release(self, now: datetime) -> None:
        """Somebody else may go on at once."""
        self.rows.filter(watcher=self.holder).update(watcher_until=now)


@dataclass(slots=True)
class Broken:
    """A list that is not followed."""

    since: float
    error: ClusterError


class Health:
    """A ``reflector.Pulse``: which lists are followed, and why others are not. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._broken: dict[Watched, Broken] = {}

    def note_alive(self, watched: Watched) -> None:
        with self._lock:
            self._broken.pop(watched, None)

    def note_error(self, watched: Watched, error: ClusterError) -> None:
        with self._lock:
            since = self._broken[watched].since if watched in self._broken else time.monotonic()
            self._broken[watched] = Broken(since, error)

    def find_error(self) -> ClusterError | None:
        """Of the list that has been broken for longest, once that is too long; what is needed comes first."""
        oldest = time.monotonic() - PATIENCE_SECONDS
        with self._lock:
            found = [
                (not watched.is_needed, broken.since, broken.error)
                for watched, broken in self._broken.items()
                if broken.since < oldest and (watched.is_needed or broken.error.code not in NOT_ALLOWED)
            ]
        return min(found, key=lambda one: one[:2])[2] if found else None


def health_columns(state: ClusterState, error: ClusterError | None, now: datetime, *, is_whole: bool) -> dict[str, Any]:
    """What is to stand in the row, with what was found out just now.

    ``answered_at`` stays where something failed, and until all was listed: what the rows say is as old as that.
    """
    found: dict[str, Any]
    if error is None:
        found = {"health": ClusterState.Health.OK, "code": "", "message": "", "message_words": []}
    else:
        told = join(error.message, error.cure)
        found = {
            "health": ClusterState.Health.FAILING,
            "code": error.code,
            "message": str(told),
            "message_words": words_of(told),
        }
    if (state.health, state.code) != (found["health"], found["code"]):
        found["health_since"] = now
        log = logger.info if error is None else logger.warning
        log("the cluster's health: %s %s %s", found["health"], found["code"], found["message"])
    if error is None and is_whole:
        found["answered_at"] = now
    return found


def changed_columns(state: ClusterState, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Those that say something new."""
    return {name: value for name, value in columns.items() if getattr(state, name) != value}
