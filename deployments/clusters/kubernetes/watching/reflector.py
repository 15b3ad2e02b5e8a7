"""Keeps up with one list: reads it whole, then follows its changes, for as long as it is told to.

::

    list ──► watch from its version ──► (ended, silent, cut) ──► watch from the last version seen
      ▲                                        │
      └──────── 410 Gone, time for a resync ───┘         any error: a growing pause with jitter, then the same again

A watch lasts half a minute: the API server ends each with a bookmark, so the next one resumes where it stopped. A
connection that has gone silent is noticed within that time, and nothing is missed by dropping it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from deployments.clusters.base import ClusterError
from deployments.clusters.kubernetes.connection import Connection, Listed
from deployments.clusters.kubernetes.kinds import Manifest
from deployments.clusters.kubernetes.watching.watched import Watched
from deployments.words import say

logger = logging.getLogger(__name__)

WATCH_SECONDS = (25, 35)
RESYNC_SECONDS = 300.0
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 10.0
#: What is not needed and not allowed is asked for this often.
FORBIDDEN_PAUSE_SECONDS = 300.0
#: A watch that ends sooner and brought nothing is no progress.
SHORT_SECONDS = 1.0
#: Before objects are taken for gone that no watch saw go, the list is read again.
DOUBT_SECONDS = 1.0


class Sink(Protocol):
    """Where what is seen goes. Called from the reflector's thread, one call at a time."""

    def known(self, watched: Watched) -> frozenset[str]:
        """The uids of the objects it holds."""

    def replace(self, watched: Watched, objects: Sequence[Manifest], version: str) -> None:
        """These are all there are."""

    def put(self, watched: Watched, found: Manifest) -> None:
        """It is new or has changed."""

    def remove(self, watched: Watched, found: Manifest) -> None:
        """It is gone; ``found`` is its last state."""

    def reach(self, watched: Watched, version: str) -> None:
        """Everything up to ``version`` has been told."""


class Pulse(Protocol):
    """Who is told how the watching goes. Safe for threads."""

    def note_alive(self, watched: Watched) -> None:
        """The list is followed: it was read, or its watch has just been opened."""

    def note_error(self, watched: Watched, error: ClusterError) -> None:
        """It is not, at the moment."""


class Reflector:
    """One thread's work: ``run`` returns once ``stop`` is set."""

    def __init__(
        self, watched: Watched, connection: Connection, sink: Sink, pulse: Pulse, stop: threading.Event
    ) -> None:
        self.watched = watched
        self.kind = watched.kind
        self.connection = connection
        self.selection = watched.selection(connection.settings)
        self.sink = sink
        self.pulse = pulse
        self.stop = stop
        self.version = ""  # to resume from; "": list first
        self.listed_at = 0.0  # monotonic
        self.failures = 0

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                if not self.version or time.monotonic() - self.listed_at > RESYNC_SECONDS:
                    self.list_whole()
                if self.follow():
                    self.failures = 0
                else:
                    self.pause(None)
            except ClusterError as error:
                self.note_error(error)
            except Exception:  # an edge: a thread that ends here would leave its kind unwatched
                logger.exception("%s: watching failed", self.watched.name)
                self.version = ""
                self.pause(None)

    def note_error(self, error: ClusterError) -> None:
        if error.code == "expired" and self.version:
            logger.info("%s: the version to resume from is gone, listing anew", self.watched.name)
            self.version = ""
            return
        self.pulse.note_error(self.watched, error)
        self.pause(error)

    def pause(self, error: ClusterError | None) -> None:
        self.failures += 1
        seconds = min(PAUSE_SECONDS * 2 ** min(self.failures - 1, 10), LONGEST_PAUSE_SECONDS)
        if error is not None and not self.watched.is_needed and error.code in {"forbidden", "kind_missing"}:
            seconds = FORBIDDEN_PAUSE_SECONDS
        if error is not None and self.failures <= 3:
            logger.warning("%s: %s: %s", self.watched.name, error.code, error.message)
        self.stop.wait(seconds * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    def list_whole(self) -> None:
        """Read the list and hand it on. What nobody saw go is looked for a second time before it counts as gone."""
        known = self.sink.known(self.watched)
        found = self.connection.list(self.kind, self.selection)
        if not known <= uids_of(found):
            self.stop.wait(DOUBT_SECONDS)
            again = self.connection.list(self.kind, self.selection)
            if uids_of(found) & (known - uids_of(again)):
                raise ClusterError(
                    "unsteady_list",
                    say("Two lists of %(resource)s do not agree.", resource=self.kind.plural),
                    say("Slipway keeps what it knew and asks again by itself."),
                )
            found = again
        self.sink.replace(self.watched, found.items, found.resource_version)
        self.version, self.listed_at = found.resource_version, time.monotonic()
        self.pulse.note_alive(self.watched)

    def follow(self) -> bool:
        """Watch until it ends. False where that was at once and for nothing."""
        seconds = random.randint(*WATCH_SECONDS)  # noqa: S311 - so that not all kinds reconnect together
        began_at, has_news = time.monotonic(), False
        with self.connection.watch(self.kind, self.version, self.selection, timeout_seconds=seconds) as events:
            self.pulse.note_alive(self.watched)
            for event in events:
                has_news = self.take(event["type"], event["object"]) or has_news
                if self.stop.is_set():
                    break
        return has_news or time.monotonic() - began_at > SHORT_SECONDS

    def take(self, event_type: str, found: Manifest) -> bool:
        """One event. False for those that only say how far it is."""
        if event_type in {"ADDED", "MODIFIED"}:
            self.sink.put(self.watched, found)
        elif event_type == "DELETED":
            self.sink.remove(self.watched, found)
        if version := str(found["metadata"].get("resourceVersion") or ""):
            self.version = version
            self.sink.reach(self.watched, version)
        return event_type != "BOOKMARK"


def uids_of(listed: Listed) -> frozenset[str]:
    return frozenset(str(found["metadata"]["uid"]) for found in listed.items)
