"""Questions that begin alike go to one instance, within its share."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections import Counter

import pytest

from console.environment import REPOSITORY
from inference_gateway.placing import BOUND, PREFIX_CHARACTERS, choose, prefix_of

EIGHT = tuple(f"chat-r1-{number}" for number in range(8))
PREFIXES = [f"You are number {number}." for number in range(4000)]


def idle(instance: str) -> int:
    return 0


def test_a_beginning_always_goes_to_the_same_instance_and_all_instances_get_some() -> None:
    first = [choose(prefix, EIGHT, idle) for prefix in PREFIXES]
    assert [choose(prefix, EIGHT, idle) for prefix in PREFIXES] == first
    shares = Counter(first)
    assert len(shares) == len(EIGHT)
    assert max(shares.values()) < 1.5 * len(PREFIXES) / len(EIGHT)


def test_every_process_chooses_alike() -> None:
    words = "from inference_gateway.placing import choose; import sys; print(choose('hi', tuple(sys.argv[1:]), len))"
    told = {
        subprocess.run(
            [sys.executable, "-c", words, "a1", "b2", "c3"],
            cwd=REPOSITORY,
            env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1


@pytest.mark.parametrize("change", ["one more", "one less"])
def test_few_beginnings_move_when_an_instance_comes_or_goes(change: str) -> None:
    after = (*EIGHT, "chat-r1-new") if change == "one more" else EIGHT[:-1]
    before = {prefix: choose(prefix, EIGHT, idle) for prefix in PREFIXES}
    moved = [prefix for prefix in PREFIXES if choose(prefix, after, idle) != before[prefix]]
    assert len(moved) < 1.5 * len(PREFIXES) / len(EIGHT)
    if change == "one less":
        assert {before[prefix] for prefix in moved} == {EIGHT[-1]}


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_no_instance_gets_more_than_its_share_of_one_beginning(count: int) -> None:
    instances = EIGHT[:count]
    under_way: Counter[str] = Counter()
    for number in range(1, 200):
        under_way[choose("the same for all", instances, under_way.__getitem__)] += 1
        assert max(under_way.values()) <= math.ceil(BOUND * number / count)


def test_an_instance_that_is_full_is_stood_in_for_until_it_has_room() -> None:
    own = choose("hi", EIGHT, idle)
    assert choose("hi", EIGHT, lambda one: 40 if one == own else 1) != own
    assert choose("hi", EIGHT, lambda one: 1) == own


def test_a_dialogue_begins_alike_however_far_it_has_come() -> None:
    system = {"role": "system", "content": "Be short."}
    question = {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "image_url"}]}
    later = [{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "And now?"}]
    assert prefix_of([system, question]) == prefix_of([system, question, *later]) == "Be short.\nHello\n"
    assert prefix_of([system, later[1]]) != prefix_of([system, question])


def test_of_a_long_beginning_a_part_counts() -> None:
    long = {"role": "user", "content": "x" * 100_000}
    assert len(prefix_of([long])) == PREFIX_CHARACTERS
    assert prefix_of([]) == ""
    assert prefix_of([{"role": "assistant", "content": None}]) == ""
