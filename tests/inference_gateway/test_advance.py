"""Limits with advances are as exact as without: several keepers on one Valkey, as several server processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from django.conf import settings

from console.supervisor.parts import render_death_pact
from console.supervisor.valkey import render_valkey_command
from inference_gateway.accounts import Account
from inference_gateway.metering.limits import LimitKeeper
from inference_gateway.principals import Limits, Subject
from tests.inference_gateway.test_limits import KEY, Kept, finish, outcome, request, settled
from tests.shared_backends import answers
from tests.waiting import wait_until, wait_until_async

pytestmark = pytest.mark.backends

#: By the length of their prompt and ``most``, see ``request``.
TOKENS = 15


@pytest.fixture
async def keepers() -> AsyncIterator[list[LimitKeeper]]:
    kept = Kept()
    three = [LimitKeeper(settings.SLIPWAY_REDIS_URL, kept.read) for _ in range(3)]
    yield three
    for keeper in three:
        await keeper.close()


class OwnValkey:
    """One that may be stopped, killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "v.sock"
        self.url = f"unix://{self._socket}"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            render_valkey_command(self._socket),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=render_death_pact(os.getpid()),  # noqa: PLW1509 - no threads have been started yet
        )
        with redis.Redis.from_url(self.url) as client:
            wait_until(lambda: answers(client), "Valkey answers", 10)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnValkey]:
    valkey = OwnValkey(tmp_path_factory.mktemp("v"))
    yield valkey
    valkey.kill()


async def ask(keeper: LimitKeeper, limits: Limits, count: int, **more: Any) -> list[Account]:
    """Those that were let in, of so many one after the other."""
    accounts = [request(limits, **more) for _ in range(count)]
    return [account for account in accounts if await outcome(keeper, account) == "ok"]


async def ask_and_tell(keeper: LimitKeeper, limits: Limits, count: int) -> list[Account]:
    """``ask``, until Valkey has been told all of it and answered."""
    let_in = await ask(keeper, limits, count)
    await settled(keeper)
    return let_in


def held(valkey: redis.Redis, kinds: str = "ntua", subject: str = KEY) -> int:
    """What all processes hold of a subject, as Valkey counts it."""
    fields = cast(dict[bytes, bytes], valkey.hgetall(f"slipway:limits:{subject}:held"))
    return sum(int(value) for name, value in fields.items() if name.decode()[-1] in kinds)


async def all_told(valkey: redis.Redis, kinds: str = "ntua", subject: str = KEY) -> None:
    async def is_told() -> bool:
        return held(valkey, kinds, subject) == 0

    await wait_until_async(is_told, "nothing is held", 10)


