"""What callers may use, counted in Valkey for all server processes: set aside before, settled after.

Exact under concurrency: what requests under way may yet use counts as used. Where Valkey is away nobody who has a limit
is let in (503); whoever has none does not notice. Requests that come together go there together, so that each costs
little of a round trip. Minutes begin with the first request in them; days and months are UTC's, and their counts are
read from the usage that is kept wherever Valkey has lost them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast

import redis.asyncio
from redis.exceptions import NoScriptError, RedisError

from deployments.words import say
from inference_gateway.accounts import Account
from inference_gateway.chat import ChatError
from inference_gateway.metering.refusals import Reached, render_refusal
from inference_gateway.principals import Subject

logger = logging.getLogger(__name__)

#: What an answer may need whose caller does not say, or what is left if that is less.
USUAL_COMPLETION_TOKENS = 1024
#: A process that is not heard of for ten seconds has died, and what it had set aside is free again.
ALIVE_EVERY_SECONDS = 3.0
ANSWER_SECONDS = 1.0
ALIVE_KEY = "slipway:limits:alive:%s"
#: So long what was used may wait for company on its way.
SETTLE_SECONDS = 0.02

#: Tokens used today and this month by a subject, as usage keeps them. It is asked in a moment of need only.
ReadUsed = Callable[[str, datetime], Awaitable[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one request has set aside."""

    subjects: tuple[Subject, ...]
    tokens: int


@dataclass(slots=True)
class _Call:
    """One run of a script, and who waits for what it says."""

    script: Literal["limits", "settle"]
    arguments: tuple[str | int, ...]
    told: asyncio.Future[Any]


