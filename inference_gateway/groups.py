"""Service groups at the gateway: which member answers a request to the group's address (eas.md §4.5). Pure.

In the mode ``auto`` a member's share is the number of its instances that answer; in ``customized`` it is its weight,
where it has one. Members without such an instance are passed over.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from random import random
from typing import TypeVar

One = TypeVar("One")


@dataclass(frozen=True, slots=True)
class Member:
    """A service that takes requests of its group. ``weight`` is below 0 where none was given."""

    name: str
    weight: int


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """One look at one group, with those of its members that take its requests."""

    name: str
    workspace_id: int
    token: str | None = field(repr=False)  # None: it cannot be decrypted, so nobody has it
    is_weighted: bool
    members: tuple[Member, ...]

    def share_of(self, member: Member, ready_instances: int) -> int:
        """What a member gets, beside the shares of the others."""
        if ready_instances and self.is_weighted and member.weight >= 0:
            return member.weight
        return ready_instances


def choose(shares: Iterable[tuple[One, int]], point: float) -> One | None:
    """Whose share lies at ``point``, from 0 to below 1, of all of them in a row; None where all are 0."""
    held: Sequence[tuple[One, int]] = [(one, share) for one, share in shares if share > 0]
    left = point * sum(share for _, share in held)
    for one, share in held:
        left -= share
        if left < 0:
            return one
    return held[-1][0] if held else None  # of what floating point leaves over


def point_of(conversation_id: uuid.UUID | None) -> float:
    """Where among the shares a request falls: anywhere, but those of one conversation at one place."""
    if conversation_id is None:
        return random()  # noqa: S311
    return int.from_bytes(blake2b(conversation_id.bytes, digest_size=6).digest()) / 2**48
