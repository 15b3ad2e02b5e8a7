"""An engine whose questions each have an account."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from functools import partial

from inference_gateway.accounts import Account, Accounts, Ending, Payer, Size
from inference_gateway.chat import ChatError, ChatEvent, ChatRequest, Done, Reasoning, Text, ToolCalls, Usage
from inference_gateway.directory import ServiceEntry
from inference_gateway.engines.base import Engine
from inference_gateway.placing import text_of


class AccountedEngine:
    """An ``Engine`` whose questions each have an account."""

    def __init__(self, engine: Engine, accounts: Accounts, service: ServiceEntry, payer: Payer) -> None:
        self._engine = engine
        self._accounts = accounts
        self._service = service
        self._payer = payer

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """See ``Engine``; and ChatError 429 and 503 of limits."""
        accounts, account = self._accounts, self._open(request)
        ending, failure = Ending.FAILED, None
        has_begun = is_done = False
        try:
            await accounts.reserve(account, self._payer.on_headers)
            async with contextlib.aclosing(self._engine.generate(request)) as events:
                async for event in events:
                    has_begun = True
                    is_done |= isinstance(event, Done)
                    note(account, event)
                    yield event
            ending = Ending.FINISHED
        except ChatError as error:
            failure = error
            ending = Ending.FAILED if has_begun else Ending.REFUSED
            raise
        except (GeneratorExit, asyncio.CancelledError):
            # As in a recorded turn: a choice that is done is an answer, even if the caller leaves before its usage.
            ending = Ending.FINISHED if is_done else Ending.STOPPED
            raise
        finally:
            accounts.close(account, ending, failure)

    def _open(self, request: ChatRequest) -> Account:
        return self._accounts.open(
            Account(
                service=self._service,
                principal=self._payer.principal,
                operation=self._payer.operation,
                request_id=self._payer.request_id,
                is_stream=True,
                measure=partial(size_of, request),
                most_completion_tokens=None if request.max_tokens is None else request.max_tokens * request.n,
            )
        )


def note(account: Account, event: ChatEvent) -> None:
    """What an event says of an account."""
    if isinstance(event, Usage):
        account.count(event)
    elif isinstance(event, Text | Reasoning | ToolCalls):
        if account.first_token_at is None:
            account.first_token_at = time.perf_counter()
        account.pieces += 1


def size_of(request: ChatRequest) -> Size:
    asked = request.messages or ({"content": request.prompt if isinstance(request.prompt, str) else ""},)
    return sum(len(text_of(message.get("content"))) for message in asked), len(asked)
