"""The watcher's process: takes the lease, starts the reflectors, and writes until it is told to stop.

Losing the lease ends the process (its supervisor starts another, which waits for its turn), so that nothing of this
one goes on in the background.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence

from django.db import DatabaseError, close_old_connections, transaction
from django.utils import timezone

from deployments.clusters.base import ClusterError
from deployments.clusters.kubernetes.connection import Connection
from deployments.clusters.kubernetes.logs.keeper import LogKeeper
from deployments.clusters.kubernetes.store import trimmed
from deployments.clusters.kubernetes.watching.knowledge import Change, Knowledge
from deployments.clusters.kubernetes.watching.reflector import RESYNC_SECONDS, Reflector
from deployments.clusters.kubernetes.watching.state import Health, Lease, changed_columns, health_columns
from deployments.clusters.kubernetes.watching.surroundings import Surroundings
from deployments.clusters.kubernetes.watching.watched import EVENTS, OF_CLUSTER, OF_SERVICES, Watched
from deployments.clusters.kubernetes.watching.writing import forget_views, look_again, waiting_services, write_changes
from deployments.models import ClusterState, ClusterView
from deployments.pulse import pulse_file

logger = logging.getLogger(__name__)

NEEDED = tuple(watched for watched in OF_SERVICES if watched.is_needed)
#: Changes of one service that come together are written together.
QUIET_SECONDS = 0.1
#: And no more often than this. All three together stay below the second in which a row has to follow.
SPACING_SECONDS = 0.5
#: From one transaction to the next, where nothing is urgent.
APART_SECONDS = 0.2
AT_ONCE = 50  # services in one transaction
HEARTBEAT_SECONDS = 3.0
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0
#: For the last lines of logs to be written.
END_SECONDS = 5.0


class LeaseLost(Exception):
    """Somebody else writes now."""


class Watcher:
    """Use once: ``run``. Any thread may set ``stop``."""

    def __init__(self, connection: Connection, holder: str, stop: threading.Event) -> None:
        self.connection = connection
        self.lease = Lease(connection.settings.key, holder)
        self.stop = stop
        self.keeper = LogKeeper(connection, stop, lambda: self.lease.is_held(timezone.now()), self.look_again)
        self.knowledge = Knowledge(
            trimmed, self.keeper.note_pod, spacing_seconds=SPACING_SECONDS, apart_seconds=APART_SECONDS
        )
        self.surroundings = Surroundings()
        self.health = Health()
        self.told_changes = -1
        self.at_once = AT_ONCE
        self.compared_at = 0.0  # monotonic: when all rows were last compared with what is known
        #: Services whose rows may still be those of an earlier watcher; None before anything was listed.
        self.unwritten: frozenset[str] | None = None
        self.is_lost = False
        self.pulse = pulse_file("watcher")

    def run(self) -> bool:
        """Watch until told to stop. False where the lease was lost."""
        if not self.wait_for_turn():
            return True
        logger.info("watching namespace %s", self.connection.namespace)
        for watched in (*OF_SERVICES, EVENTS, *OF_CLUSTER):
            self.start(watched.name, self.reflector(watched).run)
        self.start("lease", self.keep_lease)
        self.start("heartbeat", self.keep_state)
        logs = self.start("logs", self.keep_logs)
        self.write()
        logs.join(END_SECONDS)
        if not self.is_lost:
            self.lease.release(timezone.now())
        return not self.is_lost

    def reflector(self, watched: Watched) -> Reflector:
        sink = self.surroundings if watched in OF_CLUSTER else self.knowledge
        return Reflector(watched, self.connection, sink, self.health, self.stop)

    def start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        return thread

    def wait_for_turn(self) -> bool:
        """False: told to stop while waiting."""
        has_told = False
        while not self.stop.is_set():
            self.pulse.touch()
            try:
                if self.lease.claim(timezone.now()):
                    return True
                if not has_told:
                    logger.info("another watcher watches; this one waits for its turn")
                has_told = True
            except DatabaseError as error:
                logger.warning("the database does not answer: %s", error)
                close_old_connections()
            self.stop.wait(1.0)
        return False

    # Threads beside the writing

    def keep_lease(self) -> None:
        while not self.stop.wait(HEARTBEAT_SECONDS):
            try:
                if not self.lease.renew(timezone.now()):
                    self.lose()
            except DatabaseError as error:  # it runs out by itself, and writing ends then
                logger.warning("the lease could not be renewed: %s", error)
                close_old_connections()

    def lose(self) -> None:
        if not self.is_lost:
            logger.error("the lease is lost: this watcher ends")
        self.is_lost = True
        self.stop.set()

    def keep_state(self) -> None:
        """Ask the API server for its version, again and again: the health of it all."""
        while not self.stop.is_set():
            version, error = "", self.health.find_error()
            try:
                version = self.connection.version()
            except ClusterError as found:
                error = found
            try:
                self.write_state(version, error)
            except DatabaseError as found:
                logger.warning("the cluster's state could not be written: %s", found)
                close_old_connections()
            except Exception:  # an edge: without this thread everything would count as old
                logger.exception("the cluster's state could not be written")
            self.surroundings.nodes_moved.wait(HEARTBEAT_SECONDS)
            self.stop.wait(QUIET_SECONDS)

    def write_state(self, version: str, error: ClusterError | None) -> None:
        # Before they are read: what comes in between counts again.
        has_moved = self.surroundings.nodes_moved.is_set()
        self.surroundings.nodes_moved.clear()
        changes = self.surroundings.changes
        columns = {} if changes == self.told_changes else dict(self.surroundings.columns())
        if version:
            columns["api_version"] = version
        now = timezone.now()
        with transaction.atomic():
            if not self.lease.is_held(now):
                return
            state = ClusterState.objects.get(key=self.lease.key)
            # What was listed counts from when it stands in the rows.
            listed_at = None if self.unwritten is None or self.unwritten else self.knowledge.listed_at(NEEDED)
            columns |= health_columns(state, error, now, is_whole=listed_at is not None) | {"listed_at": listed_at}
            if changed := changed_columns(state, columns):
                ClusterState.objects.filter(pk=state.pk).update(**changed)
            if has_moved:
                look_again(waiting_services(), now)
        self.told_changes = changes

    def keep_logs(self) -> None:
        """Once all pods are known: a log whose pod is not there would count as ended."""
        while self.knowledge.listed_at(NEEDED) is None:
            if self.stop.wait(QUIET_SECONDS):
                return
        self.keeper.run()

    def look_again(self, service_uids: Collection[str]) -> None:
        """What these services' programs said is kept now: why they ended can be told, or how far they are."""
        look_again(service_uids, timezone.now())

    # Writing

    def write(self) -> None:
        """Until told to stop."""
        failures = 0
        while not self.stop.is_set():
            self.pulse.touch()
            self.knowledge.wait(QUIET_SECONDS, timeout_seconds=1.0)
            # A view without one kind would say that a service has lost all its objects of that kind.
            if self.knowledge.listed_at(NEEDED) is None:
                self.stop.wait(QUIET_SECONDS)
                continue
            try:
                self.write_some()
                failures = 0
            except LeaseLost:
                self.lose()
            except DatabaseError as error:
                failures += 1
                logger.warning("the cluster's changes could not be written yet: %s", error)
                close_old_connections()
                self.stop.wait(min(PAUSE_SECONDS * 2**failures, LONGEST_PAUSE_SECONDS))
            except Exception:  # an edge: one service's objects must not keep the others' from being written
                logger.exception("the cluster's changes could not be written")
                self.at_once = 1

    def write_some(self) -> None:
        """Raises ``LeaseLost`` and ``DatabaseError``; then nothing was written and all of it is taken again."""
        if time.monotonic() - self.compared_at > RESYNC_SECONDS or not self.compared_at:
            self.compare_all()
        changes, versions = self.knowledge.take(self.at_once)
        if not changes:
            self.at_once = AT_ONCE
            return
        now = timezone.now()
        try:
            with transaction.atomic():
                if not self.lease.is_held(now):
                    raise LeaseLost
                write_changes(changes, versions, now)
        except (DatabaseError, LeaseLost):
            self.knowledge.give_back(changes)
            raise
        except Exception:
            # Whose fault it is shows when they are written one by one; the next comparison tries that one again.
            if len(changes) > 1:
                self.knowledge.give_back(changes)
            else:
                self.note_written(changes)
            raise
        self.note_written(changes)

    def note_written(self, changes: Sequence[Change]) -> None:
        if self.unwritten:
            self.unwritten -= {change.service_uid for change in changes}

    def compare_all(self) -> None:
        """Repair what was missed: rows of services that are gone from the cluster, and rows written by others."""
        held = self.knowledge.services()
        forget_views(held)
        compared = held | set(ClusterView.objects.values_list("service_uid", flat=True))
        self.knowledge.touch(sorted(compared))
        if self.unwritten is None:
            self.unwritten = frozenset(compared)
        self.compared_at = time.monotonic()
