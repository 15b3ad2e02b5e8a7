"""What each request took: begun when an instance is asked, closed once, however it ended.

Whoever counts (metrics, usage) listens; whoever answers (relay, engines, carrying) opens and closes. An account is
closed before the last bytes of the answer go out: what a caller has whole is counted, whatever happens next.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from inference_gateway.chat import ChatError, Usage
from inference_gateway.directory import ServiceEntry
from inference_gateway.principals import Principal

logger = logging.getLogger(__name__)

#: nginx's status for a caller who left before the answer was whole.
CLIENT_CLOSED = 499
#: A prompt's tokens where no engine has counted them: about this many characters each, in English.
CHARACTERS_A_TOKEN = 4
#: And so many for the frame of each message.
TOKENS_A_MESSAGE = 4


class Ending(StrEnum):
    """``STOPPED``: the caller left or said stop. ``REFUSED``: no instance has begun."""

    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    REFUSED = "refused"


#: By themselves for what every request does: to look a member up in its enum takes 20 times as long (CPython 3.11).
FINISHED, STOPPED, FAILED, REFUSED = Ending.FINISHED, Ending.STOPPED, Ending.FAILED, Ending.REFUSED

#: Characters of a prompt, and its messages.
Size = tuple[int, int]


@dataclass(slots=True)
class Account:
    """One request. Times are ``time.perf_counter``'s seconds, tokens are None until an engine has counted them.

    ``operation`` is OpenTelemetry's ``gen_ai.operation.name`` (chat, text_completion) or the first segment of the
    path that is carried. ``measure`` is asked only where no engine counts. ``pieces`` counts pieces of the answer:
    engines send one a token. ``most_completion_tokens`` is what the caller allows, None where it says nothing.
    """

    service: ServiceEntry
    principal: Principal
    operation: str
    request_id: str
    is_stream: bool = False
    measure: Callable[[], Size] | None = None
    most_completion_tokens: int | None = None
    began_at: float = field(default_factory=time.perf_counter)
    first_token_at: float | None = None
    ended_at: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    pieces: int = 0
    status: int = 200
    error_code: str = ""
    ending: Ending | None = None
    #: Tokens of prompt and answer, once it is closed.
    used: tuple[int, int] = (0, 0)
    #: Whoever limits keeps here what is set aside for it (``metering.limits``).
    reserved: Any = None
    #: Whoever follows requests from program to program keeps its mark here (``monitoring.tracing``).
    span: Any = None

    def count(self, usage: Usage) -> None:
        self.prompt_tokens, self.completion_tokens = usage.prompt_tokens, usage.completion_tokens

    @property
    def is_counted(self) -> bool:
        """Whether the tokens are an engine's own count."""
        return self.prompt_tokens is not None

    def estimate_prompt(self) -> int:
        """Tokens of the prompt, by its length; 0 of what is only carried."""
        if self.measure is None:
            return 0
        characters, messages = self.measure()
        return characters // CHARACTERS_A_TOKEN + TOKENS_A_MESSAGE * messages + 1

    def settle(self) -> None:
        """Set ``used``: the engine's count, else by length and pieces. What never began used none."""
        if self.prompt_tokens is not None:
            self.used = self.prompt_tokens, self.completion_tokens or 0
        elif self.ending is Ending.REFUSED or (self.status >= 400 and not self.pieces and self.status != CLIENT_CLOSED):
            self.used = 0, 0
        else:
            self.used = self.estimate_prompt(), self.pieces


#: Is told of an account, in the event loop; it must be quick and raise nothing.
Listener = Callable[[Account], None]


class LimitReachedError(ChatError):
    """429, with what the answer's head says of the limit."""

    def __init__(self, code: str, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(429, code, message)
        self.headers = headers


class Limiter(Protocol):
    """Sets aside what a request may use of limits."""

    async def reserve(self, account: Account) -> Mapping[str, str]:
        """Headers for the answer. Raises LimitReachedError, and ChatError 503 where nobody can tell."""
        ...

    def reserve_now(self, account: Account) -> bytes | None:
        """The same where nobody has to be asked, as lines (``head_lines``); else None, and nothing is set aside."""
        ...


class Accounts:
    """One a process."""

    def __init__(self) -> None:
        self._opened: tuple[Listener, ...] = ()
        self._closed: tuple[Listener, ...] = (Account.settle,)
        self.limits: Limiter | None = None

    def listen(self, closed: Listener, opened: Listener | None = None) -> None:
        """Tell them of every account from now on, after those that were told so far."""
        self._closed += (closed,)
        if opened is not None:
            self._opened += (opened,)

    def open(self, account: Account) -> Account:
        for tell in self._opened:
            tell(account)
        return account

    def reserve_now(self, account: Account) -> bytes | None:
        """Lines for the head of the answer to an account that is not open yet; None where ``reserve`` must be asked."""
        if not account.principal.limited or self.limits is None:
            return b""
        return self.limits.reserve_now(account)

    async def reserve(self, account: Account, tell: Callable[[Mapping[str, str]], None]) -> None:
        """Before an instance is asked. Whoever has no limit does not wait. ``tell`` takes headers for the answer.

        Raises ChatError 429 and 503.
        """
        if not account.principal.limited or self.limits is None:
            return
        try:
            tell(await self.limits.reserve(account))
        except LimitReachedError as error:
            tell(error.headers)
            raise

    def close(self, account: Account, ending: Ending, error: ChatError | None = None) -> None:
        """The end; only the first counts."""
        if account.ending is not None:
            return
        account.ending = ending
        account.ended_at = time.perf_counter()
        if error is not None:
            account.status, account.error_code = error.status, error.code
            error.is_accounted = True
        elif ending is STOPPED:
            account.status = CLIENT_CLOSED
        for tell in self._closed:
            try:
                tell(account)
            except Exception:  # an edge: whoever counts must not break an answer
                logger.exception("request %s could not be counted", account.request_id)


@dataclass(frozen=True, slots=True)
class Payer:
    """For whom an engine is asked. ``on_headers`` takes what the answer's head is to say about limits."""

    principal: Principal
    operation: str
    request_id: str
    on_headers: Callable[[Mapping[str, str]], None] = lambda headers: None
