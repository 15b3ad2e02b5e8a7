"""How a connection to an instance learns that the other side has gone without a word, with its host or its network.

The kernel asks the other side of an idle connection now and then; without that, an answer that nobody sends any more
would be waited for as long as the service allows.
"""

from __future__ import annotations

import socket

from aiohttp import AddrInfoType

#: After so long without a sign of the other side it is asked, so often, at this distance: 35 s in all.
IDLE_SECONDS = 20
ASK_SECONDS = 5
ASKED = 3


def notice_death(connection: socket.socket) -> None:
    """Let it fail with ``TimeoutError`` once the other side is gone. Systems that cannot be told the times take their
    own, of hours.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", IDLE_SECONDS), ("TCP_KEEPINTVL", ASK_SECONDS), ("TCP_KEEPCNT", ASKED)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def make_socket(address: AddrInfoType) -> socket.socket:
    """For aiohttp's connectors."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    notice_death(made)
    return made
