"""A line of JSON for each request, where ``SLIPWAY_ACCESS_LOG`` is on: gathered on the way, written beside it.

Never a prompt, a token or an address that a caller gave; who asked is told by the ids of keys and people.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any

from inference_gateway.accounts import Account
from inference_gateway.calls import Call

logger = logging.getLogger("slipway.access")

WRITE_SECONDS = 0.5
#: What a disk that does not keep up may cost in memory; beyond it lines are left out, and counted.
MOST_PENDING = 20_000


class AccessLog:
    """A listener of accounts. One a process."""

    def __init__(self) -> None:
        self._pending: deque[tuple[float, Account | dict[str, Any]]] = deque()
        self._left_out = 0

    def closed(self, account: Account) -> None:
        self._note(account)

    def refused(self, call: Call, status: int, code: str) -> None:
        """A request that never came to an account."""
        service = call.service
        self._note(
            {
                "request_id": call.request_id,
                "service": None if service is None else service.name,
                "operation": call.target.operation,
                "status": status,
                "error": code,
                "ending": "refused",
            }
        )

    def _note(self, what: Account | dict[str, Any]) -> None:
        if len(self._pending) < MOST_PENDING:
            self._pending.append((time.time(), what))
        else:
            self._left_out += 1

    async def keep(self) -> None:
        """Write what came, again and again, until cancelled."""
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            await asyncio.to_thread(self.write)

    def write(self) -> None:
        """Write what has come so far. May run in a thread."""
        lines = []
        while self._pending:
            ended_at, what = self._pending.popleft()
            fields = {"time": datetime.fromtimestamp(ended_at, UTC).isoformat(timespec="milliseconds")}
            lines.append(json.dumps(fields | (describe(what) if isinstance(what, Account) else what)))
        left_out, self._left_out = self._left_out, 0
        if left_out:
            lines.append(json.dumps({"left_out": left_out}))
        if lines:
            logger.info("%s", "\n".join(lines))


def describe(account: Account) -> dict[str, Any]:
    """What a line says of an account."""
    prompt, completion = account.used
    first_at = account.first_token_at if account.is_stream else None
    return {
        "request_id": account.request_id,
        "service": account.service.name,
        "operation": account.operation,
        "status": account.status,
        "error": account.error_code or None,
        "ending": account.ending,
        "stream": account.is_stream,
        "seconds": round(account.ended_at - account.began_at, 6),
        "first_token_seconds": None if first_at is None else round(first_at - account.began_at, 6),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "tokens_counted_by": "engine" if account.is_counted else "estimate",
        "proof": account.principal.proof,
        "key_id": account.principal.key_id,
        "person_id": account.principal.person_id,
    }
