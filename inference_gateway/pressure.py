"""Whether this process has more requests than it can take, and the refusal of what comes beyond, at next to no cost.

Without it every request that comes is begun, each turn of the event loop gets longer, and in the end all of them are
late and nobody is answered (gateway.md §3). A process is under pressure when turns have been long for several looks
one after the other: a hiccup is none. Then each look at the sockets takes at most ``MOST_AT_ONCE`` new requests and
refuses the others where they stand, ahead of the parser where it can. It ends when nothing was refused for a second.
Only requests that ask something of services are refused: pages, readiness and GETs go on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time

from inference_gateway.http import Receive, Scope, Send, send_body

logger = logging.getLogger(__name__)

#: As long as turns are short, and behind a long one.
LOOK_SECONDS, CLOSE_LOOK_SECONDS = 0.1, 0.02
LONG_TURN_SECONDS = 0.05
LONG_TURNS = 5
MOST_AT_ONCE = 128
CALM_SECONDS = 1.0
RETRY_SECONDS = 1
_MESSAGE = "This server has more requests than it can take. Try again in a moment."
_CODE = "gateway_busy"
_OPENAI = {"error": {"message": _MESSAGE, "type": "server_error", "param": None, "code": _CODE}, "detail": _MESSAGE}
_ANTHROPIC = {"type": "error", "error": {"type": "overloaded_error", "message": _MESSAGE, "code": _CODE}}
_EAS = {"code": _CODE, "message": _MESSAGE}


_HEADERS = ((b"retry-after", b"%d" % RETRY_SECONDS), (b"access-control-allow-origin", b"*"))
_BODIES = {
    "anthropic": json.dumps(_ANTHROPIC).encode("ascii"),
    "openai": json.dumps(_OPENAI).encode("ascii"),
    "eas": json.dumps(_EAS).encode("ascii"),
}


def _render(body: bytes) -> bytes:
    lines = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *_HEADERS)
    return b"HTTP/1.1 503 Service Unavailable\r\n%b\r\n%b" % (b"".join(b"%b: %b\r\n" % one for one in lines), body)


_ANSWERS = {dialect: _render(body) for dialect, body in _BODIES.items()}


def find_dialect(path: bytes) -> str | None:
    """In whose shape a path of the gateway has its errors; None for any other path. Pure."""
    if path.startswith(b"/v1/"):
        rest = path[1:]
    elif path.startswith(b"/api/predict/"):
        rest = path[13:].partition(b"/")[2]
    else:
        return None
    if rest.startswith(b"v1/messages"):
        return "anthropic"
    return "openai" if rest.startswith(b"v1/") else "eas"


def refusal_for(path: bytes) -> bytes | None:
    """The whole answer to a question, or None where a path is not the gateway's. Pure."""
    dialect = find_dialect(path)
    return None if dialect is None else _ANSWERS[dialect]


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """The same as an application, for a question that the parser has begun to read."""
    body = _BODIES[find_dialect(bytes(scope["raw_path"])) or "eas"]
    await send_body(send, 503, body, headers=_HEADERS)


def read_simple_post(data: bytes) -> bytes | None:
    """The path of a POST that is here whole, with nothing behind it; None for anything that needs a parser. Pure."""
    if not data.startswith(b"POST /"):
        return None
    end = data.find(b"\r\n\r\n")
    line_end = data.find(b" HTTP/1.1\r\n", 5, 4096)
    if end < 0 or line_end < 0:
        return None
    head = data[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0 or b"\r\ntransfer-encoding" in head or b"\r\nconnection: close" in head or b"\r\nupgrade:" in head:
        return None
    length = head[at + 17 :].partition(b"\r\n")[0].strip()
    if not length.isdigit() or len(length) > 9 or b"\r\ncontent-length" in head[at + 17 :]:
        return None
    return data[5:line_end] if len(data) == end + 4 + int(length) else None


class Load:
    """Of one process. ``is_high`` is all that a request looks at while all is well."""

    def __init__(self) -> None:
        self.is_high = False
        self.refused = 0
        self._arrived = 0
        self._long_turns = 0
        self._refused_before = 0
        self._calm_at = 0.0

    def admits(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Under pressure: whether one more may begin in this turn. If not, it is counted as refused."""
        if self._arrived == 0:
            loop.call_soon(self._begin_turn)  # behind this turn's reading, before its work
        if self._arrived >= MOST_AT_ONCE:
            self.refused += 1
            return False
        self._arrived += 1
        return True

    def note_turn(self, seconds: float, now: float) -> None:
        """How long a turn of the loop took."""
        if not self.is_high:
            self._long_turns = self._long_turns + 1 if seconds > LONG_TURN_SECONDS else 0
            if self._long_turns >= LONG_TURNS:
                self.is_high = True
                self._calm_at = now + CALM_SECONDS
                self._refused_before = self.refused
                logger.warning("more requests come than this process can take: some are refused with 503")
            return
        if self.refused != self._refused_before:
            self._refused_before = self.refused
            self._calm_at = now + CALM_SECONDS
        elif now >= self._calm_at:
            self.is_high = False
            self._long_turns = 0
            logger.warning("requests are taken again as they come; %s were refused since the start", self.refused)

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(CLOSE_LOOK_SECONDS if self.is_high or self._long_turns else LOOK_SECONDS)
            began_at = time.monotonic()
            await asyncio.sleep(0)  # behind everybody else's turn
            now = time.monotonic()
            self.note_turn(now - began_at, now)

    def _begin_turn(self) -> None:
        self._arrived = 0


#: This process's.
LOAD = Load()
