"""What limits cost a request: processor time to set aside and settle, with and without a limit, side by side.

    python bench/bench_limits.py [--requests 20000] [--rounds 5] [--quick]

Starts a Valkey of its own. Each round takes all the rows in turn, so that what else the machine does falls on all.

    none     a caller without limits
    wide     a key, a person and a workspace with limits of which plenty is left: let in from an advance
    narrow   the same with hardly more parallel requests than are made: nearly every request asks Valkey
    at 1     one request after the other, each told to an engine (the loop turns once) before it ends
    at 64    so many under way at once
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

import django
import redis

from console.supervisor.valkey import render_valkey_command

REQUESTS_A_MINUTE, TOKENS_A_DAY = 100_000_000, 100_000_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="the short way, to see that it runs")
    options = parser.parse_args()
    if options.quick:
        options.requests, options.rounds = 1_000, 2
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as temporary:
        os.environ["SLIPWAY_DATA_DIR"] = temporary
        django.setup()
        socket = Path(temporary) / "valkey.sock"
        valkey = subprocess.Popen(render_valkey_command(socket), stdout=subprocess.DEVNULL)
        try:
            wait_for(socket)
            asyncio.run(measure(f"unix://{socket}", options.requests, options.rounds))
        finally:
            valkey.kill()
            valkey.wait()


def wait_for(socket: Path) -> None:
    with redis.Redis(unix_socket_path=str(socket)) as client:
        for _ in range(200):
            try:
                client.ping()
                return
            except redis.ConnectionError:
                time.sleep(0.05)
    raise SystemExit("Valkey does not answer.")


async def measure(url: str, requests: int, rounds: int) -> None:
    from inference_gateway.accounts import Accounts
    from inference_gateway.metering.limits import LimitKeeper
    from inference_gateway.principals import Limits, Principal, Proof, Subject

    async def read_used(subject: str, now: datetime) -> tuple[int, int]:
        return 0, 0

    keeper = LimitKeeper(url, read_used)
    accounts = Accounts()
    accounts.limits = keeper
    accounts.listen(keeper.closed)
    rows: dict[tuple[str, int], list[float]] = {}
    keeping = asyncio.create_task(keeper.keep())
    for number in range(rounds + 1):
        for at_once in (1, 64):
            for name, parallel in (("none", 0), ("wide", 10_000), ("narrow", at_once + 7)):
                limit = Limits(REQUESTS_A_MINUTE, TOKENS_A_DAY, parallel, TOKENS_A_DAY, TOKENS_A_DAY)
                kinds = ("key", "person", "workspace") if parallel else ()
                subjects = tuple(Subject(f"{kind}:{name}", limit) for kind in kinds)
                principal = Principal(Proof.API_KEY, 1, 1, 1, subjects)
                taken = await ask_many(accounts, principal, requests, at_once)
                if number:  # the first round warms up
                    rows.setdefault((name, at_once), []).append(taken)
    keeping.cancel()
    await keeper.close()
    for (name, at_once), taken_each in rows.items():
        print(f"limits  {name:7} at {at_once:3}: {statistics.median(taken_each):6.1f} us of processor a request")
    for at_once in (1, 64):
        more = statistics.median(rows["wide", at_once]) - statistics.median(rows["none", at_once])
        print(f"limits  a wide limit at {at_once:3} costs {more:.1f} us")


async def ask_many(accounts: object, principal: object, requests: int, at_once: int) -> float:
    """Microseconds of this process for each request, its account's opening and closing included."""
    from inference_gateway.accounts import Account, Accounts, Ending
    from inference_gateway.chat import Usage
    from inference_gateway.directory import ServiceEntry
    from inference_gateway.principals import Principal

    counted, caller = cast(Accounts, accounts), cast(Principal, principal)
    measure_prompt: Callable[[], tuple[int, int]] = lambda: (400, 2)  # noqa: E731

    async def ask(times: int) -> None:
        for _ in range(times):
            service = cast(ServiceEntry, None)  # limits do not depend on it
            account = Account(service, caller, "chat", "1", measure=measure_prompt, most_completion_tokens=100)
            await counted.reserve(counted.open(account), lambda headers: None)
            await asyncio.sleep(0)
            account.count(Usage(100, 50))
            counted.close(account, Ending.FINISHED)

    began = time.process_time()
    await asyncio.gather(*(ask(requests // at_once) for _ in range(at_once)))
    return (time.process_time() - began) / (requests // at_once * at_once) * 1e6


if __name__ == "__main__":
    main()
