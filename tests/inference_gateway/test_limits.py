"""What callers may use, counted in a real Valkey by several keepers at once, as by several server processes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import cast

import pytest
import redis
from django.conf import settings

from inference_gateway.accounts import Account, Accounts, Ending, LimitReachedError
from inference_gateway.chat import ChatError, Usage
from inference_gateway.directory import ServiceEntry
from inference_gateway.metering.exchange import ANSWER_SECONDS
from inference_gateway.metering.limits import USUAL_COMPLETION_TOKENS, LimitKeeper
from inference_gateway.metering.refusals import Reached, render_refusal
from inference_gateway.principals import Limits, Principal, Proof, Subject
from tests.ports import free_port

pytestmark = pytest.mark.backends

KEY = "key:1"


class Kept:
    """Usage as the tables would have it."""

    def __init__(self) -> None:
        self.used = (0, 0)
        self.asked: list[str] = []

    async def read(self, subject: str, now: datetime) -> tuple[int, int]:
        self.asked.append(subject)
        return self.used


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
async def process(kept: Kept) -> AsyncIterator[LimitKeeper]:
    keeper = LimitKeeper(settings.SLIPWAY_REDIS_URL, kept.read)
    yield keeper
    await keeper.close()


@pytest.fixture
async def other(kept: Kept) -> AsyncIterator[LimitKeeper]:
    keeper = LimitKeeper(settings.SLIPWAY_REDIS_URL, kept.read)
    yield keeper
    await keeper.close()


def request(limits: Limits, subject: str = KEY, *, most: int | None = 10, more: Iterable[Subject] = ()) -> Account:
    """A prompt of 5 tokens, by its length, and up to ``most`` of answer."""
    principal = Principal(Proof.API_KEY, 1, 1, 1, (Subject(subject, limits), *more))
    service = cast(ServiceEntry, None)  # limits do not depend on it
    return Account(service, principal, "chat", "1", measure=lambda: (0, 1), most_completion_tokens=most)


def finish(keeper: LimitKeeper, account: Account, tokens: int = 0) -> None:
    account.count(Usage(tokens, 0))
    account.ending = Ending.FINISHED
    account.settle()
    keeper.closed(account)


async def outcome(keeper: LimitKeeper, account: Account) -> str:
    try:
        await keeper.reserve(account)
    except ChatError as error:
        return error.code
    return "ok"


async def settled(keeper: LimitKeeper) -> None:
    """Until what was settled is counted: scripts are sent in the order in which they were asked for."""
    await outcome(keeper, request(Limits(), "key:999"))


async def test_so_many_a_minute_and_not_one_more_however_many_ask_at_once(
    process: LimitKeeper, other: LimitKeeper
) -> None:
    limits = Limits(requests_per_minute=100)
    told = await asyncio.gather(*(outcome(keeper, request(limits)) for _ in range(100) for keeper in (process, other)))
    assert Counter(told) == {"ok": 100, "rate_limit_exceeded": 100}


async def test_tokens_are_set_aside_before_and_settled_after(process: LimitKeeper, other: LimitKeeper) -> None:
    limits = Limits(tokens_per_minute=150)
    accounts = [request(limits) for _ in range(30)]
    told = await asyncio.gather(*(outcome(process, account) for account in accounts))
    assert told.count("ok") == 10  # of 15 tokens each
    assert await outcome(other, request(limits, most=1)) == "rate_limit_exceeded"
    for account, said in zip(accounts, told, strict=True):
        if said == "ok":
            finish(process, account, 7)
    await settled(process)
    told = await asyncio.gather(*(outcome(other, request(limits)) for _ in range(30)))
    assert told.count("ok") == (150 - 10 * 7) // 15


async def test_what_is_left_is_told_as_openai_tells_it(process: LimitKeeper) -> None:
    limits = Limits(requests_per_minute=3, tokens_per_minute=100)
    headers = await process.reserve(request(limits))
    assert {name: value for name, value in headers.items() if "reset" not in name} == {
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "2",
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "85",
    }
    assert 0 < float(headers["x-ratelimit-reset-requests"].removesuffix("s")) <= 60
    with pytest.raises(LimitReachedError) as refused:
        await process.reserve(request(limits, most=90))
    assert refused.value.headers["x-ratelimit-remaining-tokens"] == "85"
    assert 0 < int(refused.value.headers["retry-after"]) <= 60
    assert "95" in refused.value.message


async def test_more_than_the_limit_as_a_whole_is_told_so_and_not_to_try_again(process: LimitKeeper) -> None:
    with pytest.raises(LimitReachedError) as refused:
        await process.reserve(request(Limits(tokens_per_minute=100), most=96))
    assert "retry-after" not in refused.value.headers
    assert "max_tokens" in refused.value.message


async def test_who_names_no_max_tokens_gets_what_is_usual_or_what_is_left(process: LimitKeeper) -> None:
    limits = Limits(tokens_per_minute=2 * USUAL_COMPLETION_TOKENS)
    left = []
    for _ in range(2):
        headers = await process.reserve(request(limits, most=None))
        left.append(int(headers["x-ratelimit-remaining-tokens"]))
    assert left == [USUAL_COMPLETION_TOKENS - 5, 0]
    assert await outcome(process, request(limits, most=None)) == "rate_limit_exceeded"


async def test_parallel_requests_end_with_their_process(
    process: LimitKeeper, other: LimitKeeper, valkey: redis.Redis
) -> None:
    limits = Limits(parallel_requests=2)
    mine, its = request(limits), request(limits)
    assert [await outcome(process, mine), await outcome(other, its)] == ["ok", "ok"]
    assert await outcome(process, request(limits)) == "rate_limit_exceeded"
    finish(process, mine)
    again = request(limits)
    assert await outcome(process, again) == "ok"
    assert await outcome(process, request(limits)) == "rate_limit_exceeded"
    for key in valkey.scan_iter("slipway:limits:alive:*"):  # as after ten seconds of silence
        valkey.delete(key)
    assert await outcome(process, request(limits)) == "ok"  # the other one's is gone, its own is not
    assert await outcome(process, request(limits)) == "rate_limit_exceeded"


async def test_every_subject_s_limit_counts_and_a_refusal_takes_from_none(process: LimitKeeper) -> None:
    workspace = Subject("workspace:1", Limits(requests_per_minute=3))
    for number in (1, 2):
        assert await outcome(process, request(Limits(requests_per_minute=2), f"key:{number}", more=[workspace])) == "ok"
    assert await outcome(process, request(Limits(tokens_per_minute=1), "key:3", more=[workspace])) != "ok"
    assert await outcome(process, request(Limits(requests_per_minute=2), "key:1", more=[workspace])) == "ok"
    assert await outcome(process, request(Limits(requests_per_minute=2), "key:2", more=[workspace])) != "ok"


async def test_budgets_begin_with_the_usage_that_is_kept_and_survive_a_flush(
    process: LimitKeeper, kept: Kept, valkey: redis.Redis
) -> None:
    limits = Limits(tokens_per_day=1000, tokens_per_month=5000)
    kept.used = (970, 1970)
    accounts = [request(limits) for _ in range(5)]
    told = await asyncio.gather(*(outcome(process, account) for account in accounts))
    assert Counter(told) == {"ok": 2, "insufficient_quota": 3}
    for account, said in zip(accounts, told, strict=True):
        if said == "ok":
            finish(process, account, 10)
    kept.used = (990, 1990)
    valkey.flushdb()
    assert await outcome(process, request(limits)) == "insufficient_quota"
    assert await outcome(process, request(limits, most=5)) == "ok"
    assert set(kept.asked) == {KEY}


async def test_an_answer_beyond_what_was_set_aside_counts_whole(process: LimitKeeper) -> None:
    limits = Limits(tokens_per_day=100)
    account = request(limits)
    assert await outcome(process, account) == "ok"
    finish(process, account, 300)
    await settled(process)
    assert await outcome(process, request(limits, most=1)) == "insufficient_quota"


async def test_without_valkey_nobody_with_a_limit_is_let_in(kept: Kept) -> None:
    keeper = LimitKeeper(f"redis://127.0.0.1:{free_port()}/0", kept.read)
    accounts = Accounts()
    accounts.limits = keeper
    assert await outcome(keeper, request(Limits(requests_per_minute=1))) == "limits_unavailable"
    free = Account(cast(ServiceEntry, None), Principal(Proof.SERVICE_TOKEN, 1), "chat", "1")
    await accounts.reserve(free, lambda headers: None)  # who has none does not notice
    await keeper.close()


async def test_what_valkey_forgot_or_missed_is_put_right_by_what_is_held(
    process: LimitKeeper, valkey: redis.Redis
) -> None:
    limits = Limits(parallel_requests=2)
    first = request(limits)
    assert await outcome(process, first) == "ok"
    valkey.execute_command("CLIENT", "PAUSE", int(1500 * ANSWER_SECONDS), "ALL")
    assert await outcome(process, request(limits)) == "limits_unavailable"
    await asyncio.to_thread(valkey.ping)  # once it goes on
    # Whether or not the one that nobody waited for was counted: one is under way.
    assert await outcome(process, request(limits)) == "ok"
    assert await outcome(process, request(limits)) == "rate_limit_exceeded"


@pytest.mark.parametrize("turns", range(1, 40))
async def test_who_leaves_while_waiting_holds_nothing_whenever_that_is(process: LimitKeeper, turns: int) -> None:
    limits = Limits(parallel_requests=1)
    waiting = asyncio.ensure_future(outcome(process, request(limits)))
    for _ in range(turns):
        await asyncio.sleep(0)
        if turns > 10:
            await asyncio.sleep(0.00005)
    waiting.cancel()
    await asyncio.wait({waiting})
    if not waiting.cancelled():
        return  # it was let in before
    await settled(process)
    assert await outcome(process, request(limits)) == "ok"


@pytest.mark.parametrize(
    ("limit", "seconds"), [("tokens_per_day", 3600), ("tokens_per_month", 3600), ("tokens_per_minute", 13)]
)
def test_when_to_ask_again(limit: str, seconds: int) -> None:
    now = datetime(2026, 12, 31, 23, 0, tzinfo=UTC)
    error = render_refusal(Reached(KEY, limit, 10, 9, 12_001, 0), now, 5)
    assert error.headers["retry-after"] == str(seconds)
