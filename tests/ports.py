"""Ports for programs of the tests, below the range that the system hands out itself."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

FIRST, BLOCK, BLOCKS = 20_000, 100, 100
#: Kept open, and with them locked, until this process ends: what one has found free no other takes.
_locks: list[int] = []


def _claim_block(number: int) -> bool:
    """Whether these ports are this process's from now on."""
    folder = Path(tempfile.gettempdir()) / f"slipway-test-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(folder / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    _locks.append(lock)
    return True


def _claim_ports() -> Iterator[int]:
    begin = os.getpid() * 11 % BLOCKS  # what another process has just left is taken late
    for at in range(BLOCKS):
        number = (begin + at) % BLOCKS
        if _claim_block(number):
            yield from range(FIRST + number * BLOCK, FIRST + (number + 1) * BLOCK)


_candidates = _claim_ports()


def free_port() -> int:
    """A port that was free a moment ago, another one each time and in each process of the tests."""
    for port in _candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def free_ports_in_a_row(count: int) -> int:
    """The first of so many ports that were all free a moment ago."""
    first = last = free_port()
    while last - first + 1 < count:
        following = free_port()
        if following != last + 1:
            first = following
        last = following
    return first