class LimitKeeper:
    """One a process; ``Accounts`` asks it. All of it belongs to one event loop."""

    def __init__(self, url: str, read_used: ReadUsed) -> None:
        self._server = redis.asyncio.Redis.from_url(
            url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS, decode_responses=True
        )
        self._read_used = read_used
        self._process = uuid.uuid4().hex[:16]
        folder = Path(__file__).parent
        self._scripts = {name: (folder / f"{name}.lua").read_text(encoding="utf-8") for name in ("limits", "settle")}
        self._digests: dict[str, str] = {}
        self._waiting: list[_Call] = []
        self._sending: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None
        #: What this process has set aside: the count in Valkey is put right by it after a failure.
        self._held: dict[str, list[int]] = {}
        self._reserved: dict[int, Reservation] = {}
        self._must_repair = False

    async def reserve(self, account: Account) -> Mapping[str, str]:
        """See ``accounts.Limiter``."""
        subjects = account.principal.limited
        prompt = account.estimate_prompt()
        wanted = account.most_completion_tokens
        completion = USUAL_COMPLETION_TOKENS if wanted is None else wanted
        while True:
            now = datetime.now(UTC)
            arguments = (prompt, completion, int(wanted is None), *periods(now), *render_limits(subjects))
            told = await self._ask(arguments)
            if told[0] == "load":
                await self._load(subjects[told[1] - 1], now)
                continue
            if told[0] == "no":
                raise render_refusal(Reached(subjects[told[1] - 1].id, *told[2:]), now, prompt + (wanted or 1))
            tokens = prompt + int(told[1])
            self._hold(subjects, 1, tokens)
            self._reserved[id(account)] = Reservation(subjects, tokens)
            return render_headers(told[2:])

    def opened(self, account: Account) -> None:
        """Nothing is set aside yet."""

    def closed(self, account: Account) -> None:
        """Settle what was set aside for it; nobody waits for that."""
        reservation = self._reserved.pop(id(account), None)
        if reservation is not None:
            self._hold(reservation.subjects, -1, -reservation.tokens)
            self._settle([one.id for one in reservation.subjects], reservation.tokens, sum(account.settle()))

    async def keep(self) -> None:
        """Tell the others that this process lives, until cancelled; ``close`` then."""
        while True:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self._server.set(ALIVE_KEY % self._process, 1, ex=10)
            await asyncio.sleep(ALIVE_EVERY_SECONDS)

    async def close(self) -> None:
        """Send what is not sent yet, give back what is held, and close."""
        self._send_now()
        while self._sending is not None and not self._sending.done():
            await asyncio.wait({self._sending})
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._server.delete(ALIVE_KEY % self._process)
        await self._server.aclose()

    def _hold(self, subjects: Iterable[Subject], count: int, tokens: int) -> None:
        for subject in subjects:
            held = self._held.setdefault(subject.id, [0, 0])
            held[0] += count
            held[1] += tokens
            if not held[0] and not self._must_repair:
                del self._held[subject.id]

    def _settle(self, subjects: list[str], reserved: int, used: int) -> None:
        told = self._enqueue("settle", (self._process, reserved, used, *periods(datetime.now(UTC)), *subjects))
        told.add_done_callback(lambda done: done.exception())  # it is told by the log

    async def _ask(self, arguments: Iterable[str | int]) -> list[Any]:
        call = (self._process, *arguments)
        told = self._enqueue("limits", call)
        try:
            return cast(list[Any], await told)
        except asyncio.CancelledError:
            # The answer may have come in the same moment; where it comes later, ``_send`` gives it back.
            if told.done() and not told.cancelled() and told.exception() is None:
                self._give_back(call, told.result())
            raise
        except (RedisError, OSError, TimeoutError) as error:
            raise unavailable() from error

    async def _load(self, subject: Subject, now: datetime) -> None:
        """Bring a subject's budgets back from where usage is kept."""
        try:
            today, this_month = await self._read_used(subject.id, now)
            day, month = periods(now)
            key = f"slipway:limits:{subject.id}"
            await self._server.set(f"{key}:day:{day}", today, nx=True, ex=timedelta(days=2))
            await self._server.set(f"{key}:month:{month}", this_month, nx=True, ex=timedelta(days=40))
        except (RedisError, OSError, TimeoutError) as error:
            raise unavailable() from error

    def _enqueue(self, script: Literal["limits", "settle"], arguments: tuple[str | int, ...]) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        told: asyncio.Future[Any] = loop.create_future()
        self._waiting.append(_Call(script, arguments, told))
        if script == "limits":
            self._send_now()
        elif self._later is None:
            # Nobody waits for it, and the next who asks takes it along, ahead of itself.
            self._later = loop.call_later(SETTLE_SECONDS, self._send_now)
        return told

    def _send_now(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        """Send what waits, all of it at once, until nothing does."""
        while self._waiting:
            calls, self._waiting = self._waiting, []
            try:
                answers = await self._run(calls)
            except (RedisError, OSError, TimeoutError) as error:
                logger.warning("limits: Valkey does not answer: %s", error)
                self._must_repair = True
                answers = [error] * len(calls)
            except BaseException:
                for call in calls:
                    call.told.cancel()
                raise
            for call, answer in zip(calls, answers, strict=True):
                if call.told.done():
                    if call.script == "limits" and isinstance(answer, list):
                        self._give_back(call.arguments, answer)
                elif isinstance(answer, BaseException):
                    call.told.set_exception(answer)
                else:
                    call.told.set_result(answer)

    def _give_back(self, call: tuple[str | int, ...], answer: list[Any]) -> None:
        """Whoever waited for it has left meanwhile."""
        if answer[0] == "ok":
            self._settle([str(one) for one in call[6::6]], int(call[1]) + int(answer[1]), 0)

    async def _run(self, calls: list[_Call]) -> list[Any]:
        if not self._digests:
            self._digests = {name: str(await self._server.script_load(text)) for name, text in self._scripts.items()}
        if self._must_repair:
            await self._repair()
        try:
            return await self._pipe(calls)
        except NoScriptError:  # Valkey was restarted
            self._digests = {}
            return await self._run(calls)

    async def _pipe(self, calls: list[_Call]) -> list[Any]:
        async with self._server.pipeline(transaction=False) as pipe:
            for call in calls:
                pipe.evalsha(self._digests[call.script], 0, *(str(one) for one in call.arguments))
            answers = await pipe.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, NoScriptError):
                raise answer
        return list(answers)

    async def _repair(self) -> None:
        """What was sent when Valkey went away may or may not have counted: say what is held, and read budgets anew."""
        day, month = periods(datetime.now(UTC))
        async with self._server.pipeline(transaction=True) as pipe:
            for subject, (count, tokens) in self._held.items():
                key = f"slipway:limits:{subject}"
                pipe.hset(f"{key}:held", mapping={f"{self._process}/n": count, f"{self._process}/t": tokens})
                pipe.delete(f"{key}:day:{day}", f"{key}:month:{month}")
            await pipe.execute()
        self._must_repair = False
        self._held = {subject: held for subject, held in self._held.items() if held[0]}


def render_limits(subjects: Iterable[Subject]) -> list[str | int]:
    """Id and limits of each, as ``limits.lua`` reads them."""
    rendered: list[str | int] = []
    for subject in subjects:
        limits = subject.limits
        values = (
            limits.requests_per_minute,
            limits.tokens_per_minute,
            limits.parallel_requests,
            limits.tokens_per_day,
            limits.tokens_per_month,
        )
        rendered.append(subject.id)
        rendered += [-1 if value is None else value for value in values]
    return rendered


def unavailable() -> ChatError:
    message = say("Your limits cannot be looked up at present. Try again in a moment.")
    return ChatError(503, "limits_unavailable", message)


def periods(now: datetime) -> tuple[str, str]:
    """The day and the month as keys name them."""
    return f"{now:%Y-%m-%d}", f"{now:%Y-%m}"


def render_headers(told: list[Any]) -> dict[str, str]:
    """OpenAI's names for what is left: of requests, and of tokens by the limit that has least."""
    headers = {}
    for kind, (limit, left, milliseconds) in zip(("requests", "tokens"), (told[:3], told[3:6]), strict=True):
        if limit >= 0:
            headers[f"x-ratelimit-limit-{kind}"] = str(limit)
            headers[f"x-ratelimit-remaining-{kind}"] = str(max(0, left))
            if milliseconds >= 0:
                headers[f"x-ratelimit-reset-{kind}"] = f"{milliseconds / 1000:.3f}s"
    return headers
