"""Usage on its way to the database: files of lines, added as requests end, taken into the tables behind them.

A line is in a file before the caller has the last of the answer, so a process that is killed loses none; a machine
that loses power may lose the last second. While the database is away there are more and longer files. Each process has
files of its own and keeps them locked; a file that nobody has locked was left by one that died, and whoever finds it
takes it.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

from django.db import DatabaseError

from inference_gateway.accounts import Account
from inference_gateway.database import in_database
from inference_gateway.metering.records import render_line
from inference_gateway.metering.segment import END, SUFFIX, Segment
from inference_gateway.metering.taking import find_taken, forget, forget_old_events, forget_surplus_events, take

logger = logging.getLogger(__name__)

TAKE_EVERY_SECONDS = 1.0
LOOK_FOR_LEFT_SECONDS = 15.0
FORGET_SURPLUS_SECONDS = 60.0
FORGET_OLD_SECONDS = 3600.0
#: So much of a file is taken in one transaction.
MOST_TAKEN_BYTES = 256 * 1024
#: Of one file. The more of them wait to be taken, the longer is the next, up to the second.
SEGMENT_BYTES, LONGEST_SEGMENT_BYTES = 1024 * 1024, 16 * 1024 * 1024


class Spool:
    """The files of one process, the oldest first. Is told of closed accounts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = asyncio.Lock()
        self._full: deque[Segment] = deque()
        self._segment = Segment(folder, SEGMENT_BYTES)

    def closed(self, account: Account) -> None:
        """Add the line now. Raises OSError where the disk takes none."""
        line = render_line(account)
        segment = self._segment
        if not segment.has_room(line):
            segment = self._begin()
        segment.add(line)

    def _begin(self) -> Segment:
        size = min(SEGMENT_BYTES << len(self._full), LONGEST_SEGMENT_BYTES)
        full, self._segment = self._segment, Segment(self._folder, size)
        self._full.append(full)
        return self._segment

    async def keep(self) -> None:
        """Take what was written, by this process and by those that died, until cancelled."""
        loop = asyncio.get_running_loop()
        chores: dict[Callable[[], None], float] = {
            partial(take_left, self._folder): LOOK_FOR_LEFT_SECONDS,
            forget_surplus_events: FORGET_SURPLUS_SECONDS,
            forget_old_events: FORGET_OLD_SECONDS,
        }
        due_at = dict.fromkeys(chores, loop.time())
        while True:
            try:
                await self.take()
                for chore, every_seconds in chores.items():
                    if loop.time() >= due_at[chore]:
                        due_at[chore] = loop.time() + every_seconds
                        await in_database(chore)
            except (DatabaseError, OSError) as error:
                logger.warning("usage waits on disk, the database does not take it: %s", error)
            await asyncio.sleep(TAKE_EVERY_SECONDS)

    async def take(self) -> None:
        """Take all that is written by now. Raises DatabaseError and OSError; nothing is lost then."""
        async with self._lock:
            newest, end = self._segment, self._segment.written
            for _ in range(len(self._full)):
                await self._finish(self._full[0])
                self._full.popleft()
            await take_until(newest, end)

    async def _finish(self, segment: Segment) -> None:
        """Take the rest of a file to which nothing is added any more, and drop it."""
        await take_until(segment, segment.written)
        await in_database(drop, segment.path)
        segment.close()

    async def close(self) -> None:
        """Take the rest; where that fails files stay, for who comes next."""
        try:
            await self.take()
            await self._finish(self._segment)
        except (DatabaseError, OSError) as error:
            logger.warning("usage stays on disk: %s", error)
            for segment in (*self._full, self._segment):
                segment.close()


async def take_until(segment: Segment, end: int) -> None:
    while segment.taken < end:
        segment.taken = await in_database(take_some, segment.path, segment.taken, end)


def take_some(path: Path, start: int, end: int | None = None) -> int:
    """Take whole lines from byte ``start`` on, before ``end`` and not too many at once; how far the file is taken now.

    Whoever takes from a file that is being added to says where the last line ends that it knows of.
    """
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(MOST_TAKEN_BYTES if end is None else min(MOST_TAKEN_BYTES, end - start))
    whole = data[: data.rfind(END) + 1]
    return take(path.stem, start, whole) if whole else start


def take_left(folder: Path) -> None:
    """Take what processes left that died. Raises DatabaseError and OSError."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            file = path.open("rb")
        except FileNotFoundError:
            continue
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its process lives, or another one takes it
            if not path.exists():
                continue
            taken = find_taken(path.stem)
            # What is behind the last line's end was being written when the process died, before anybody was told.
            while (now := take_some(path, taken)) > taken:
                taken = now
            drop(path)


def drop(path: Path) -> None:
    """The file first: without its number a file would be taken again."""
    path.unlink(missing_ok=True)
    forget(path.stem)
