"""What each request took, whatever way it ends: scripted engines, one listener."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import cast

import pytest

from inference_gateway.accounted_engine import AccountedEngine
from inference_gateway.accounts import Account, Accounts, Ending, Payer, Size
from inference_gateway.carried_counts import Tail
from inference_gateway.chat import ChatError, ChatRequest, Usage
from inference_gateway.directory import ServiceEntry
from inference_gateway.principals import Limits, Principal, Proof, Subject
from tests.inference_gateway.scripted import BROKEN, GREETING, ScriptedEngine

PAYER = Payer(Principal(Proof.SERVICE_TOKEN, 1), "chat", "request-1")
QUESTION = ChatRequest(messages=({"role": "user", "content": "x" * 400},), max_tokens=9, n=2)


class Ledger:
    """Keeps every account that was closed."""

    def __init__(self) -> None:
        self.accounts: list[Account] = []
        self.under_way = 0

    def opened(self, account: Account) -> None:
        self.under_way += 1

    def closed(self, account: Account) -> None:
        self.under_way -= 1
        self.accounts.append(account)


def account_for(engine: ScriptedEngine, payer: Payer = PAYER) -> tuple[AccountedEngine, Accounts, Ledger]:
    accounts, ledger = Accounts(), Ledger()
    accounts.listen(ledger.closed, ledger.opened)
    # No engine here asks which service it is.
    return AccountedEngine(engine, accounts, cast(ServiceEntry, None), payer), accounts, ledger


async def listen(engine: AccountedEngine) -> None:
    async with aclosing(engine.generate(QUESTION)) as events:
        async for _ in events:
            pass


async def test_a_whole_answer_is_counted_by_its_engine() -> None:
    engine, _, ledger = account_for(ScriptedEngine())
    async with aclosing(engine.generate(QUESTION)) as events:
        assert [event async for event in events] == list(GREETING)
    (account,) = ledger.accounts
    assert (account.ending, account.status, account.used) == (Ending.FINISHED, 200, (7, 5))
    assert (account.request_id, account.most_completion_tokens) == ("request-1", 18)
    assert account.first_token_at is not None
    assert account.began_at <= account.first_token_at <= account.ended_at
    assert ledger.under_way == 0


async def test_a_caller_who_leaves_is_499_with_the_tokens_so_far() -> None:
    scripted = ScriptedEngine(GREETING[:3], hangs=True)
    engine, _, ledger = account_for(scripted)
    listening = asyncio.ensure_future(listen(engine))
    await scripted.is_waiting.wait()
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    (account,) = ledger.accounts
    assert (account.ending, account.status, account.used) == (Ending.STOPPED, 499, (105, 3))
    assert not account.is_counted


async def test_an_answer_that_breaks_off_counts_and_one_that_never_began_does_not() -> None:
    for said, ending, tokens in ((GREETING[:2], Ending.FAILED, (105, 2)), ((), Ending.REFUSED, (0, 0))):
        engine, _, ledger = account_for(ScriptedEngine(said, error=BROKEN))
        with pytest.raises(ChatError):
            await listen(engine)
        (account,) = ledger.accounts
        assert (account.ending, account.status, account.error_code) == (ending, 502, "engine_stream_broken")
        assert account.used == tokens


async def test_who_is_over_a_limit_does_not_reach_the_engine() -> None:
    class Strict:
        async def reserve(self, account: Account) -> dict[str, str]:
            raise ChatError(429, "rate_limit_exceeded", "no more")

        def reserve_now(self, account: Account) -> bytes | None:
            return None

    subject = Subject("key:1", Limits(requests_per_minute=1))
    payer = Payer(Principal(Proof.API_KEY, 1, 2, 1, (subject,)), "chat", "request-1")
    scripted = ScriptedEngine()
    engine, accounts, ledger = account_for(scripted, payer)
    accounts.limits = Strict()
    with pytest.raises(ChatError):
        await anext(engine.generate(QUESTION))
    assert scripted.requests == []
    assert [(one.ending, one.status) for one in ledger.accounts] == [(Ending.REFUSED, 429)]


async def test_whoever_cannot_count_keeps_nobody_else_from_it(caplog: pytest.LogCaptureFixture) -> None:
    def fail(account: Account) -> None:
        raise ValueError("as ordered")

    def measure() -> Size:
        raise ValueError("as ordered")

    accounts, ledger = Accounts(), Ledger()
    accounts.listen(fail)
    accounts.listen(ledger.closed, ledger.opened)
    account = accounts.open(Account(cast(ServiceEntry, None), PAYER.principal, "chat", "request-1", measure=measure))
    account.pieces = 2
    accounts.close(account, Ending.STOPPED)
    accounts.close(account, Ending.FINISHED)
    assert ledger.accounts == [account]
    assert (ledger.under_way, account.ending, account.used) == (0, Ending.STOPPED, (0, 0))
    assert caplog.text.count("request request-1 could not be counted") == 2


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b'{"data": [], "usage": {"prompt_tokens": 8, "total_tokens": 8}}', Usage(8, 0)),
        (
            b'event: x\ndata: {"usage":{"input_tokens":1}}\n\ndata: {"usage": {"input_tokens":3,"output_tokens":4}}',
            Usage(3, 4),
        ),
        (b'{"results": [], "usage": {"total_tokens": 5}}', Usage(5, 0)),
        (b'{"usage": null}', None),
        (b'{"usage": {"prompt_tokens": -1}}', None),
        (b'{"usage": {"prompt_tokens": ', None),
        (b"{}", None),
    ],
)
def test_a_carried_answer_is_counted_at_its_end(body: bytes, usage: Usage | None) -> None:
    tail = Tail("application/json")
    tail.feed(b"x" * 100_000)
    for at in range(0, len(body), 3):
        tail.feed(body[at : at + 3])
    assert tail.find_usage() == usage


def test_of_bytes_that_no_engine_counts_in_nothing_is_kept() -> None:
    tail = Tail("audio/wav")
    tail.feed(b'"usage": {"prompt_tokens": 1}')
    assert tail.find_usage() is None
