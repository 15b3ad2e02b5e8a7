"""One file of a spool: lines behind one another, put into a shared memory map instead of being written.

What is in the map is the kernel's, as what is written is: it outlives a process that is killed. The file's blocks are
reserved when it is made, so a full disk is an OSError then and no signal later. Where a file cannot be mapped, its
lines are written. A line is there once its end is; behind the last end there are zeros or a part of a line, which
nobody was told of.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import uuid
from pathlib import Path

logger = logging.getLogger(__name__)

SUFFIX = ".usage"
END = b"\n"


class Segment:
    """Takes lines from one thread. Its process has it locked for as long as it is open or alive.

    ``written`` and ``taken`` are bytes: all lines that were added, and those of them that are in the tables.
    """

    __slots__ = ("_file", "_map", "_size", "path", "taken", "written")

    def __init__(self, folder: Path, size: int) -> None:
        """Raises OSError."""
        self._size = size
        self.written = self.taken = 0
        name = uuid.uuid4().hex
        hidden = folder / f".{name}"
        self._file = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self.path = hidden.rename(folder / f"{name}{SUFFIX}")  # locked before anybody can find it
        self._map = self._find_map()

    def _find_map(self) -> mmap.mmap | None:
        try:
            if not hasattr(os, "posix_fallocate"):
                raise OSError("this system reserves no blocks")
            os.posix_fallocate(self._file, 0, self._size)
            return mmap.mmap(self._file, self._size)
        except OSError as error:
            logger.warning("usage is written, for %s cannot be mapped: %s", self.path, error)
            os.ftruncate(self._file, 0)
            return None

    def has_room(self, line: bytes) -> bool:
        return self.written + len(line) < self._size

    def add(self, line: bytes) -> None:
        """Add a line that comes without its end. Raises OSError where the disk takes none; then nothing is added."""
        start, end = self.written, self.written + len(line)
        if self._map is None:
            self._write(line + END, start)
        else:
            self._map[start:end] = line
            self._map[end] = END[0]  # behind all of it: who is killed before has added nothing
        self.written = end + 1

    def _write(self, data: bytes, at: int) -> None:
        while data:
            count = os.pwrite(self._file, data, at)
            data, at = data[count:], at + count

    def close(self) -> None:
        """Give the lock back. The file stays."""
        if self._map is not None:
            self._map.close()
        os.close(self._file)
