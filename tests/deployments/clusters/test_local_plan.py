"""The rollout plan, case by case: what is there → the next step."""

from __future__ import annotations

import pytest

from deployments.clusters.local.plan import Existing, Plan, Wanted, plan_step

READY, SILENT, STOPPING, DEAD = "ready", "silent", "stopping", "dead"


def instances(*lines: str) -> tuple[list[Existing], frozenset[str]]:
    """``name revision condition`` lines, the oldest first."""
    found, ready = [], set()
    for created_at, line in enumerate(lines):
        name, revision, condition = line.split()
        found.append(
            Existing(
                name=name,
                revision=int(revision),
                restart_token="",
                created_at=float(created_at),
                is_stopping=condition == STOPPING,
                is_kept=condition != DEAD,
            )
        )
        if condition == READY:
            ready.add(name)
    return found, frozenset(ready)


CASES = {
    "nothing there": ([], (3, 1, 0), Plan(start=3)),
    "all there": (["a 2 ready", "b 2 silent"], (2, 1, 0), Plan()),
    "one missing": (["a 2 ready"], (2, 1, 0), Plan(start=1)),
    "a stopping one does not count": (["a 2 stopping"], (1, 1, 0), Plan(start=1)),
    "none wanted": (["a 2 ready", "b 1 ready"], (0, 0, 0), Plan(retire=("a", "b"))),
    "none wanted, one stops": (["a 2 ready", "b 2 stopping"], (0, 1, 0), Plan(retire=("a",))),
    "too many: the newest goes": (["a 2 ready", "b 2 ready"], (1, 1, 0), Plan(retire=("b",))),
    "too many: the silent goes first": (["a 2 silent", "b 2 ready"], (1, 1, 0), Plan(retire=("a",))),
    "a dead one is brought back": (["a 2 dead"], (1, 1, 0), Plan(revive=("a",))),
    "a dead one too many": (["a 2 dead", "b 2 ready"], (1, 1, 0), Plan(retire=("a",))),
    "update: one more first": (["a 1 ready"], (1, 1, 0), Plan(start=1)),
    "update: wait for the new one": (["a 1 ready", "b 2 silent"], (1, 1, 0), Plan()),
    "update: the new one answers": (["a 1 ready", "b 2 ready"], (1, 1, 0), Plan(retire=("a",))),
    "update: the rest of several": (
        ["a 1 ready", "b 1 ready", "c 1 ready", "d 2 ready"], (3, 1, 0), Plan(start=1, retire=("a",)),
    ),
    "update: one may be missing, none may be more": (
        ["a 1 ready", "b 1 ready"], (2, 0, 1), Plan(start=1, retire=("a",)),
    ),
    "update: the failing new one costs nothing more": (
        ["a 1 ready", "b 1 ready", "c 2 silent"], (2, 1, 0), Plan(),
    ),
    "update: one may be missing, and is": (["a 1 ready", "c 2 silent"], (2, 0, 1), Plan()),
    "update of an update: the failed one in between goes": (
        ["a 1 ready", "b 2 silent"], (1, 1, 0, 3), Plan(start=1, retire=("b",)),
    ),
    "update: nobody is known to answer yet": (["a 1 silent", "b 2 silent"], (1, 1, 0), Plan()),
    "update of an update: nobody is known to answer yet": (
        ["a 1 silent", "b 2 silent"], (1, 1, 0, 3), Plan(start=1, retire=("b",)),
    ),
    "update and scale down": (["a 1 ready", "b 1 ready", "c 1 ready"], (1, 1, 0), Plan(start=1, retire=("a", "b"))),
    "update and scale up": (["a 1 ready"], (3, 1, 0), Plan(start=3)),
    "update: a dead old one is brought back while it is needed": (
        ["a 1 dead", "b 2 silent"], (1, 1, 0), Plan(revive=("a",)),
    ),
    "a stopping one whose shim died is cleared up": (["a 2 stopping-dead"], (0, 1, 0), Plan(bury=("a",))),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_next_step(case: str) -> None:
    lines, limits, expected = CASES[case]
    found, ready = instances(*[line.replace("stopping-dead", STOPPING) for line in lines])
    if "stopping-dead" in " ".join(lines):
        found = [Existing(one.name, one.revision, "", one.created_at, True, False) for one in found]
    count, surge, unavailable, *revision = limits
    wanted = Wanted((revision or [2])[0], "", count, surge, unavailable, ready)

    assert plan_step(wanted, found) == expected


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize(("surge", "unavailable"), [(1, 0), (0, 1), (2, 0), (1, 1), (7, 0)])
def test_an_update_always_arrives_within_its_limits(count: int, surge: int, unavailable: int) -> None:
    """Every step is carried out and every new instance answers; the limits hold at each moment."""
    there = [Existing(f"old{number}", 1, "", float(number)) for number in range(count)]
    ready = frozenset(one.name for one in there)
    for step in range(10 * count):
        plan = plan_step(Wanted(2, "", count, surge, unavailable, ready), there)
        if plan == Plan():
            break
        there = [one for one in there if one.name not in plan.retire]
        assert len(there) >= count - unavailable
        there += [Existing(f"new{step}-{number}", 2, "", 100.0 + step) for number in range(plan.start)]
        assert len(there) <= count + surge
        ready = frozenset(one.name for one in there)

    assert [one.revision for one in there] == [2] * count


def test_another_restart_token_counts_as_another_revision() -> None:
    there = [Existing("a", 2, "before", 0.0)]

    assert plan_step(Wanted(2, "after", 1, 1, 0, frozenset({"a"})), there) == Plan(start=1)


def test_a_plan_starts_at_once_what_a_retired_instance_makes_room_for() -> None:
    there = [Existing("a", 1, "", 0.0)]

    assert plan_step(Wanted(2, "", 1, 0, 1, frozenset({"a"})), there) == Plan(start=1, retire=("a",))
