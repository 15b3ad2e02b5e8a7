"""Headers of an answer as the lines that go out, each with its end, and as names and values. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def render_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def read_lines(lines: bytes) -> dict[str, str]:
    """Of lines that ``render_lines`` or somebody like it has made."""
    headers = {}
    for line in lines.decode("ascii").split("\r\n")[:-1]:
        name, _, value = line.partition(": ")
        headers[name] = value
    return headers
