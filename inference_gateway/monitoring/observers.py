"""Everything that looks on while the gateway answers: counters, their writing down, the access log. One a process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from django.conf import settings

from inference_gateway.access_log import AccessLog
from inference_gateway.accounts import Accounts
from inference_gateway.calls import Call
from inference_gateway.chat import ChatError
from inference_gateway.monitoring.recording import Recorder
from inference_gateway.monitoring.tracing import open_tracing
from inference_gateway.monitoring.traffic import Traffic


class Observers:
    """``queued`` says how many wait for each service here, by uid."""

    def __init__(self, accounts: Accounts, queued: Callable[[], dict[str, int]]) -> None:
        self.traffic = Traffic()
        self._recorder = Recorder(self.traffic, queued)
        self._access_log = AccessLog() if settings.SLIPWAY_ACCESS_LOG else None
        self._tracing = open_tracing(settings.SLIPWAY_OTLP_ENDPOINT)
        accounts.listen(self.traffic.closed, self.traffic.opened)
        if self._tracing is not None:
            accounts.listen(self._tracing.closed, self._tracing.opened)
        if self._access_log is not None:
            accounts.listen(self._access_log.closed)

    @property
    def is_tracing(self) -> bool:
        return self._tracing is not None

    async def keep(self) -> None:
        """Write down what was seen, again and again, until cancelled."""
        if self._access_log is None:
            await self._recorder.keep()
        else:
            await asyncio.gather(self._recorder.keep(), self._access_log.keep())

    async def end(self) -> None:
        """Write what there is, once requests have ended."""
        if self._access_log is not None:
            self._access_log.write()
        await self._recorder.end()
        if self._tracing is not None:
            await self._tracing.end()

    def begin(self, call: Call) -> None:
        """A request has come."""
        if self._tracing is not None:
            self._tracing.begin(call)

    def refused(self, call: Call, error: ChatError) -> None:
        """A request is refused. One that came to an account was counted with it."""
        if error.is_accounted:
            return
        self.traffic.refused(call.service, call.target.operation, error.status)
        if self._access_log is not None:
            self._access_log.refused(call, error.status, error.code)
