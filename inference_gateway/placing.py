"""Which instance has most likely seen how a question begins: consistent hashing with bounded load.

An engine keeps what it computed of a prompt, and a question that begins alike costs it little. So questions that begin
alike go to one instance, as long as that has no more than its share of the work (Mirrokni, Thorup, Zadimoghaddam:
Consistent Hashing with Bounded Loads; KubeAI's figures in gateway.md §3). Where instances come or go, few questions
change theirs. Pure.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

#: How far over an equal share of what is under way an instance may be.
BOUND = 1.25
#: Points of an instance on the ring: with so many the shares of instances differ by a few percent.
POINTS = 128
#: So much of the instructions, and of the first question, counts as the beginning.
PREFIX_CHARACTERS = 1024


def prefix_of(messages: Iterable[Mapping[str, Any]]) -> str:
    """How a dialogue begins: its instructions and its first question, which stay as it goes on."""
    parts = []
    for message in messages:
        parts.append(text_of(message.get("content"))[:PREFIX_CHARACTERS])
        if message.get("role") == "user":
            break
    return "\n".join(parts)


def text_of(content: Any) -> str:
    """The text of a message's content, which may be a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))


def choose(prefix: str, instances: tuple[str, ...], load: Callable[[str], int]) -> str:
    """The first instance on the ring behind ``prefix`` that may take one more. ``load``: what it has under way."""
    share = math.ceil(BOUND * (sum(map(load, instances)) + 1) / len(instances))
    return next(one for one in _walk(prefix, instances) if load(one) < share)


def _walk(prefix: str, instances: tuple[str, ...]) -> Iterator[str]:
    """Every instance once, in the order of the ring from the prefix's place."""
    points, owners = _make_ring(instances)
    start = bisect(points, _hash(prefix))
    seen = set()
    for step in range(len(points)):
        owner = owners[(start + step) % len(points)]
        if owner not in seen:
            seen.add(owner)
            yield owner


@lru_cache(maxsize=256)
def _make_ring(instances: tuple[str, ...]) -> tuple[Sequence[int], Sequence[str]]:
    ring = sorted((_hash(f"{instance}\n{number}"), instance) for instance in instances for number in range(POINTS))
    return [point for point, _ in ring], [owner for _, owner in ring]


def _hash(text: str) -> int:
    """The same in every process, as Python's own is not."""
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())
