"""A log's lines as the kubelet sends them, with the time each was written. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from deployments.clusters.local.log_writer import pieces

#: RFC 3339 with nanoseconds; a node writes its own zone.
STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
#: What the kubelet writes instead of a log that it does not have; it is no program's line.
NO_LOG = re.compile(rb"unable to retrieve container logs for |failed to (open|watch|try resolving) ")
NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """One line. ``written_at`` is in nanoseconds since 1970, which is how lines are told apart."""

    written_at: int
    text: str

    def kept(self) -> list[str]:
        """As lines of a log (``base.LogPage``): with the time in UTC, bounded, without carriage returns."""
        moment = datetime.fromtimestamp(self.written_at // NANOSECONDS, UTC)
        stamp = f"{moment:%Y-%m-%dT%H:%M:%S}.{self.written_at % NANOSECONDS // 1_000_000:03d}Z"
        return [f"{stamp} {piece}" for piece in pieces(self.text)]


def read_line(raw: bytes, last_written_at: int) -> Line | None:
    """A line of an answer; None for the kubelet's own words. What has no time was written right after the last."""
    stamp, _, rest = raw.partition(b" ")
    match = STAMP.fullmatch(stamp)
    if match is None:
        return None if not raw or NO_LOG.match(raw) else Line(last_written_at, decoded(raw))
    try:
        moment = datetime.fromisoformat((match[1] + match[3]).decode())
    except ValueError:
        return Line(last_written_at, decoded(raw))
    seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    return Line(seconds * NANOSECONDS + int((match[2] or b"0").ljust(9, b"0")), decoded(rest))


def decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace").rstrip("\r")


def since_time(written_at: int) -> str:
    """What to ask for to get everything from there on; the kubelet takes whole seconds."""
    moment = datetime.fromtimestamp(max(written_at // NANOSECONDS - 1, 0), UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
