"""How far a container's program is with bytes, as its log says it (``deployments.bytes_done``). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from deployments.bytes_done import BytesDone, read_line

#: A rate over less time says little: what is copied first may lie in a cache.
LEAST_NANOSECONDS = 2 * 10**9


@dataclass(frozen=True, slots=True)
class Counted:
    """The newest that was said, and the first, for the rate between. Times are of the lines, in nanoseconds."""

    container_id: str
    done: int
    total: int
    at: int
    first_done: int
    first_at: int

    @property
    def bytes_done(self) -> BytesDone:
        return BytesDone(self.done, self.total)

    @property
    def bytes_per_second(self) -> float | None:
        """None while that cannot be said."""
        nanoseconds = self.at - self.first_at
        if nanoseconds < LEAST_NANOSECONDS:
            return None
        return (self.done - self.first_done) * 1e9 / nanoseconds

    def as_json(self) -> dict[str, Any]:
        """For a JSON column; ``read_counted`` is the way back."""
        return asdict(self)


def count(text: str, container_id: str, at: int, before: Counted | None) -> Counted | None:
    """What is known after this line of the container's log."""
    said = read_line(text)
    if said is None:
        return before
    if before is None or before.container_id != container_id or before.total != said.total or said.done < before.done:
        return Counted(container_id, said.done, said.total, at, said.done, at)
    return Counted(container_id, said.done, said.total, at, before.first_done, before.first_at)


def read_counted(kept: Mapping[str, Any] | None) -> Counted | None:
    """None where nothing was said, or another version of Slipway wrote it otherwise."""
    try:
        return Counted(**kept) if kept else None
    except TypeError:
        return None
