"""Names of generations: what a streamed answer is called, and how a caller says where it stopped reading. Pure but for
the randomness.
"""

from __future__ import annotations

import os
import re

from inference_gateway.chat import ChatError

GENERATION_HEADER = b"x-slipway-generation"
#: On an answer that can be resumed: for so many seconds it goes on without its caller.
RESUMABLE_HEADER = b"x-slipway-resumable"
LAST_EVENT = b"last-event-id"
_ID_BYTES = 16
#: The number is a question's, of a connection that asks several.
_ID = r"gen-[0-9a-f]{32}(?:-\d{1,6})?"
ROUTE = re.compile(rf"/\.slipway/generations/({_ID})")
_EVENT = re.compile(rf"({_ID})\.(\d{{1,15}})")
_OFFSET = re.compile(r"\d{1,15}")


class Names:
    """New ids, which nobody can guess. One read of the system's randomness serves many: each answer pays for one."""

    def __init__(self) -> None:
        self._left = b""

    def choose(self) -> str:
        if not self._left:
            self._left = os.urandom(64 * _ID_BYTES)
        taken, self._left = self._left[:_ID_BYTES], self._left[_ID_BYTES:]
        return f"gen-{taken.hex()}"


def render_event_id(generation: str, offset: int) -> str:
    """What ``Last-Event-ID`` says of who has the first ``offset`` bytes."""
    return f"{generation}.{offset}"


def find_event_id(given: str | None) -> tuple[str, int] | None:
    """Generation and offset; None for what is no id of ours."""
    match = _EVENT.fullmatch(given) if given else None
    return (match[1], int(match[2])) if match else None


def read_offset(given: str) -> int:
    """Raises ChatError 400 ``offset_invalid``."""
    if not _OFFSET.fullmatch(given):
        raise ChatError(400, "offset_invalid", "offset must be the number of bytes that you have, from 0.", "offset")
    return int(given)
