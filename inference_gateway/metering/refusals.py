"""What a caller is told whose limit is reached: which, whose, and when to ask again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from deployments.words import Sentence, say
from inference_gateway.accounts import LimitReachedError

#: OpenAI's codes: its clients wait and try again after the one, and not after the other.
RATE, BUDGET = "rate_limit_exceeded", "insufficient_quota"


@dataclass(frozen=True, slots=True)
class Reached:
    """One limit, by its name in ``principals.Limits``. ``used`` counts what requests under way have set aside.

    ``is_never``: the request asks for more than the limit as a whole.
    """

    subject: str
    limit: str
    most: int
    used: int
    milliseconds: int
    is_never: int


def render_refusal(reached: Reached, now: datetime, asked: int) -> LimitReachedError:
    """``asked``: tokens that the request may use."""
    seconds = seconds_left(reached, now)
    headers = {} if reached.is_never else {"retry-after": str(seconds)}
    if reached.limit != "parallel_requests":
        kind = "requests" if reached.limit == "requests_per_minute" else "tokens"
        headers[f"x-ratelimit-limit-{kind}"] = str(reached.most)
        headers[f"x-ratelimit-remaining-{kind}"] = str(max(0, reached.most - reached.used))
        headers[f"x-ratelimit-reset-{kind}"] = f"{seconds}s"
    code = BUDGET if reached.limit in ("tokens_per_day", "tokens_per_month") else RATE
    return LimitReachedError(code, _say(reached, seconds, asked), headers)


def seconds_left(reached: Reached, now: datetime) -> int:
    """Until it is worth asking again: the end of the limit's minute, day or month."""
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    if reached.limit == "tokens_per_day":
        return max(1, round((midnight - now).total_seconds()))
    if reached.limit == "tokens_per_month":
        first = (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return max(1, round((first - now).total_seconds()))
    return max(1, -(-reached.milliseconds // 1000))


def _say(reached: Reached, seconds: int, asked: int) -> Sentence:
    whose, most = _whose(reached.subject), reached.most
    match reached.limit:
        case "requests_per_minute":
            return say(
                "%(whose)s allows %(most)s requests a minute, and they are used up. Try again in %(seconds)s s.",
                whose=whose,
                most=most,
                seconds=seconds,
            )
        case "parallel_requests":
            return say(
                "%(whose)s allows %(most)s requests at once, and as many are under way. Try again when one has ended.",
                whose=whose,
                most=most,
            )
    if reached.is_never:
        return say(
            "%(whose)s allows %(most)s tokens, and the request may use %(asked)s. Ask for less, with max_tokens.",
            whose=whose,
            most=most,
            asked=asked,
        )
    used = reached.used
    match reached.limit:
        case "tokens_per_minute":
            return say(
                "%(whose)s allows %(most)s tokens a minute. %(used)s are used or set aside, and the request may use "
                "%(asked)s. Try again in %(seconds)s s, or ask for less, with max_tokens.",
                whose=whose,
                most=most,
                used=used,
                asked=asked,
                seconds=seconds,
            )
        case "tokens_per_day":
            return say(
                "%(whose)s allows %(most)s tokens a day. %(used)s are used or set aside, and the request may use "
                "%(asked)s. Ask for less, with max_tokens, wait until midnight UTC, or have the limit raised.",
                whose=whose,
                most=most,
                used=used,
                asked=asked,
            )
    return say(
        "%(whose)s allows %(most)s tokens a month. %(used)s are used or set aside, and the request may use "
        "%(asked)s. Ask for less, with max_tokens, wait for the next month, or have the limit raised.",
        whose=whose,
        most=most,
        used=used,
        asked=asked,
    )


def _whose(subject: str) -> Sentence:
    match subject.partition(":")[0]:
        case "key":
            return say("The limit of this key")
        case "person":
            return say("Your limit")
    return say("The limit of the workspace")
