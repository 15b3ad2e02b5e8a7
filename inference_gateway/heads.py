"""Heads of messages that were read before, so that the next one with the same head needs no parser.

A program asks, and an engine answers, again and again with the same head but for the length of the body. Such a head,
byte for byte, means what it meant when the parser read it (RFC 9112 §2.2): what is remembered is that, and of the
bytes themselves all but the digits of the length, which stand at the beginning of a line and so are no part of another
header.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from inference_gateway.http import Scope

#: Programs have a handful of heads each; longer ones carry what is never said twice.
MOST_HEADS = 1024
MOST_BYTES = 4096
MOST_DIGITS = 5
#: So many answers in a row with heads of their own are looked at in vain.
MOST_MISSES = 64
_LENGTHS = (b"\r\ncontent-length: ", b"\r\nContent-Length: ")

_OF_CONNECTION = ("client", "extensions", "scheme", "server", "state")


class Known:
    """A head: what is before the digits of its length and what behind them, the blank line included.

    ``kept`` is what was remembered with it.
    """

    __slots__ = ("_after", "_before", "_length_at", "_scope", "kept")

    def __init__(self, before: bytes, after: bytes, scope: Scope, kept: Any) -> None:
        self._before, self._after = before, after
        self._scope = scope
        self._length_at = next(at for at, (name, _) in enumerate(scope["headers"]) if name == b"content-length")
        self.kept = kept

    def find_body(self, data: bytes) -> bytes | None:
        """The body of what is one whole request with this head, and nothing else."""
        before, after = self._before, self._after
        if not data.startswith(before):
            return None
        begin = len(before)
        end = data.find(b"\r", begin, begin + MOST_DIGITS + 1)
        if end < 0 or not data.startswith(after, end):
            return None
        body_at = end + len(after)
        return data[body_at:] if data[begin:end] == b"%d" % (len(data) - body_at) else None

    def make_scope(self, length: int) -> Scope:
        """What of a request's scope is not its connection's."""
        return {**self._scope, "headers": self.make_headers(length)}

    def make_headers(self, length: int) -> list[tuple[bytes, bytes]]:
        headers: list[tuple[bytes, bytes]] = self._scope["headers"].copy()
        headers[self._length_at] = (b"content-length", b"%d" % length)
        return headers


class _Parts(NamedTuple):
    before: bytes
    length: bytes
    after: bytes
    body_at: int


class Heads:
    """Those of one process."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, data: bytes) -> Known | None:
        """The head with which ``data`` begins, if it is known."""
        parts = _take_apart(data)
        return None if parts is None else self._known.get((parts.before, parts.after))

    def remember(self, data: bytes, scope: Scope, kept: Any = None) -> Known | None:
        """The scope that a parser made of ``data``, one whole message, and what is to be kept with its head.

        Of an answer a scope has headers only. None where such a head is not remembered.
        """
        parts = _take_apart(data)
        if parts is None or parts.length != b"%d" % (len(data) - parts.body_at):
            return None
        if [value for name, value in scope["headers"] if name == b"content-length"] != [parts.length]:
            return None
        if len(self._known) >= MOST_HEADS:
            self._known.clear()
        shared = {name: value for name, value in scope.items() if name not in _OF_CONNECTION}
        shared["headers"] = scope["headers"].copy()
        known = Known(parts.before, parts.after, shared, kept)
        self._known[parts.before, parts.after] = known
        return known

    def learn(self, data: bytes, headers: list[tuple[bytes, bytes]], misses: int) -> Known | None:
        """The head of a whole answer. The more of them in a row had heads of their own, the seldomer it is learnt."""
        if misses & (misses - 1) and misses % MOST_MISSES:
            return None
        return self.find(data) or self.remember(data, {"headers": headers})


def _take_apart(data: bytes) -> _Parts | None:
    end = data.find(b"\r\n\r\n", 0, MOST_BYTES)
    if end < 0:
        return None
    for name in _LENGTHS:
        at = data.find(name, 0, end)
        if at >= 0:
            break
    else:
        return None
    begin = at + len(name)
    stop = data.find(b"\r\n", begin, end + 2)
    length = data[begin:stop]
    if not length.isdigit() or len(length) > MOST_DIGITS:
        return None
    return _Parts(data[:begin], length, data[stop : end + 4], end + 4)
