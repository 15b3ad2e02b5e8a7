"""What only one supervisor may hold: the data folder and the port. Both are released by the system at its death."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BACKLOG = 1024


class ClaimError(Exception):
    """Somebody else holds it, or nobody may. The text is a sentence with the cure."""


@contextmanager
def claim_data_folder(data_dir: Path) -> Iterator[None]:
    """Hold the folder's lock and keep this process's id in ``supervisor.pid`` meanwhile."""
    lock = os.open(data_dir / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
    pid_file = data_dir / "supervisor.pid"
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = pid_file.read_text().strip() if pid_file.exists() else ""
            process = f" (process {holder})" if holder else ""
            raise ClaimError(
                f"Slipway already runs on the data folder {data_dir}{process}. Stop it first, or choose another "
                "folder with SLIPWAY_DATA_DIR."
            ) from error
        draft = data_dir / ".supervisor.pid"
        draft.write_text(f"{os.getpid()}\n")
        draft.replace(pid_file)
        try:
            yield
        finally:
            pid_file.unlink(missing_ok=True)
    finally:
        os.close(lock)


@contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """The server's listening socket, bound here and inherited by the server.

    So the port is never up for grabs, and while the server restarts, connections wait instead of failing.
    """
    try:
        family, kind, protocol, _, address = _resolve(host, port)
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ClaimError(f"SLIPWAY_HOST={host} cannot be resolved. Use an address of this machine.") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections have it from here. The server, given a descriptor, takes them for local sockets and would
        # not set it: an answer's body then waits 40 ms for the caller's acknowledgement of its head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            # "::" means every address, IPv4 ones too, whatever the system's default is.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ClaimError(_explain(error, host, port)) from error
    with listener:
        yield listener


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[object, ...]]:
    """The address to bind. IPv4 first: ``localhost`` in a program mostly means 127.0.0.1."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return min(found, key=lambda entry: entry[0] != socket.AF_INET)


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is taken by another program. Stop it, or choose another port with SLIPWAY_PORT."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Port {port} may not be used by this user. Choose one above 1023 with SLIPWAY_PORT."
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return f"SLIPWAY_HOST={host} is not an address of this machine. Use 127.0.0.1, 0.0.0.0 or one of its own."
    return f"Cannot listen on {host} port {port} ({error.strerror}). See SLIPWAY_HOST and SLIPWAY_PORT."
