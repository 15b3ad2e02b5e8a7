"""What a server process holds of its callers' limits, so that hardly any request has to ask Valkey.

Who asks again and again gets an *advance*: so many requests, with the tokens that such a request needs, set aside in
Valkey in one run of ``limits.lua``. Requests are let in from it without asking, further ones are fetched before it is
used up, what was used is told together, and what nobody uses is given back after a second. What makes it exact:

- Never over a limit. Valkey counts what a process holds, under way and in advance, as used; a process lets in either
  what a script run has just counted, or what is in its advance. So no order of events adds up to more.
- Nobody is refused for what another one holds in advance. An advance is at most an eighth of what is left when it is
  given. Where a script would refuse although somebody holds an advance, it calls that in first, and gives none for a
  second; holders look for such calls every 100 ms, and the request waits for them, a second at most.
- An advance is good for a second after Valkey was heard of last, and for the minute in which it was given. So it ends
  before a silent process counts as dead, which is after ten seconds, and nobody is let in for long without Valkey.
- What a process that was killed held is free again. What it had used and not told, 100 ms of it, is forgotten.
- After a failure nothing is in advance, and the process tells Valkey what it holds as a whole, not by how much more.

Nothing here waits or speaks to anybody: ``exchange`` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from inference_gateway.principals import Subject

#: The least and the most requests in one advance, before the share of what is left. With a few hundred at most, those
#: of who asks thousands of times a second are used up before the next ones are here, and each request asks meanwhile.
LEAST_WANTED, MOST_WANTED = 12, 2048
#: Who has not asked for so long has nothing in advance.
IDLE_SECONDS = 1.0
#: Where nothing was given in advance, it is not asked for again so soon.
EXACT_SECONDS = 0.25
NEVER = -1.0


class Size(NamedTuple):
    """Tokens that a request may use. ``is_soft``: of answer as many as are left, if these are less."""

    prompt: int
    completion: int
    is_soft: bool


class Left:
    """What is left of one kind of limit, ``requests`` or ``tokens``, as callers are told it: of the limit that has
    least. ``reset_at`` is NEVER where no minute ends it; without a limit there is nothing to tell.
    """

    __slots__ = ("_kind", "_lines", "count", "reset_at")

    def __init__(self, kind: bytes) -> None:
        self._kind = kind
        self._lines = b""
        self.count = 0
        self.reset_at = NEVER

    def note(self, limit: int, count: int, reset_at: float) -> None:
        """``limit`` is -1 where there is none."""
        self.count, self.reset_at = count, reset_at
        lines = b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: %%d\r\n" % (self._kind, limit, self._kind)
        if reset_at != NEVER:
            lines += b"x-ratelimit-reset-%b: %%.3fs\r\n" % self._kind
        self._lines = lines if limit >= 0 else b""

    def render(self, now: float) -> bytes:
        """Lines of an answer's head, under OpenAI's names."""
        if not self._lines:
            return b""
        count, reset_at = self.count, self.reset_at
        if count < 0:
            count = 0
        if reset_at == NEVER:
            return self._lines % count
        return self._lines % (count, reset_at - now if reset_at > now else 0.0)


@dataclass(slots=True)
class Report:
    """What Valkey has not been told: used, and by how much more is held than it knows."""

    used_requests: int
    used_tokens: int
    more: tuple[int, ...]


class Advance:
    """One a process and tuple of subjects. ``requests`` and ``tokens`` are free, the others are under way.

    ``users`` counts who waits for Valkey on account of it; ``waiting`` those of them who wait for what is ``coming``.
    """

    __slots__ = (
        "_counts_tokens",
        "_exact_until",
        "_left_requests",
        "_left_tokens",
        "_low",
        "_minute_ends_at",
        "_sent",
        "_used_at",
        "_wanted",
        "coming",
        "ids",
        "minutes",
        "requests",
        "reserved",
        "subjects",
        "tokens",
        "under_way",
        "used_requests",
        "used_tokens",
        "users",
        "waiting",
    )

    def __init__(self, ids: tuple[str, ...]) -> None:
        self.ids = ids
        self.subjects: tuple[Subject, ...] = ()
        self.minutes = ("",) * len(ids)
        self.requests = self.tokens = 0
        self.under_way = self.reserved = 0
        self.used_requests = self.used_tokens = 0
        self.users = self.waiting = 0
        self.coming: asyncio.Future[None] | None = None
        self._counts_tokens = False
        self._sent: tuple[int, ...] = (0, 0, 0, 0)
        self._wanted = self._low = 0
        self._minute_ends_at = self._used_at = self._exact_until = NEVER
        self._left_requests, self._left_tokens = Left(b"requests"), Left(b"tokens")

    def follow(self, subjects: tuple[Subject, ...]) -> None:
        """The same subjects, with other limits: what was given under the old ones is given back."""
        self.release()
        self.subjects = subjects
        self._counts_tokens = any(
            most is not None
            for limits in (one.limits for one in subjects)
            for most in (limits.tokens_per_minute, limits.tokens_per_day, limits.tokens_per_month)
        )

    def admit(self, tokens: int, now: float) -> bool:
        """Let a request in from what is free, if there is enough."""
        if self.requests < 1 or now >= self._minute_ends_at:
            return False
        if self._counts_tokens:
            if tokens > self.tokens:
                return False
            self.tokens -= tokens
        self.requests -= 1
        self.under_way += 1
        self.reserved += tokens
        self.used_requests += 1
        self._used_at = now
        self._left_requests.count -= 1
        self._left_tokens.count -= tokens
        return True

    def finish(self, tokens: int, used: int) -> None:
        """A request has ended for which ``tokens`` were set aside."""
        self.under_way -= 1
        self.reserved -= tokens
        self.used_tokens += used
        self._left_tokens.count += tokens - used

    def begin(self, told: list[Any], size: Size, own: int, wanted: int, now: float) -> int:
        """What ``limits.lua`` has given, as it tells it: ``own`` requests, 1 or 0, and of ``wanted`` so many ahead.

        ``now`` is when it was asked. Returns tokens set aside for the one request.
        """
        ahead, need = int(told[2]), max(1, size.prompt + size.completion)
        tokens = own * (size.prompt + int(told[1]))
        self.under_way += own
        self.reserved += tokens
        self.requests += ahead
        self.tokens += ahead * need
        more = (own + ahead, tokens + ahead * need, ahead, ahead * need)
        self._sent = tuple(there + new for there, new in zip(self._sent, more, strict=True))
        if own:
            self._used_at = now
        if ahead:
            self._low = self.requests // 2
        elif wanted:
            self._exact_until = now + EXACT_SECONDS
        if own or ahead:
            self.minutes = tuple(told[10:])
            self._minute_ends_at = now + int(told[3]) / 1000
            self._note(told[4:10], now)
        return tokens

    def _note(self, told: list[Any], now: float) -> None:
        """What is left, less what was used while Valkey told it."""
        in_use = self._sent[1] - self._sent[3]
        requests_since, tokens_since = self.used_requests, self.reserved - in_use + self.used_tokens
        for one, since, (limit, left, milliseconds) in (
            (self._left_requests, requests_since, told[:3]),
            (self._left_tokens, tokens_since, told[3:]),
        ):
            one.note(limit, left - since, now + milliseconds / 1000 if milliseconds >= 0 else NEVER)

    def want(self, now: float) -> int:
        """How many requests to ask for in advance: none for the first, more and more for who goes on asking."""
        if now - self._used_at > IDLE_SECONDS:
            self._wanted = 0
            return min(self.waiting, MOST_WANTED)
        self._wanted = min(max(LEAST_WANTED, 2 * self._wanted, self.waiting), MOST_WANTED)
        return self._wanted

    def runs_low(self, now: float) -> bool:
        """Whether to fetch more now, before it is used up."""
        return self.requests <= self._low and self.coming is None and now >= self._exact_until

    def is_idle(self, now: float) -> bool:
        return bool(self.requests or self.tokens) and (
            now - self._used_at > IDLE_SECONDS or now >= self._minute_ends_at or not self.requests
        )

    def wait_exact(self, now: float, seconds: float) -> None:
        """It was called in: give back what is free, and ask for nothing ahead so soon."""
        self.release()
        self._exact_until = max(self._exact_until, now + seconds)

    def is_exact(self, now: float) -> bool:
        """Whether every request has to ask."""
        return now < self._exact_until

    def release(self) -> None:
        """What is free is free for others; the next report says so."""
        self.requests = self.tokens = 0

    @property
    def held(self) -> tuple[int, int, int, int]:
        """Requests and tokens, and of these in advance requests and tokens."""
        return self.under_way + self.requests, self.reserved + self.tokens, self.requests, self.tokens

    @property
    def is_told(self) -> bool:
        return self.held == self._sent and not self.used_requests and not self.used_tokens

    @property
    def is_over(self) -> bool:
        """Whether nobody needs it any more."""
        is_used = self.users or self.coming is not None or self.under_way or self.requests or self.tokens
        return not is_used and self.is_told

    def report(self) -> Report:
        """What Valkey is told now. ``take_back`` where that fails."""
        held = self.held
        more = tuple(here - there for here, there in zip(held, self._sent, strict=True))
        report = Report(self.used_requests, self.used_tokens, more)
        self._sent = held
        self.used_requests = self.used_tokens = 0
        return report

    def take_back(self, report: Report) -> None:
        """It may or may not have been counted. What was used is told again; ``repaired`` tells what is held."""
        self.used_requests += report.used_requests
        self.used_tokens += report.used_tokens

    def repaired(self) -> None:
        """Valkey is told the whole of what is held."""
        self._sent = self.held

    def render_lines(self, now: float) -> bytes:
        """Lines of an answer's head that say what is left."""
        return self._left_requests.render(now) + self._left_tokens.render(now)


def sum_held(advances: Iterable[Advance]) -> dict[str, list[int]]:
    """What is held of each subject, by all of a process's advances."""
    sums: dict[str, list[int]] = {}
    for one in advances:
        for subject in one.ids:
            total = sums.setdefault(subject, [0, 0, 0, 0])
            for at, value in enumerate(one.held):
                total[at] += value
    return sums
