"""What callers may use, counted in Valkey for all server processes: set aside before, settled after.

Exact under concurrency: what requests under way may yet use counts as used, and so does what is held in advance
(``advance`` says why nobody is let in too much or refused too soon). Where Valkey is away nobody who has a limit is let
in (503); whoever has none does not notice. Minutes begin with the first request in them; days and months are UTC's,
and their counts are read from the usage that is kept wherever Valkey has lost them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from deployments.words import say
from inference_gateway.accounts import Account
from inference_gateway.chat import ChatError
from inference_gateway.head_lines import read_lines
from inference_gateway.metering.advance import Advance, Size
from inference_gateway.metering.exchange import ASK_SECONDS, UNREACHABLE, Exchange
from inference_gateway.metering.refusals import Reached, render_refusal
from inference_gateway.principals import Subject

#: What an answer may need whose caller does not say, or what is left if that is less.
USUAL_COMPLETION_TOKENS = 1024
#: How often this process tells the others that it lives.
ALIVE_EVERY_SECONDS = 3.0
#: So long a request waits until other processes have given back what they hold in advance, asking so often.
RECALL_SECONDS, RECALL_EVERY_SECONDS = 1.0, 0.015
#: Budgets that Valkey forgets as soon as it is told them.
MOST_LOADS = 12

#: Tokens used today and this month by a subject, as usage keeps them. It is asked in a moment of need only.
ReadUsed = Callable[[str, datetime], Awaitable[tuple[int, int]]]


class LimitKeeper:
    """One a process; ``Accounts`` asks it, and each account keeps what it holds: an advance, and tokens of it.

    All of it belongs to one event loop.
    """

    def __init__(self, url: str, read_used: ReadUsed) -> None:
        self._exchange = Exchange(url)
        self._read_used = read_used

    async def reserve(self, account: Account) -> Mapping[str, str]:
        """See ``accounts.Limiter``. As a rule nothing is awaited."""
        if (lines := self.reserve_now(account)) is not None:
            return read_lines(lines)
        advance, size = self._exchange.find_advance(account.principal.limited), size_of(account)
        advance.users += 1
        try:
            tokens = await self._ask(advance, size)
        finally:
            advance.users -= 1
        account.reserved = advance, tokens
        return read_lines(advance.render_lines(time.monotonic()))

    def reserve_now(self, account: Account) -> bytes | None:
        """See ``accounts.Limiter``."""
        exchange, now, most = self._exchange, time.monotonic(), account.most_completion_tokens
        advance = exchange.find_advance(account.principal.limited)
        tokens = account.estimate_prompt() + (USUAL_COMPLETION_TOKENS if most is None else most)
        if not exchange.is_good(now) or not advance.admit(tokens, now):
            return None
        exchange.touch(advance)
        if advance.runs_low(now):
            exchange.fetch(advance, size_of(account))
        account.reserved = advance, tokens
        return advance.render_lines(now)

    def closed(self, account: Account) -> None:
        """Settle what was set aside for it; nobody waits for that."""
        if account.reserved is None:
            return
        advance, tokens = account.reserved
        account.reserved = None
        prompt, completion = account.used
        advance.finish(tokens, prompt + completion)
        self._exchange.touch(advance)

    async def keep(self) -> None:
        """Tell the others that this process lives, until cancelled; ``close`` then."""
        while True:
            self._exchange.look()
            await asyncio.sleep(ALIVE_EVERY_SECONDS)

    async def close(self) -> None:
        """Send what is not sent yet, give back what is held, and close."""
        await self._exchange.close()

    async def _ask(self, advance: Advance, size: Size) -> int:
        """Tokens set aside. Raises LimitReachedError, and ChatError 503."""
        give_up_at = time.monotonic() + RECALL_SECONDS
        if await self._wait_for_advance(advance, size):
            return size.prompt + size.completion
        loads = 0
        while True:
            now = datetime.now(UTC)
            try:
                told = await self._exchange.ask(advance, size, is_patient=time.monotonic() < give_up_at)
                if told[0] == "load":
                    loads += 1
                    if loads > MOST_LOADS:
                        raise unavailable()
                    subject = advance.ids[told[1] - 1]
                    await self._exchange.set_used(subject, now, await self._read_used(subject, now))
            except UNREACHABLE as error:
                raise unavailable() from error
            if told[0] == "ok":
                return size.prompt + int(told[1])
            if told[0] == "no":
                raise refusal(advance, size, told, now)
            if told[0] == "recall":
                self._exchange.call_in(advance.ids, RECALL_SECONDS)
                if told[1]:
                    await asyncio.sleep(RECALL_EVERY_SECONDS)

    async def _wait_for_advance(self, advance: Advance, size: Size) -> bool:
        """Where somebody has asked for more already: whether it is enough for this one, too."""
        if advance.coming is None or advance.is_exact(time.monotonic()):
            return False
        advance.waiting += 1
        try:
            await asyncio.wait({advance.coming}, timeout=ASK_SECONDS)
        finally:
            advance.waiting -= 1
        now = time.monotonic()
        return self._exchange.is_good(now) and advance.admit(size.prompt + size.completion, now)


def size_of(account: Account) -> Size:
    wanted = account.most_completion_tokens
    return Size(account.estimate_prompt(), USUAL_COMPLETION_TOKENS if wanted is None else wanted, wanted is None)


def refusal(advance: Advance, size: Size, told: list[Any], now: datetime) -> ChatError:
    subject: Subject = advance.subjects[told[1] - 1]
    least = 1 if size.is_soft else size.completion or 1
    return render_refusal(Reached(subject.id, *told[2:]), now, size.prompt + least)


def unavailable() -> ChatError:
    message = say("Your limits cannot be looked up at present. Try again in a moment.")
    return ChatError(503, "limits_unavailable", message)
