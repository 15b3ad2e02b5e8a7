"""Asks the server's ``/readyz`` without ever making the supervisor wait.

A request is a socket in the supervisor's own ``select``; it has an answer, an error, or a deadline.
"""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Readiness:
    """One answer of ``/readyz``. ``is_answering`` is False when the server gave none."""

    is_ready: bool = False
    is_answering: bool = False
    reasons: dict[str, str] = field(default_factory=dict)  # failed check → why
    heartbeat_age_seconds: float | None = None  # None: no sweep yet, or unknown


NOT_ANSWERING = Readiness(reasons={"server": "The server does not answer yet."})


def parse_answer(answer: bytes) -> Readiness:
    """Read a whole HTTP answer of ``/readyz``; anything else counts as none."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    try:
        found: dict[str, Any] = json.loads(body)
        checks: dict[str, dict[str, Any]] = found["checks"]
        reasons = {name: str(check["reason"]) for name, check in checks.items() if not check["ok"]}
        age = found.get("worker_heartbeat_age_seconds")
    except (ValueError, KeyError, TypeError, AttributeError):
        return NOT_ANSWERING
    return Readiness(status == [b"200"], True, reasons, float(age) if age is not None else None)


class Probe:
    """One request at a time. ``begin``, then ``step`` whenever ``fileno`` is readable or the time is up."""

    def __init__(self, address: tuple[Any, ...], family: socket.AddressFamily, timeout_seconds: float) -> None:
        self._address = address
        self._family = family
        self._timeout_seconds = timeout_seconds
        self._connection: socket.socket | None = None
        self._answer = b""
        self._deadline = 0.0

    @property
    def connection(self) -> socket.socket | None:
        """The socket to watch while a request is under way."""
        return self._connection

    def begin(self) -> None:
        """Send the request. The listening socket is the supervisor's own, so connecting never takes long."""
        self.close()
        self._answer = b""
        self._deadline = time.monotonic() + self._timeout_seconds
        connection = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            connection.settimeout(0.5)
            connection.connect(self._address)
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            connection.setblocking(False)
        except OSError:
            connection.close()
            return
        self._connection = connection

    def step(self) -> Readiness | None:
        """Read what has come. None while the answer is incomplete and its time not up."""
        if self._connection is None:
            return NOT_ANSWERING
        try:
            while chunk := self._connection.recv(65536):
                self._answer += chunk
        except BlockingIOError:
            if time.monotonic() < self._deadline:
                return None
            self.close()
            return NOT_ANSWERING
        except OSError:
            self.close()
            return NOT_ANSWERING
        self.close()
        return parse_answer(self._answer)

    def close(self) -> None:
        """Give up the request under way, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
