"""Ports of this machine for instances, each claimed by one shim at a time.

A claim is a flock on a file named after the port, in a folder that all Slipways of one user share; it ends
with the process that holds it, so nothing has to be given back. A claim is tried by binding, too: other
programs know nothing of our files. The range lies below every usual ephemeral range.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time

FIRST_PORT, LAST_PORT = 20_000, 29_999
HOST = "127.0.0.1"


class NoPort(Exception):
    """No port could be claimed; the text says why."""


def claims_folder(temporary: str) -> str:
    """The folder of claims below the system's folder for temporary files, made when absent."""
    folder = os.path.join(temporary, f"slipway-ports-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if found.st_uid != os.getuid() or found.st_mode & 0o170077 != 0o040000:
        raise NoPort(f"{folder} must be a folder that only its owner can open. Remove it and try again.")
    return folder


def claim(folder: str, preferred: int = 0) -> tuple[int, int]:
    """A free port and the descriptor that holds it; ``preferred`` where it is still free."""
    size = LAST_PORT - FIRST_PORT + 1
    begin = (os.getpid() * 7919 + time.monotonic_ns() // 1000) % size  # apart, so that claims rarely meet
    ports = [FIRST_PORT + (begin + step) % size for step in range(size)]
    if FIRST_PORT <= preferred <= LAST_PORT:
        ports.insert(0, preferred)
    for port in ports:
        descriptor = os.open(os.path.join(folder, str(port)), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_free(port):
                return port, descriptor
        except BlockingIOError:
            pass
        os.close(descriptor)
    raise NoPort(f"Every port from {FIRST_PORT} to {LAST_PORT} is in use. Stop some services.")


def is_free(port: int) -> bool:
    """Whether a program could listen there now. Connections of an ended one do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True
