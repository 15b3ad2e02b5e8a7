"""Ports for programs of the tests."""

from __future__ import annotations

import os
import socket

#: Processes that were started one after another begin far from each other: what one has found free another might take.
_candidates = iter(range(20000 + os.getpid() * 1009 % 9000, 30000))


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


def free_ports_in_a_row(count: int) -> int:
    """The first of so many ports that were all free a moment ago."""
    first = last = free_port()
    while last - first + 1 < count:
        following = free_port()
        if following != last + 1:
            first = following
        last = following
    return first
