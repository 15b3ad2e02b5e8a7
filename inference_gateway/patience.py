"""How long a connection may make the server wait, and how much may come before a request is one.

uvicorn waits for ever for a request that has begun, keeps headers without a bound, and holds an answer that nobody
reads as long as the reader likes. A few hundred such connections would hold files, memory and engines. Timers run only
for what has not come in one piece or cannot be sent: an ordinary request costs none.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable
from typing import Any, Protocol, cast

#: More than any client sends; an engine takes less (llama.cpp's 8 KiB, vLLM's 64).
MOST_HEAD_BYTES = 64 * 1024
MOST_HEADERS = 256


class _Connection(Protocol):
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport


class StallGuard:
    """Beside one of uvicorn's protocols: an answer of which nothing is taken for ``stalled_seconds`` is cut.

    It acts only while the server waits for room. Of what has been read meanwhile any piece counts, however small.
    """

    stalled_seconds = 60.0
    _stall: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()  # type: ignore[misc]
        self._watch_room()

    def resume_writing(self) -> None:
        self._end_stall()
        super().resume_writing()  # type: ignore[misc]

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_stall()
        super().connection_lost(exc)  # type: ignore[misc]

    def _watch_room(self) -> None:
        connection = cast(_Connection, self)
        waiting = measure_unsent(connection.transport)
        self._stall = connection.loop.call_later(self.stalled_seconds, self._judge_room, waiting)

    def _judge_room(self, waited: int) -> None:
        transport = cast(_Connection, self).transport
        if measure_unsent(transport) < waited:
            self._watch_room()
        else:
            transport.abort()  # to close it would wait for the same reader

    def _end_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None


def measure_unsent(transport: asyncio.Transport) -> int:
    """Bytes that the other side has not taken: ours, and those that the kernel holds, which may be megabytes.

    Where the kernel does not say (only Linux does so of a socket), ours alone.
    """
    waiting = transport.get_write_buffer_size()
    try:
        held = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, b"\0" * 4)
    except (OSError, AttributeError):
        return waiting
    return waiting + int(struct.unpack("i", held)[0])


class Pace:
    """Of one connection: whether the request that has begun comes fast enough.

    A head must be whole ``head_seconds`` after its first byte, or after the connection was made. A body must bring
    ``least_bytes`` in every ``body_seconds`` in which the server reads. ``give_up`` is called once, in other cases.
    """

    __slots__ = ("_arrived", "_body_seconds", "_give_up", "_is_paused", "_least_bytes", "_loop", "_timer", "is_in_head")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        head_seconds: float,
        body_seconds: float,
        least_bytes: int,
        is_paused: Callable[[], bool],
        give_up: Callable[[], Any],
    ) -> None:
        self._loop = loop
        self._body_seconds = body_seconds
        self._least_bytes = least_bytes
        self._is_paused = is_paused
        self._give_up = give_up
        self._arrived = 0
        self.is_in_head = True
        self._timer: asyncio.TimerHandle | None = loop.call_later(head_seconds, self._judge)

    def note(self, size: int) -> None:
        """So much of the request has come, and not all."""
        self._arrived += size

    def end(self) -> None:
        """The request is whole, or nobody waits for it. Twice is fine."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _judge(self) -> None:
        self._timer = None
        is_slow = self.is_in_head or self._arrived < self._least_bytes
        if is_slow and not self._is_paused():
            self._give_up()
            return
        self._arrived = 0
        self._timer = self._loop.call_later(self._body_seconds, self._judge)
