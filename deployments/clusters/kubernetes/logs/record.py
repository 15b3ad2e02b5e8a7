"""One instance's log on its way into rows: what was read and not written yet, and where reading goes on.

Lines come from the thread that reads; the keeper's writing thread takes them. ``Position`` is kept with the row in the
same transaction as the lines, so that after a crash reading goes on with the first line that is not there.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from deployments.clusters.kubernetes.logs.chunks import pack
from deployments.clusters.kubernetes.logs.containers import Segment
from deployments.clusters.kubernetes.logs.counting import count, read_counted
from deployments.clusters.kubernetes.logs.lines import read_line
from deployments.models import KeptLog, LogChunk

CHUNK_CHARACTERS = 64 * 1024
#: Of one instance's log, before compression; the oldest chunks go then.
KEPT_CHARACTERS = 16 * 1024 * 1024
#: A crash loop leaves many small ones.
MOST_CHUNKS = 600
#: Reading waits while so much is not written yet.
MOST_PENDING = 4 * 1024 * 1024
REMEMBERED_CONTAINERS = 20


class Overtaken(Exception):
    """The row has moved on without us: another keeper writes it."""


@dataclass(slots=True)
class Position:
    """How far reading is. ``written_at`` is the latest time of a line of ``container_id``, and ``lines_then`` how many
    lines had that very time: whoever reads again from there skips those.
    """

    container_id: str = ""
    written_at: int = 0
    lines_then: int = 0
    runs: dict[str, int] = field(default_factory=dict)  # of containers, by id
    names: list[str] = field(default_factory=list)  # of the containers of the newest run
    done: list[str] = field(default_factory=list)  # ids of containers whose logs are whole


@dataclass(slots=True)
class OpenChunk:
    """The newest chunk, which takes more lines."""

    run: int
    first_line: int
    lines: list[str]
    characters: int = 0


class Record:
    """``begin``, ``take`` and ``finish`` are the reader's, ``collect`` to ``reject`` the writer's: two threads."""

    def __init__(self, row: KeptLog) -> None:
        self.pk = row.pk
        self.service_uid = row.service_uid
        self.instance = row.instance
        self.next_line = row.next_line
        self.run = row.run
        self.position = Position(**row.position)
        self.is_followed = row.is_followed
        self.has_ended = False
        self.counted = read_counted(row.counted)  # what is pending included
        self._kept_counted = self.counted
        self._changed = threading.Condition()
        self._pending: list[tuple[int, str]] = []  # (run, line)
        self._pending_characters = 0
        self._is_dirty = False
        self._chunk: OpenChunk | None = None
        self._to_skip = 0
        self._skip_until = 0

    @property
    def is_dirty(self) -> bool:
        with self._changed:
            return self._is_dirty

    def is_done(self, segment: Segment) -> bool:
        return segment.container_id in self.position.done

    def begin(self, segment: Segment) -> int:
        """Read this one from here on. Returns the time of the last line that is kept of it, 0 where there is none."""
        with self._changed:
            position = self.position
            if segment.container_id not in position.runs:
                if segment.container in position.names:
                    self.run += 1
                    position.names = []
                position.names.append(segment.container)
                position.runs[segment.container_id] = self.run
                while len(position.runs) > REMEMBERED_CONTAINERS:
                    del position.runs[next(iter(position.runs))]
            if segment.container_id != position.container_id:
                position.container_id = segment.container_id
                position.written_at = position.lines_then = 0
            self._skip_until, self._to_skip = position.written_at, position.lines_then
            self._is_dirty = True
            return position.written_at

    def take(self, raw: bytes, stop: threading.Event) -> None:
        """One line as it came. Waits while the database is behind."""
        with self._changed:
            line = read_line(raw, self.position.written_at)
            if line is None or self._is_known(line.written_at):
                return
            position = self.position
            if line.written_at > position.written_at:
                position.written_at, position.lines_then = line.written_at, 0
            if line.written_at == position.written_at:
                position.lines_then += 1
            self.counted = count(line.text, position.container_id, line.written_at, self.counted)
            run = position.runs[position.container_id]
            kept = line.kept()
            self._pending += ((run, text) for text in kept)
            self._pending_characters += sum(map(len, kept))
            self._is_dirty = True
            while self._pending_characters > MOST_PENDING and not stop.is_set():
                self._changed.wait(0.5)

    def _is_known(self, written_at: int) -> bool:
        if written_at < self._skip_until:
            return True
        if written_at == self._skip_until and self._to_skip:
            self._to_skip -= 1
            return True
        return False

    def finish(self, segment: Segment) -> None:
        """Its log is whole."""
        with self._changed:
            if segment.container_id not in self.position.done:
                self.position.done = [*self.position.done, segment.container_id][-REMEMBERED_CONTAINERS:]
            self._is_dirty = True

    def note(self, *, is_followed: bool | None = None, has_ended: bool | None = None) -> None:
        """What else the row is to say."""
        with self._changed:
            if is_followed is not None and is_followed != self.is_followed:
                self.is_followed, self._is_dirty = is_followed, True
            if has_ended:
                self.has_ended = self._is_dirty = True

    # The writer's

    def collect(self) -> Batch:
        """Take what is pending. ``accept`` the batch once it is written for good, else ``reject`` it."""
        with self._changed:
            taken, self._pending = self._pending, []
            self._pending_characters, self._is_dirty = 0, False
            columns = {
                "next_line": self.next_line + len(taken),
                "run": self.run,
                "position": asdict(self.position),
                "is_followed": self.is_followed and not self.has_ended,
            }
            if self.counted != self._kept_counted and self.counted is not None:
                columns["counted"] = self.counted.as_json()
            return Batch(self, taken, columns, self._chunk)

    def accept(self, batch: Batch) -> None:
        with self._changed:
            self._chunk, self.next_line = batch.chunk, batch.next_line
            if batch.has_counted:
                self._kept_counted = read_counted(batch.columns["counted"])
            self._changed.notify_all()

    def reject(self, batch: Batch) -> None:
        """Nothing of it was written: it is pending again."""
        with self._changed:
            self._pending = batch.taken + self._pending
            self._pending_characters += sum(len(text) for _, text in batch.taken)
            self._is_dirty = True


class Batch:
    """What one transaction writes of one log."""

    def __init__(
        self, record: Record, taken: list[tuple[int, str]], columns: dict[str, Any], chunk: OpenChunk | None
    ) -> None:
        self.record = record
        self.taken = taken
        self.columns = columns
        self.chunk = chunk
        self.next_line = record.next_line

    @property
    def has_counted(self) -> bool:
        """Whether the program has said how far it is."""
        return "counted" in self.columns

    def write(self, now: datetime) -> None:
        """Inside a transaction. Raises ``Overtaken``."""
        ended = {"ended_at": now} if self.record.has_ended else {}
        rows = KeptLog.objects.filter(pk=self.record.pk, next_line=self.next_line, ended_at=None)
        if not rows.update(**self.columns, **ended):
            raise Overtaken
        for run, lines in itertools.groupby(self.taken, key=lambda one: one[0]):
            self.write_run(run, [text for _, text in lines])

    def write_run(self, run: int, lines: list[str]) -> None:
        """Add to the open chunk as long as it has room, then to new ones."""
        while lines:
            chunk = self.chunk
            if chunk is None or chunk.run != run or chunk.characters >= CHUNK_CHARACTERS:
                chunk = OpenChunk(run, self.next_line, [], 0)
                remove_oldest(self.record.pk)
            count, characters = 0, chunk.characters
            while count < len(lines) and characters < CHUNK_CHARACTERS:
                characters += len(lines[count])
                count += 1
            self.chunk = OpenChunk(run, chunk.first_line, chunk.lines + lines[:count], characters)
            write_chunk(self.record.pk, self.chunk)
            self.next_line += count
            lines = lines[count:]


def write_chunk(log_id: int, chunk: OpenChunk) -> None:
    values = {
        "run": chunk.run,
        "lines": len(chunk.lines),
        "characters": chunk.characters,
        "data": pack(chunk.lines),
    }
    LogChunk.objects.update_or_create(log_id=log_id, first_line=chunk.first_line, defaults=values)


def remove_oldest(log_id: int) -> None:
    """Make room for the next chunk."""
    sizes = list(LogChunk.objects.filter(log_id=log_id).order_by("first_line").values_list("pk", "characters"))
    room = KEPT_CHARACTERS - CHUNK_CHARACTERS
    total = sum(size for _, size in sizes)
    surplus = []
    while sizes and (total > room or len(sizes) >= MOST_CHUNKS):
        pk, size = sizes.pop(0)
        surplus.append(pk)
        total -= size
    if surplus:
        LogChunk.objects.filter(pk__in=surplus).delete()
