"""Limits and usage of one server process: what listens to its accounts, and the tasks beside."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

from inference_gateway.accounts import Accounts
from inference_gateway.database import in_database
from inference_gateway.http import cancel_and_wait
from inference_gateway.metering.limits import LimitKeeper
from inference_gateway.metering.spool import Spool
from inference_gateway.metering.taking import read_used


class Meter:
    """Begins with the event loop. ``folder`` takes the spools, on a disk that outlives the process."""

    def __init__(self, accounts: Accounts, folder: Path, redis_url: str) -> None:
        self._spool = Spool(folder)
        self._limits = LimitKeeper(redis_url, self._read_used)
        accounts.limits = self._limits
        accounts.listen(self._spool.closed)
        accounts.listen(self._limits.closed)
        self._tasks = (asyncio.create_task(self._spool.keep()), asyncio.create_task(self._limits.keep()))

    async def _read_used(self, subject: str, now: datetime) -> tuple[int, int]:
        await self._spool.take()
        return await in_database(read_used, subject, now)

    async def close(self) -> None:
        """After the last request."""
        for task in self._tasks:
            await cancel_and_wait(task, again_seconds=1.0)
        await self._spool.close()
        await self._limits.close()