class Ledger:
    """What is used and under way, counted beside the keepers."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.admitted = self.under_way = self.reserved = self.used = 0

    def check(self, kind: str) -> None:
        counted = {"requests_per_minute": self.admitted, "parallel_requests": self.under_way}
        assert counted.get(kind, self.used + self.reserved) <= self.limit

    async def roam(self, keepers: list[LimitKeeper], kind: str, chance: random.Random) -> None:
        """Ask one or another keeper, again and again, for more or less, and take more or less time."""
        for _ in range(40):
            most, keeper = chance.choice((1, 10, 60, 200)), chance.choice(keepers)
            account = request(Limits(**{kind: self.limit}), most=most)
            if await outcome(keeper, account) != "ok":
                await asyncio.sleep(chance.random() * 0.01)
                continue
            self.admitted, self.under_way, self.reserved = (
                self.admitted + 1,
                self.under_way + 1,
                self.reserved + 5 + most,
            )
            self.check(kind)
            await asyncio.sleep(chance.choice((0, 0, 0.001, 0.01)))
            used = chance.randint(0, 5 + most)
            self.under_way, self.reserved, self.used = self.under_way - 1, self.reserved - 5 - most, self.used + used
            finish(keeper, account, used)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        ("requests_per_minute", 300),
        ("parallel_requests", 16),
        ("tokens_per_minute", 20_000),
        ("tokens_per_day", 20_000),
        ("tokens_per_month", 20_000),
    ],
)
async def test_never_over_a_limit_and_all_of_it_over_three_processes(
    keepers: list[LimitKeeper], valkey: redis.Redis, kind: str, limit: int, seed: int
) -> None:
    ledger = Ledger(limit)
    await asyncio.gather(*(ledger.roam(keepers, kind, random.Random(seed * 100 + n)) for n in range(24)))
    assert ledger.admitted > 200
    await all_told(valkey, "nt")
    room = {"requests_per_minute": limit - ledger.admitted, "parallel_requests": limit}
    left = room.get(kind, (limit - ledger.used) // TOKENS)
    asked = (outcome(keeper, request(Limits(**{kind: limit}))) for _ in range(left // 3 + 5) for keeper in keepers)
    assert (await asyncio.gather(*asked)).count("ok") == left


async def test_hardly_any_request_asks_valkey(keepers: list[LimitKeeper], valkey: redis.Redis) -> None:
    limits = Limits(1_000_000, 1_000_000_000, 10_000, 1_000_000_000, 1_000_000_000)
    valkey.config_resetstat()
    for _ in range(500):
        for account in await ask(keepers[0], limits, 1):
            finish(keepers[0], account, 7)
    runs = valkey.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert runs < 100


async def test_what_is_left_is_told_request_by_request(keepers: list[LimitKeeper]) -> None:
    limits, told = Limits(requests_per_minute=1000, tokens_per_minute=100_000), []
    for _ in range(100):
        headers = await keepers[0].reserve(request(limits))
        told.append((headers["x-ratelimit-remaining-requests"], headers["x-ratelimit-remaining-tokens"]))
    assert told == [(str(1000 - n), str(100_000 - TOKENS * n)) for n in range(1, 101)]


async def test_nobody_is_refused_for_what_another_holds_in_advance(
    keepers: list[LimitKeeper], valkey: redis.Redis
) -> None:
    limits = Limits(requests_per_minute=400)
    assert len(await ask(keepers[0], limits, 50)) == len(await ask(keepers[1], limits, 50)) == 50
    assert held(valkey, "u") > 0
    assert len(await ask(keepers[2], limits, 310)) == 300


async def test_where_there_is_room_again_there_are_advances_again(
    keepers: list[LimitKeeper], valkey: redis.Redis
) -> None:
    limits = Limits(parallel_requests=100)
    for account in await ask(keepers[0], limits, 101):
        finish(keepers[0], account)

    async def is_ahead() -> bool:
        for account in await ask(keepers[0], limits, 3):
            finish(keepers[0], account)
        return held(valkey, "u") > 0

    await wait_until_async(is_ahead, "requests do not ask any more", 10)


async def test_one_large_request_gets_all_that_is_left(keepers: list[LimitKeeper], valkey: redis.Redis) -> None:
    limits = Limits(tokens_per_day=100_000)
    await ask(keepers[0], limits, 30)
    await ask(keepers[1], limits, 30)
    assert held(valkey, "a") > 0
    left = 100_000 - 60 * TOKENS
    assert await outcome(keepers[2], request(limits, most=left - 5 + 1)) == "insufficient_quota"
    assert await outcome(keepers[2], request(limits, most=left - 5)) == "ok"


async def test_an_answer_is_not_cut_for_what_another_holds_in_advance(
    keepers: list[LimitKeeper], valkey: redis.Redis
) -> None:
    limits = Limits(tokens_per_day=5000)
    await ask(keepers[0], limits, 20)
    assert held(valkey, "a") > 0
    assert await outcome(keepers[1], request(limits, most=5000 - 20 * TOKENS - 1000 - 5)) == "ok"
    headers = await keepers[1].reserve(request(limits, most=None))
    assert headers["x-ratelimit-remaining-tokens"] == "0"
    await all_told(valkey, "a")
    assert held(valkey, "t") == 5000


async def test_what_nobody_uses_is_given_back(keepers: list[LimitKeeper], valkey: redis.Redis) -> None:
    under_way = await ask(keepers[0], Limits(requests_per_minute=1000, parallel_requests=1000), 50)
    assert held(valkey, "u") > 0
    await all_told(valkey, "ua")
    assert held(valkey, "n") == len(under_way) == 50
    assert int(valkey.hget(f"slipway:limits:{KEY}:minute", "r") or 0) == 50


async def test_a_process_that_stands_still_keeps_others_out_until_it_counts_as_dead(
    keepers: list[LimitKeeper], valkey: redis.Redis
) -> None:
    limits = Limits(parallel_requests=200)
    loop, dead = asyncio.new_event_loop(), LimitKeeper(settings.SLIPWAY_REDIS_URL, Kept().read)
    await asyncio.to_thread(loop.run_until_complete, ask_and_tell(dead, limits, 30))  # and then its loop turns no more
    in_advance = held(valkey, "u")
    assert in_advance > 0
    mine = 200 - 30 - in_advance
    assert len(await ask(keepers[0], limits, mine + 1)) == mine
    for key in valkey.scan_iter("slipway:limits:alive:*"):  # as after ten seconds of silence
        valkey.delete(key)
    assert len(await ask(keepers[0], limits, 1)) == 1
    assert len(await ask(keepers[1], limits, 200)) == 200 - mine - 1
    await asyncio.to_thread(loop.run_until_complete, dead.close())
    loop.close()


async def test_a_process_that_stood_still_uses_nothing_of_its_old_advance(
    keepers: list[LimitKeeper], valkey: redis.Redis
) -> None:
    limits = Limits(requests_per_minute=400)
    loop, late = asyncio.new_event_loop(), LimitKeeper(settings.SLIPWAY_REDIS_URL, Kept().read)
    before = await asyncio.to_thread(loop.run_until_complete, ask_and_tell(late, limits, 20))
    assert held(valkey, "u") > 0
    for key in valkey.scan_iter("slipway:limits:alive:*"):
        valkey.delete(key)
    assert len(await ask(keepers[0], limits, 400)) == 380
    await asyncio.sleep(1.1)
    after = await asyncio.to_thread(loop.run_until_complete, ask(late, limits, 20))
    assert (len(before), after) == (20, [])
    await asyncio.to_thread(loop.run_until_complete, late.close())
    loop.close()


async def test_a_limit_that_changes_counts_at_once(keepers: list[LimitKeeper], valkey: redis.Redis) -> None:
    assert len(await ask(keepers[0], Limits(requests_per_minute=1000), 50)) == 50
    assert held(valkey, "u") > 0
    assert await ask(keepers[0], Limits(requests_per_minute=50), 5) == []
    assert await ask(keepers[1], Limits(requests_per_minute=50), 5) == []
    assert len(await ask(keepers[0], Limits(requests_per_minute=60), 20)) == 10
    assert len(await ask(keepers[0], Limits(parallel_requests=70), 20)) == 10


async def test_a_minute_that_turns_lets_as_many_in_as_the_first(
    keepers: list[LimitKeeper], valkey: redis.Redis
) -> None:
    limits, minute = Limits(requests_per_minute=100), f"slipway:limits:{KEY}:minute"
    assert len(await ask(keepers[0], limits, 1)) == 1
    valkey.pexpire(minute, 3000)
    assert len(await ask(keepers[0], limits, 39)) == 39
    assert len(await ask(keepers[1], limits, 40)) == 40
    assert len(await ask(keepers[2], limits, 30)) == 20

    async def is_over() -> bool:
        return not valkey.exists(minute)

    await wait_until_async(is_over, "the minute is over", 10)
    asked = (outcome(keeper, request(limits)) for _ in range(50) for keeper in keepers)
    assert (await asyncio.gather(*asked)).count("ok") == 100


async def test_what_was_given_in_one_minute_does_not_count_for_the_next(
    keepers: list[LimitKeeper], valkey: redis.Redis
) -> None:
    limits, minute = Limits(requests_per_minute=100), f"slipway:limits:{KEY}:minute"
    assert len(await ask(keepers[0], limits, 1)) == 1
    valkey.pexpire(minute, 600)
    first = now = valkey.hget(minute, "s")
    while now == first:
        assert len(await ask(keepers[0], limits, 1)) == 1
        await asyncio.sleep(0.01)
        now = valkey.hget(minute, "s")
    begun = int(now is not None)  # the last one may have begun the next minute
    assert len(await ask(keepers[0], limits, 40)) == 40
    asked = (outcome(keeper, request(limits)) for _ in range(50) for keeper in keepers)
    assert (await asyncio.gather(*asked)).count("ok") == 60 - begun


async def test_nothing_is_given_in_advance_while_somebody_is_refused(
    keepers: list[LimitKeeper], valkey: redis.Redis
) -> None:
    limits, tight = Limits(tokens_per_day=100_000), f"slipway:limits:{KEY}:tight"
    assert len(await ask(keepers[0], limits, 1)) == 1
    assert await outcome(keepers[1], request(limits, most=99_990)) == "insufficient_quota"
    assert 0 < int(valkey.pttl(tight)) <= 1000
    valkey.set(tight, 1)  # it lasts as long as this test needs
    assert len(await ask(keepers[0], limits, 50)) == len(await ask(keepers[2], limits, 50)) == 50
    assert held(valkey, "ua") == 0
    valkey.delete(tight)

    async def is_ahead() -> bool:
        return bool(await ask(keepers[2], limits, 3)) and held(valkey, "u") > 0

    await wait_until_async(is_ahead, "there are advances again", 10)


async def test_subjects_that_callers_share_count_for_all_of_them(
    keepers: list[LimitKeeper], valkey: redis.Redis
) -> None:
    workspace = Subject("workspace:1", Limits(requests_per_minute=500, parallel_requests=400))
    told = await asyncio.gather(
        *(
            outcome(keeper, request(Limits(requests_per_minute=90), f"key:{number}", more=[workspace]))
            for _ in range(50)
            for number in range(5)
            for keeper in keepers
        )
    )
    assert told.count("ok") == 400
    for number in range(5):
        assert held(valkey, "n", f"key:{number}") - held(valkey, "u", f"key:{number}") <= 90


async def test_without_valkey_an_advance_lasts_a_second(own_valkey: OwnValkey) -> None:
    limits = Limits(requests_per_minute=1_000_000)
    keeper = LimitKeeper(own_valkey.url, Kept().read)
    assert len(await ask(keeper, limits, 50)) == 50
    own_valkey.process.send_signal(signal.SIGSTOP)

    async def is_closed() -> bool:
        return await outcome(keeper, request(limits)) == "limits_unavailable"

    try:
        await wait_until_async(is_closed, "nobody is let in", 6)
        assert await outcome(keeper, request(limits)) == "limits_unavailable"
    finally:
        own_valkey.process.send_signal(signal.SIGCONT)

    async def is_open() -> bool:
        return await outcome(keeper, request(limits)) == "ok"

    await wait_until_async(is_open, "they are let in again", 10)
    await keeper.close()


async def test_a_valkey_that_begins_anew_knows_what_is_under_way(own_valkey: OwnValkey) -> None:
    limits = Limits(parallel_requests=200)
    keeper, other = (LimitKeeper(own_valkey.url, Kept().read) for _ in range(2))
    keeping = [asyncio.create_task(one.keep()) for one in (keeper, other)]
    mine, its = await ask(keeper, limits, 40), await ask(other, limits, 40)
    assert len(mine) == len(its) == 40
    own_valkey.kill()
    own_valkey.start()
    with redis.Redis.from_url(own_valkey.url) as valkey:

        async def is_repaired() -> bool:
            return held(valkey, "n") - held(valkey, "u") == 80

        await wait_until_async(is_repaired, "both have said what they hold", 20)
        for account in mine[:10]:
            finish(keeper, account)
        assert len(await ask(keeper, limits, 200)) == 130
        assert await ask(other, limits, 5) == []
    for task in keeping:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await keeper.close()
    await other.close()
