"""Ports for programs of the tests."""

from __future__ import annotations

import os
import socket

_candidates = iter(range(20000 + os.getpid() % 9000, 30000))


def free_port() -> int:
    """A port that was free a moment ago, another one each time, below the range the system hands out itself."""
    for port in _candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")
