"""Heads of requests that were read before, so that the next request with the same one needs no parser.

A program asks again and again with the same head but for the length of the body. Such a head, byte for byte, means what
it meant when the parser read it (RFC 9112 §2.2): what is remembered is that, and of the bytes themselves all but the
digits of the length, which stand at the beginning of a line and so are no part of another header.
"""

from __future__ import annotations

from typing import Any, NamedTuple

#: Programs have a handful of heads each; longer ones carry what is never said twice.
MOST_HEADS = 1024
MOST_BYTES = 4096
MOST_DIGITS = 5
_LENGTHS = (b"\r\ncontent-length: ", b"\r\nContent-Length: ")

_OF_CONNECTION = ("client", "extensions", "scheme", "server", "state")

Scope = dict[str, Any]


class _Found(NamedTuple):
    """Where in the bytes of a head the length's digits are, and where the body begins."""

    key: bytes
    length: bytes
    body_at: int


class Heads:
    """Those of one process."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Scope, int, Any]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, data: bytes) -> tuple[Scope, Any, bytes] | None:
        """Of one whole request, and nothing else, with a head that is known: what of its scope is not its connection's,
        what was remembered with it, and its body.
        """
        found = _take_apart(data)
        if found is None:
            return None
        known = self._known.get(found.key)
        if known is None or len(data) != found.body_at + int(found.length):
            return None
        scope, at, kept = known
        headers = scope["headers"].copy()
        headers[at] = (b"content-length", found.length)
        return {**scope, "headers": headers}, kept, data[found.body_at :]

    def remember(self, data: bytes, scope: Scope, kept: Any) -> None:
        """The scope that a parser made of the head of ``data``, and what is to be given back with it."""
        found = _take_apart(data)
        if found is None or len(data) != found.body_at + int(found.length):
            return
        lengths = [at for at, (name, _) in enumerate(scope["headers"]) if name == b"content-length"]
        if len(lengths) != 1 or scope["headers"][lengths[0]][1] != found.length:
            return
        if len(self._known) >= MOST_HEADS:
            self._known.clear()
        shared = {name: value for name, value in scope.items() if name not in _OF_CONNECTION}
        self._known[found.key] = (shared | {"headers": scope["headers"].copy()}, lengths[0], kept)


def _take_apart(data: bytes) -> _Found | None:
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
    return _Found(data[:begin] + data[stop:end], length, end + 4)
