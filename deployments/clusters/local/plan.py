"""What to do next for one service: a function of what is wanted and what is there, without I/O.

An update follows Kubernetes' rolling update: at most ``surge`` instances more than wanted, and never fewer
than wanted minus ``unavailable`` that answer, however the new ones fare.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wanted:
    """The part of a workload that a plan depends on."""

    revision: int
    restart_token: str
    instances: int
    surge: int
    unavailable: int
    ready: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Existing:
    """One instance that has not ended. ``is_kept``: its shim lives."""

    name: str
    revision: int
    restart_token: str
    created_at: float
    is_stopping: bool = False
    is_kept: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """One step. ``revive`` and ``bury`` are about instances whose shim is dead."""

    start: int = 0
    retire: tuple[str, ...] = ()
    revive: tuple[str, ...] = ()
    bury: tuple[str, ...] = ()


def plan_step(wanted: Wanted, existing: Iterable[Existing]) -> Plan:
    """The next step toward ``wanted``; an empty plan when there is nothing to do now."""
    everything = sorted(existing, key=lambda instance: (instance.created_at, instance.name))
    staying = [instance for instance in everything if not instance.is_stopping]
    current = [
        instance
        for instance in staying
        if (instance.revision, instance.restart_token) == (wanted.revision, wanted.restart_token)
    ]
    old = [instance for instance in staying if instance not in current]
    retired = surplus(wanted, current)
    current = [instance for instance in current if instance not in retired]
    retired += outdated(wanted, current, old)
    left = [instance for instance in staying if instance not in retired]
    missing = wanted.instances - len(current)
    room = wanted.instances + wanted.surge - len(left)
    return Plan(
        start=max(0, missing if len(left) == len(current) else min(missing, room)),
        retire=tuple(instance.name for instance in retired),
        revive=tuple(instance.name for instance in left if not instance.is_kept),
        bury=tuple(instance.name for instance in everything if instance.is_stopping and not instance.is_kept),
    )


def surplus(wanted: Wanted, current: list[Existing]) -> list[Existing]:
    """Too many of the wanted revision: those go first that do not answer, then the newest."""
    by_worth = sorted(current, key=lambda instance: (instance.name in wanted.ready, -instance.created_at))
    return by_worth[: max(0, len(current) - wanted.instances)]


def outdated(wanted: Wanted, current: list[Existing], old: list[Existing]) -> list[Existing]:
    """Instances of other revisions that may go now (the two rules of Kubernetes' deployment controller)."""
    least = max(0, wanted.instances - wanted.unavailable)
    new_unready = sum(instance.name not in wanted.ready for instance in current)
    # Instances that do not answer are no loss, yet each new one that does not answer may need what an old
    # one, only not seen to answer so far, gives.
    may_go = max(0, len(current) + len(old) - least - new_unready)
    silent = [instance for instance in reversed(old) if instance.name not in wanted.ready][:may_go]
    answering = [instance for instance in old if instance.name in wanted.ready]
    new_ready = len(current) - new_unready
    spare = max(0, min(new_ready + len(answering) - least, may_go - len(silent)))
    return silent + answering[:spare]
