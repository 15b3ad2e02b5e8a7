"""Usage on its way to the database: a file of lines, written as requests end, taken into the tables behind them.

A line is in the file before the caller has the last of the answer, so a process that is killed loses none; a machine
that loses power may lose the last second. While the database is away the file grows. Each process has a file of its
own and keeps it locked; a file that nobody has locked was left by one that died, and whoever finds it takes it.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import uuid
from pathlib import Path

from django.db import DatabaseError

from inference_gateway.accounts import Account
from inference_gateway.database import in_database
from inference_gateway.metering.records import render_line
from inference_gateway.metering.taking import find_taken, forget, forget_old_events, take

logger = logging.getLogger(__name__)

TAKE_EVERY_SECONDS = 1.0
LOOK_FOR_LEFT_SECONDS = 15.0
FORGET_EVERY_SECONDS = 60.0
#: So much of a file is taken in one transaction.
MOST_TAKEN_BYTES = 256 * 1024
#: A file that is taken whole and is longer gives way to a new one.
LONG_BYTES = 16 * 1024 * 1024
SUFFIX = ".usage"


class Spool:
    """The file of one process. Listens to accounts (``accounts.Listener``)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = asyncio.Lock()
        self._taken = 0
        self._written = 0
        self._open()

    def _open(self) -> None:
        name = uuid.uuid4().hex
        hidden = self._folder / f".{name}"
        self._file = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self.path = hidden.rename(self._folder / f"{name}{SUFFIX}")  # locked before anybody can find it

    def opened(self, account: Account) -> None:
        """Nothing is used yet."""

    def closed(self, account: Account) -> None:
        """Write the line now. Raises OSError where the disk takes none."""
        line = render_line(account)
        at = 0
        while at < len(line):
            at += os.write(self._file, line[at:])
        self._written += len(line)

    async def keep(self) -> None:
        """Take what was written, by this process and by those that died, until cancelled."""
        loop = asyncio.get_running_loop()
        left_at = old_at = loop.time()
        while True:
            try:
                await self.take()
                if loop.time() >= left_at:
                    left_at = loop.time() + LOOK_FOR_LEFT_SECONDS
                    await in_database(take_left, self._folder)
                if loop.time() >= old_at:
                    old_at = loop.time() + FORGET_EVERY_SECONDS
                    await in_database(forget_old_events)
            except (DatabaseError, OSError) as error:
                logger.warning("usage waits on disk, the database does not take it: %s", error)
            await asyncio.sleep(TAKE_EVERY_SECONDS)

    async def take(self) -> None:
        """Take all that is written by now. Raises DatabaseError and OSError; nothing is lost then."""
        async with self._lock:
            upto = self._written
            while self._taken < upto:
                self._taken = await in_database(take_some, self.path, self._taken)
            if self._taken == self._written > LONG_BYTES:
                old_file, old_path = self._file, self.path
                self._open()
                self._taken = self._written = 0
                await in_database(drop, old_path)
                os.close(old_file)

    async def close(self) -> None:
        """Take the rest; where that fails the file stays, for who comes next."""
        try:
            await self.take()
            await in_database(drop, self.path)
        except (DatabaseError, OSError) as error:
            logger.warning("usage stays on disk: %s", error)
        os.close(self._file)


def take_some(path: Path, start: int) -> int:
    """Take whole lines from byte ``start`` on, not too many at once; how far the file is taken now."""
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(MOST_TAKEN_BYTES)
    whole = data[: data.rfind(b"\n") + 1]
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
