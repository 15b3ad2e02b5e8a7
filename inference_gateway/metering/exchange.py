"""What a server process and Valkey tell each other about limits: asks, reports and calls for advances, in one order.

Only one batch is under way; what comes meanwhile goes with the next, reports ahead of asks. What was sent when Valkey
went away may or may not have counted: then the next batch begins by saying the whole of what is held.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLostError
from redis.exceptions import NoScriptError, RedisError

from inference_gateway.metering.advance import Advance, Report, Size, sum_held
from inference_gateway.principals import Subject

logger = logging.getLogger(__name__)

#: A batch fails after the one, whoever asks after the other: there may be a batch ahead. They are no shorter: a process
#: or a machine that stands still for a second is no Valkey that is away.
ANSWER_SECONDS, ASK_SECONDS = 2.0, 2.5
#: A process that is not heard of for ten seconds has died, and what it held is free again.
ALIVE_SECONDS = 10
ALIVE_KEY = "slipway:limits:alive:%s"
RECALL_KEY = "slipway:limits:recall:%s"
#: So long after Valkey was heard of an advance is good.
GOOD_SECONDS = 1.0
#: So long what was used waits for company on its way, with an advance and without one; and until Valkey is tried again.
REPORT_SECONDS, SETTLE_SECONDS, AGAIN_SECONDS = 0.1, 0.01, 1.0
#: Nobody waits for a Valkey that did not answer so lately.
AWAY_SECONDS = 0.25
#: Whoever was called in asks for nothing in advance for so long.
CALLED_IN_SECONDS = 1.0
#: An ask that Valkey never answered is sent so many times.
MOST_TRIES = 3

UNREACHABLE = (RedisError, OSError, TimeoutError)


@dataclass(slots=True)
class Ask:
    """One run of ``limits.lua``, and who waits for what it says: nobody, where ``told`` is None."""

    advance: Advance
    size: Size
    told: asyncio.Future[list[Any]] | None = None
    is_patient: bool = True
    coming: asyncio.Future[None] | None = None
    wanted: int = 0
    tries: int = 0
    #: Under whose limits it was asked.
    subjects: tuple[Subject, ...] = ()


class Exchange:
    """One a process. All of it belongs to one event loop."""

    def __init__(self, url: str) -> None:
        self._server = redis.asyncio.Redis.from_url(
            url,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            decode_responses=True,
            # A batch that is sent twice would count twice.
            retry=Retry(NoBackoff(), 0),
        )
        self._process = uuid.uuid4().hex[:16]
        folder = Path(__file__).parent
        self._scripts = {name: (folder / f"{name}.lua").read_text(encoding="utf-8") for name in ("limits", "settle")}
        self._digests: dict[str, str] = {}
        self._advances: dict[tuple[str, ...], Advance] = {}
        #: The same by ``id`` of their subjects, which they keep: who asks again mostly has the very same ones.
        self._latest: dict[int, Advance] = {}
        #: Those with something free, or something to tell.
        self._touched: dict[Advance, None] = {}
        self._asks: list[Ask] = []
        self._is_due = False
        self._sending: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._looked_at = self._good_until = self._away_until = 0.0
        #: Valkey does not know this process; and there are reports of which nobody knows whether they counted.
        self._must_repair, self._is_unsure = True, False

    def find_advance(self, subjects: tuple[Subject, ...]) -> Advance:
        advance = self._latest.get(id(subjects))
        if advance is not None and advance.subjects is subjects:
            return advance
        ids = tuple([one.id for one in subjects])
        advance = self._advances.get(ids)
        if advance is None:
            advance = self._advances[ids] = Advance(ids)
        self._latest.pop(id(advance.subjects), None)
        self._latest[id(subjects)] = advance
        if advance.subjects is not subjects:
            if advance.subjects != subjects:
                advance.follow(subjects)
                self.touch(advance)
            advance.subjects = subjects
        return advance

    def is_good(self, now: float) -> bool:
        """Whether Valkey was heard of so lately that an advance may be used."""
        return now < self._good_until

    def touch(self, advance: Advance) -> None:
        """It has something to tell."""
        self._touched[advance] = None
        if advance.requests:
            if self._timer is None:
                self._wake_in(REPORT_SECONDS)
        elif self._timer is None or self._timer.when() > asyncio.get_running_loop().time() + SETTLE_SECONDS:
            self._wake_in(SETTLE_SECONDS)  # there may be little room, and others wait for it

    def send_now(self) -> None:
        self._is_due = True
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())

    async def ask(self, advance: Advance, size: Size, *, is_patient: bool) -> list[Any]:
        """What ``limits.lua`` says of one request. Raises one of UNREACHABLE."""
        if time.monotonic() < self._away_until:
            raise RedisError("limits: Valkey did not answer a moment ago")
        told: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._enqueue(Ask(advance, size, told, is_patient))
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await told
        except (asyncio.CancelledError, TimeoutError):
            # The answer may have come in the same moment; where it comes later, ``_hear`` gives it back.
            if told.done() and not told.cancelled() and told.exception() is None:
                self._give_back(advance, size, told.result())
            raise

    def fetch(self, advance: Advance, size: Size) -> None:
        """More in advance, beside what goes on."""
        self._enqueue(Ask(advance, size))

    def call_in(self, subjects: Iterable[str], seconds: float) -> None:
        """Give back what is free of these subjects."""
        names, now = set(subjects), time.monotonic()
        for advance in [one for one in self._touched if not names.isdisjoint(one.ids)]:
            advance.wait_exact(now, seconds)
            self._is_due |= not advance.is_told

    async def set_used(self, subject: str, now: datetime, used: tuple[int, int]) -> None:
        """Budgets as usage keeps them, unless Valkey has them meanwhile."""
        key = f"slipway:limits:{subject}"
        for period, tokens, days in zip(name_periods(now), used, (2, 40), strict=True):
            await self._server.set(f"{key}:{period}", tokens, nx=True, ex=timedelta(days=days))

    def look(self) -> None:
        """Say that this process lives, and hear whether somebody calls its advances in."""
        self._looked_at = 0.0
        self.send_now()

    async def close(self) -> None:
        """Give back what is held and send what is not sent yet."""
        for advance in self._touched:
            advance.release()
        self.send_now()
        while self._sending is not None and not self._sending.done():
            await asyncio.wait({self._sending})
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._server.delete(ALIVE_KEY % self._process)
        except UNREACHABLE as error:
            logger.info("limits: Valkey is not told of the end: %s", error)
        await self._server.aclose()

    def _enqueue(self, ask: Ask) -> None:
        advance = ask.advance
        if advance.coming is None and not advance.is_exact(time.monotonic()):
            ask.coming = advance.coming = asyncio.get_running_loop().create_future()
        self._asks.append(ask)
        self.send_now()

    def _give_back(self, advance: Advance, size: Size, told: list[Any]) -> None:
        """Whoever asked has left meanwhile."""
        if told[0] == "ok":
            advance.finish(size.prompt + int(told[1]), 0)
            self.touch(advance)

    def _wake_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = time.monotonic()
        for advance in self._touched:
            if advance.is_idle(now):
                advance.release()
        self.send_now()

    async def _send(self) -> None:
        """Send what waits, all of it at once, until nothing does."""
        while self._is_due or self._asks:
            asks, self._asks, self._is_due = self._asks, [], False
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._run(asks)
            except UNREACHABLE as error:
                if not self._is_unsure:
                    logger.warning("limits: Valkey does not answer: %s", error)
                self._is_unsure, self._away_until = True, time.monotonic() + AWAY_SECONDS
                self._lose()
                if not isinstance(error, ConnectionLostError):
                    asks, self._asks = asks + self._asks, []  # they have waited for as long
                for ask in asks:
                    self._try_again(ask, error, MOST_TRIES if isinstance(error, ConnectionLostError) else 0)
            except BaseException as error:  # nobody waits for ever, whatever went wrong
                for ask in asks:
                    if ask.told is not None and isinstance(error, asyncio.CancelledError):
                        ask.told.cancel()
                    self._end(ask, error)
                raise
            self._tidy()

    def _lose(self) -> None:
        """Valkey knows no more what is held here, or nobody knows whether it does: nothing is in advance any more."""
        self._must_repair, self._good_until = True, 0.0
        for advance in self._touched:
            advance.release()

    def _try_again(self, ask: Ask, error: Exception, most: int) -> None:
        ask.tries += 1
        if ask.told is None or ask.told.done() or ask.tries >= most:
            self._end(ask, error)
        else:
            self._asks.append(ask)

    def _end(self, ask: Ask, told: list[Any] | BaseException) -> None:
        self._touched[ask.advance] = None
        if ask.coming is not None:
            ask.coming.set_result(None)
            ask.coming = ask.advance.coming = None
        if ask.told is None or ask.told.done():
            return
        if isinstance(told, BaseException):
            ask.told.set_exception(told)
        else:
            ask.told.set_result(told)

    def _tidy(self) -> None:
        """Forget what is told and free; wake up for the rest."""
        for advance in list(self._touched):
            if advance.requests or advance.tokens or not advance.is_told or self._must_repair:
                continue
            del self._touched[advance]
            if advance.is_over and self._advances.get(advance.ids) is advance:
                del self._advances[advance.ids]
                self._latest.pop(id(advance.subjects), None)
        if self._touched and self._timer is None:
            self._wake_in(AGAIN_SECONDS if self._must_repair else REPORT_SECONDS)

    async def _run(self, asks: list[Ask]) -> None:
        if not self._digests:
            self._digests = {name: str(await self._server.script_load(text)) for name, text in self._scripts.items()}
        if self._must_repair:
            await self._repair()
        now = time.monotonic()
        is_look = now - self._looked_at >= REPORT_SECONDS / 2
        reports = [(one, one.report()) for one in self._touched if not one.is_told]
        if not (reports or asks or is_look):
            return
        try:
            answers = await self._pipe(reports, asks, now, is_look=is_look)
        except BaseException:
            for advance, report in reports:
                advance.take_back(report)
            raise
        self._good_until = now + GOOD_SECONDS
        for (advance, report), answer in zip(reports, answers, strict=False):
            if not self._is_known(answer):
                advance.take_back(report)
        for ask, answer in zip(asks, answers[len(reports) :], strict=False):
            self._hear(ask, answer, now)
        if is_look:
            self._looked_at = now
            if self._is_known(*answers[-2:]):
                self.call_in(answers[-1], CALLED_IN_SECONDS)

    async def _pipe(
        self, reports: list[tuple[Advance, Report]], asks: list[Ask], now: float, *, is_look: bool
    ) -> list[Any]:
        """An answer each, and two for a look: whether this process lives, and whose advances are called in."""
        periods = name_periods(datetime.now(UTC))
        async with self._server.pipeline(transaction=False) as pipe:
            for advance, report in reports:
                pipe.evalsha(self._digests["settle"], 0, *self._render_report(advance, report, periods))
            for ask in asks:
                pipe.evalsha(self._digests["limits"], 0, *self._render_ask(ask, periods, now))
            if is_look:
                pipe.expire(ALIVE_KEY % self._process, ALIVE_SECONDS)
                pipe.spop(RECALL_KEY % self._process, 1000)
            answers = list(await pipe.execute(raise_on_error=False))
        for answer in answers:
            if isinstance(answer, RedisError) and not isinstance(answer, NoScriptError):
                raise answer
        return answers

    def _hear(self, ask: Ask, answer: Any, now: float) -> None:
        if not self._is_known(answer):
            self._try_again(ask, RedisError("limits: Valkey forgets at once"), MOST_TRIES)
            return
        if answer[0] == "ok":
            ask.advance.begin(answer, ask.size, int(ask.told is not None), ask.wanted, now)
            if ask.subjects != ask.advance.subjects:
                ask.advance.release()  # other limits count by now
            if ask.told is not None and ask.told.done():
                self._give_back(ask.advance, ask.size, answer)
        self._end(ask, answer)

    def _is_known(self, *answers: Any) -> bool:
        """Whether Valkey knows scripts and process; if not, it was restarted or emptied."""
        for answer in answers:
            if isinstance(answer, NoScriptError):
                self._digests = {}
            elif answer not in (["lost"], False, 0):
                continue
            self._lose()
            self._is_due = True
            return False
        return True

    async def _repair(self) -> None:
        """Say all that is held. Where reports were lost, budgets are read anew."""
        periods = name_periods(datetime.now(UTC))
        sums = sum_held(self._advances.values())
        for advance in self._advances.values():
            advance.repaired()
        async with self._server.pipeline(transaction=True) as pipe:
            pipe.set(ALIVE_KEY % self._process, 1, ex=ALIVE_SECONDS)
            for subject, held in sums.items():
                key = f"slipway:limits:{subject}"
                fields: dict[Any, Any] = {
                    f"{self._process}/{kind}": value for kind, value in zip("ntua", held, strict=True)
                }
                if any(held):
                    pipe.hset(f"{key}:held", mapping=fields)
                    pipe.expire(f"{key}:held", timedelta(days=1))
                else:
                    pipe.hdel(f"{key}:held", *fields)
                if self._is_unsure:
                    pipe.delete(*(f"{key}:{period}" for period in periods))
            await pipe.execute()
        self._must_repair = self._is_unsure = False

    def _render_report(self, advance: Advance, report: Report, periods: tuple[str, str]) -> list[str | int]:
        """As ``settle.lua`` reads it."""
        rendered: list[str | int] = [self._process, report.used_requests, report.used_tokens, *report.more, *periods]
        for subject, minute in zip(advance.ids, advance.minutes, strict=True):
            rendered += [subject, minute]
        return rendered

    def _render_ask(self, ask: Ask, periods: tuple[str, str], now: float) -> list[str | int]:
        """As ``limits.lua`` reads it."""
        size = ask.size
        ask.wanted = ask.advance.want(now) if ask.coming is not None else 0
        own, is_soft, is_patient = int(ask.told is not None), int(size.is_soft), int(ask.is_patient)
        rendered: list[str | int] = [self._process, own, size.prompt, size.completion, is_soft, is_patient]
        rendered += [ask.wanted, *periods]
        ask.subjects = ask.advance.subjects
        for subject in ask.subjects:
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


def name_periods(now: datetime) -> tuple[str, str]:
    """The day and the month as keys name them."""
    return f"day:{now:%Y-%m-%d}", f"month:{now:%Y-%m}"
