"""Keeps logs: decides whose container is read next, reads in threads, and writes what came twice a second.

A container that runs is followed; one that has ended is read to its end once. There is a limit of streams: those come
first that end, that somebody looks at, that are not ready, and then the newest. The others are read when they end.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import DatabaseError, close_old_connections, transaction
from django.utils import timezone

from deployments.clusters.base import ClusterError
from deployments.clusters.kubernetes.connection import Connection
from deployments.clusters.kubernetes.kinds import Manifest
from deployments.clusters.kubernetes.logs.containers import Segment, logs_of
from deployments.clusters.kubernetes.logs.lines import since_time
from deployments.clusters.kubernetes.logs.pruning import prune_logs
from deployments.clusters.kubernetes.logs.record import Overtaken, Record
from deployments.clusters.kubernetes.logs.telling import Telling
from deployments.clusters.kubernetes.reading import condition, is_ending, moment, name_of
from deployments.models import KeptLog

logger = logging.getLogger(__name__)

#: A stream that says nothing is opened again after this: the connection may be dead.
SILENCE_SECONDS = 30.0
#: The same where others wait for a stream: one that is to end for them does so with its next line, or then.
CROWDED_SILENCE_SECONDS = 10.0
#: From the end of one stream to the next of the same container it counts as followed.
BETWEEN_STREAMS_SECONDS = 2.0
LOOK_SECONDS = 0.5
WRITE_SECONDS = 0.5
ASKED_LOOK_SECONDS = 2.0
ASKED_COUNTS = timedelta(seconds=60)
PRUNE_SECONDS = 60.0
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 60.0
#: Reads of what has ended, besides the streams.
MOST_SHORT_READS = 8
NEW_AT_ONCE, LOGS_AT_ONCE = 200, 50
#: Then what a container that has ended said is given up: what came after it waits.
MOST_PAUSES = 8
#: What says that there is no such log (any more): asking again brings nothing.
NEVER = frozenset({"not_found", "invalid"})


@dataclass(slots=True, eq=False)
class Target:
    """One log of a pod: what the watch says of it, and what is under way."""

    service_uid: str
    name: str
    pod: str
    node: str
    created_at: datetime
    segments: tuple[Segment, ...]
    is_ready: bool
    is_ending: bool
    is_gone: bool = False
    record: Record | None = None
    is_asked: bool = False
    #: Set to end a stream in favour of another.
    yield_: threading.Event = field(default_factory=threading.Event)
    reading: Segment | None = None
    followed_at: float = -math.inf  # monotonic, as the next
    next_try_at: float = 0.0
    pauses: int = 0

    @property
    def is_following(self) -> bool:
        return self.reading is not None and not self.reading.is_over

    @property
    def rank(self) -> int:
        """The smaller, the more urgent is its stream."""
        if self.is_ending:
            return 0
        if self.is_asked:
            return 1
        return 3 if self.is_ready else 2

    def next_segment(self) -> Segment | None:
        """The oldest that is not whole yet; what came before the one that was read last is past."""
        record = self.record
        return next((one for one in self.segments if record is None or not record.is_done(one)), None)


class LogKeeper:
    """Use once: ``run`` starts its threads and returns once told to stop, with everything written."""

    def __init__(
        self,
        connection: Connection,
        stop: threading.Event,
        is_held: Callable[[], bool],
        on_news: Callable[[set[str]], None],
    ) -> None:
        """``is_held`` is asked inside each transaction. ``on_news`` is told of services: the last lines of a program of
        theirs are kept now, or how far one is.
        """
        self.connection = connection
        self.stop = stop
        self.is_held = is_held
        self.on_news = on_news
        self.most_streams = connection.settings.log_streams
        self._targets: dict[str, Target] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._nodes: dict[str, tuple[int, float]] = {}  # failures, and when to try again
        self._captured: set[str] = set()
        self._telling = Telling()  # the writer's alone
        self._is_crowded = False
        self._asked_at = self._pruned_at = time.monotonic()

    def note_pod(self, service_uid: str, pod: Manifest, is_there: bool) -> None:
        """Called for every change of a pod; waits for nothing."""
        logs = logs_of(pod)
        with self._lock:
            for log, segments in logs.items():
                self._note_log(service_uid, log, segments, pod, is_there)
        self._wake.set()

    def _note_log(
        self, service_uid: str, log: str, segments: tuple[Segment, ...], pod: Manifest, is_there: bool
    ) -> None:
        target = self._targets.get(log)
        if target is None:
            if not is_there:
                return
            created_at = moment(pod["metadata"].get("creationTimestamp")) or timezone.now()
            target = Target(service_uid, log, name_of(pod), "", created_at, (), is_ready=False, is_ending=False)
            self._targets[log] = target
        is_beside = log != target.pod  # why an instance is not ready, its main container tells
        target.node = str(pod["spec"].get("nodeName") or "")
        target.segments = segments
        target.is_ready = is_beside or condition(pod, "Ready").get("status") == "True"
        target.is_ending = is_ending(pod)
        target.is_gone = not is_there
        target.next_try_at = min(target.next_try_at, time.monotonic() + PAUSE_SECONDS)

    def run(self) -> None:
        writer = threading.Thread(target=self.write, name="log writer")
        writer.start()
        while not self.stop.is_set():
            self._wake.wait(LOOK_SECONDS)
            self._wake.clear()
            try:
                self.look()
            except DatabaseError as error:
                logger.warning("logs: the database does not answer: %s", error)
                close_old_connections()
                self.stop.wait(LOOK_SECONDS)
            except Exception:  # an edge: without this thread no log would be kept any more
                logger.exception("logs: looking whose to read failed")
                self.stop.wait(LOOK_SECONDS)
        writer.join()

    # Whose turn it is

    def look(self) -> None:
        now = time.monotonic()
        self.find_records()
        if now - self._asked_at > ASKED_LOOK_SECONDS:
            self._asked_at = now
            self.note_asked()
        with self._lock:
            targets = list(self._targets.values())
        for target in targets:
            self.note_state(target, now)
        waiting = [one for one in targets if self.can_be_read(one, now)]
        waiting.sort(key=lambda one: (one.rank, -one.created_at.timestamp()))
        self.start_reads(waiting, targets)
        if now - self._pruned_at > PRUNE_SECONDS:
            self._pruned_at = now
            prune_logs({one.name for one in targets}, timezone.now())

    def find_records(self) -> None:
        """A row for every pod that has something to read."""
        with self._lock:
            new = [one for one in self._targets.values() if one.record is None and one.segments and not one.is_gone]
        new = [one for one in new if one.reading is None][:NEW_AT_ONCE]
        if not new:
            return
        names = [one.name for one in new]
        rows = [KeptLog(service_uid=one.service_uid, instance=one.name, created_at=one.created_at) for one in new]
        with transaction.atomic():
            if not self.is_held():
                return
            KeptLog.objects.bulk_create(rows, ignore_conflicts=True)
            # One taken for gone while nobody watched.
            KeptLog.objects.filter(instance__in=names).exclude(ended_at=None).update(ended_at=None)
        found = {row.instance: row for row in KeptLog.objects.filter(instance__in=names)}
        for target in new:
            if target.name in found:
                target.record = Record(found[target.name])
        if len(new) == NEW_AT_ONCE:
            self._wake.set()

    def note_asked(self) -> None:
        since = timezone.now() - ASKED_COUNTS
        asked = set(KeptLog.objects.filter(ended_at=None, asked_at__gt=since).values_list("instance", flat=True))
        with self._lock:
            for target in self._targets.values():
                target.is_asked = target.name in asked

    def note_state(self, target: Target, now: float) -> None:
        """What the row says of it; and the end, once the pod is gone and nobody reads it any more."""
        if target.record is None:
            if target.is_gone:
                self.forget(target)
            return
        if target.is_following:
            target.followed_at = now
        target.record.note(is_followed=now - target.followed_at < BETWEEN_STREAMS_SECONDS)
        if target.is_gone and target.reading is None:
            target.record.note(has_ended=True)

    def can_be_read(self, target: Target, now: float) -> bool:
        segment = target.next_segment()
        if segment is None or target.record is None or target.reading is not None or target.is_gone:
            return False
        return target.next_try_at <= now and self._nodes.get(target.node, (0, 0.0))[1] <= now

    def start_reads(self, waiting: Sequence[Target], targets: Sequence[Target]) -> None:
        streams = [one for one in targets if one.is_following]
        short = sum(one.reading is not None and one.reading.is_over for one in targets)
        self._is_crowded = False
        for target in waiting:
            segment = target.next_segment()
            assert segment is not None
            if segment.is_over:
                if short >= MOST_SHORT_READS:
                    continue
                short += 1
            elif len(streams) >= self.most_streams:
                self._is_crowded = True
                self.make_room(target, streams)
                continue
            else:
                streams.append(target)
            target.reading = segment
            target.yield_.clear()
            threading.Thread(target=self.read, args=(target, segment), name=f"log {target.name}", daemon=True).start()

    def make_room(self, target: Target, streams: list[Target]) -> None:
        """End the least urgent stream where it is less urgent than this one."""
        last = max(streams, key=lambda one: (one.rank, -one.created_at.timestamp()), default=None)
        if last is not None and last.rank > target.rank:
            streams.remove(last)
            last.yield_.set()

    def forget(self, target: Target) -> None:
        with self._lock:
            self._targets.pop(target.name, None)

    # Reading: a thread for each

    def read(self, target: Target, segment: Segment) -> None:
        record, began_at = target.record, time.monotonic()
        assert record is not None
        try:
            has_ended = self.read_lines(target, segment, record)
        except ClusterError as error:
            self.note_failure(target, segment, record, error, time.monotonic() - began_at)
        except Exception:  # an edge: a thread's failure must not leave its pod without one
            logger.exception("instance %s: its log could not be read", target.name)
            self.pause(target)
        else:
            self._nodes.pop(target.node, None)
            target.pauses = 0
            if segment.is_over and has_ended:
                self.finish(target, segment, record)
            else:  # its end is told by the watch, and then what is left is read
                target.next_try_at = time.monotonic() + PAUSE_SECONDS
        finally:
            target.reading = None
            self._wake.set()

    def read_lines(self, target: Target, segment: Segment, record: Record) -> bool:
        """False where it was broken off."""
        written_at = record.begin(segment)
        query = {"container": segment.container, "timestamps": "true"}
        if segment.is_previous:
            query["previous"] = "true"
        if not segment.is_over:
            query["follow"] = "true"
        if written_at:
            query["sinceTime"] = since_time(written_at)
        silence = CROWDED_SILENCE_SECONDS if self._is_crowded else SILENCE_SECONDS
        with self.connection.read_pod_log(target.pod, query, read_seconds=silence) as lines:
            for line in lines:
                record.take(line, self.stop)
                if self.stop.is_set() or target.yield_.is_set():
                    return False
        return True

    def finish(self, target: Target, segment: Segment, record: Record) -> None:
        record.finish(segment)
        with self._lock:
            self._captured.add(target.service_uid)

    def note_failure(
        self, target: Target, segment: Segment, record: Record, error: ClusterError, seconds: float
    ) -> None:
        """``seconds`` is how long the reading lasted: a stream that breaks off after a silence had nothing to say."""
        if segment.is_over and (error.code in NEVER or target.pauses >= MOST_PAUSES):
            self.finish(target, segment, record)
            return
        if error.code == "not_reachable" and not segment.is_over and seconds >= CROWDED_SILENCE_SECONDS:
            target.next_try_at = time.monotonic() + PAUSE_SECONDS
            return
        logger.info("instance %s: its log cannot be read now: %s %s", target.name, error.code, error.message)
        self.pause(target)
        if error.code not in NEVER:
            failures = self._nodes.get(target.node, (0, 0.0))[0] + 1
            self._nodes[target.node] = (failures, time.monotonic() + pause_seconds(failures))

    def pause(self, target: Target) -> None:
        target.pauses += 1
        target.next_try_at = time.monotonic() + pause_seconds(target.pauses)

    # Writing

    def write(self) -> None:
        while not self.stop.wait(WRITE_SECONDS):
            try:
                self.write_once()
            except Exception:  # an edge: as above
                logger.exception("logs could not be written")
        self.write_once()

    def write_once(self) -> None:
        with self._lock:
            captured, self._captured = self._captured, set()
            dirty = [one for one in self._targets.values() if one.record is not None and one.record.is_dirty]
        try:
            for begin in range(0, len(dirty), LOGS_AT_ONCE):
                self.write_logs(dirty[begin : begin + LOGS_AT_ONCE])
        except DatabaseError as error:
            logger.warning("logs could not be written yet: %s", error)
            close_old_connections()
            with self._lock:
                self._captured |= captured
            return
        news = captured | self._telling.due(time.monotonic())
        if news:
            self.on_news(news)

    def write_logs(self, targets: Sequence[Target]) -> None:
        """Raises ``DatabaseError``; then their lines are written the next time."""
        batches = [(one, one.record.collect()) for one in targets if one.record is not None]
        overtaken = []
        try:
            with transaction.atomic():
                if not self.is_held():
                    raise DatabaseError("the lease is lost")
                for target, batch in batches:
                    try:
                        batch.write(timezone.now())
                    except Overtaken:
                        overtaken.append(target)
        except BaseException:
            for _, batch in batches:
                batch.record.reject(batch)
            raise
        for target, batch in batches:
            if target in overtaken:
                self.read_anew(target)
            else:
                batch.record.accept(batch)
                if batch.has_counted:
                    self._telling.note(target.service_uid)
                if batch.record.has_ended:
                    self.forget(target)

    def read_anew(self, target: Target) -> None:
        """Somebody else has written to the row: what is read goes on from what stands there."""
        logger.warning("instance %s: its log was written by another keeper", target.name)
        target.yield_.set()
        target.record = None


def pause_seconds(failures: int) -> float:
    return float(min(PAUSE_SECONDS * 2 ** min(failures, 10), LONGEST_PAUSE_SECONDS))
