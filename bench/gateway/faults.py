"""What befalls a Slipway that many are asking, and what it cost each of them.

Three faults: a server process is killed, one is told to end (as an upgrade does), a service's instances are replaced.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.gateway.arms import deploy_engine
from bench.gateway.client import TOKEN, Connection, Target, connect, get
from bench.gateway.crowd import Asked, Crowd, Size
from bench.gateway.figures import percentile
from bench.gateway.loads import hang_up
from bench.gateway.processes import find_holders
from tests.slipway_client import PASSWORD, SlipwayClient
from tests.slipway_process import SlipwayProcess
from tests.static_files import build_static_files
from tests.waiting import stretch, wait_until_async

PLAIN, RESUMABLE = "bench_plain", "bench_resumable"
RESUME_SECONDS = 120
#: What the pretended engine counts of any question.
PROMPT_TOKENS = 20
DESCRIBED = 5


class Site:
    """Slipway as its supervisor starts it, with several server processes and two services; streams of one resume."""

    def __init__(self, folder: Path, processes: int) -> None:
        self._processes = processes
        self.slipway = SlipwayProcess(
            folder / "faults", SLIPWAY_ADMIN_PASSWORD=PASSWORD, SLIPWAY_SERVER_PROCESSES=str(processes)
        )
        self.port = self.slipway.port

    def start(self) -> None:
        build_static_files(self.slipway.data_dir)
        self.slipway.start(120)
        self.client = SlipwayClient(self.slipway)
        policy = {"networking": {"gateway_policy": {"resume_seconds": RESUME_SECONDS}}}
        self.plain = deploy_engine(self.client.http, self.port, PLAIN)
        self.resumable = deploy_engine(self.client.http, self.port, RESUMABLE, more=policy)

    def stop(self) -> None:
        self.slipway.end_everything()

    def gather(self, size: Size) -> Crowd:
        return Crowd(size, (self.plain, self.resumable), self.plain)

    def holders(self) -> dict[int, int]:
        """Which server process has which connection, by the caller's port."""
        return find_holders(self.port, self.slipway.servers())

    def instances(self) -> set[str]:
        return {name for (name,) in self.slipway.query("SELECT name FROM deployments_instance")}

    def replace_instances(self) -> None:
        """Begin a rollout of both services."""
        for name in (PLAIN, RESUMABLE):
            self.client.call("PUT", f"/services/local/{name}/restart").raise_for_status()

    def has_replaced(self, old: set[str]) -> bool:
        statuses = self.slipway.query("SELECT status FROM deployments_service")
        return not self.instances() & old and {status for (status,) in statuses} == {"Running"}

    def usage(self) -> dict[str, list[tuple[str, int, int]]]:
        """Ending and tokens of each row of usage, by the request's id."""
        rows: dict[str, list[tuple[str, int, int]]] = {}
        for number, *told in self.slipway.query(
            "SELECT request_id, ending, prompt_tokens, completion_tokens FROM inference_gateway_usageevent"
        ):
            rows.setdefault(number, []).append((told[0], told[1], told[2]))
        return rows

    def sums(self) -> tuple[int, int]:
        """Requests and tokens by the hours' sums, which bills would be made of."""
        [(requests, tokens)] = self.slipway.query(
            "SELECT SUM(requests), SUM(prompt_tokens + completion_tokens) FROM inference_gateway_usagehour"
        )
        return int(requests or 0), int(tokens or 0)


@dataclass(slots=True)
class Outcome:
    """One fault. ``others`` are questions that were in no hand of the process that was ended; of its own, ``own``."""

    fault: str
    crowd: Crowd
    victim: int | None = None
    seconds: float = 0.0  # until a new process answers, or the rollout is over
    shares: list[int] = field(default_factory=list)  # streams of each process when it happened
    live_streams: int = 0
    own: list[Asked] = field(default_factory=list)
    others: list[Asked] = field(default_factory=list)
    usage_faults: list[str] = field(default_factory=list)
    usage_rows: int = 0
    usage_cut_rows: int = 0  # of answers that their callers did not get whole
    resumed: int = 0
    resume_faults: list[str] = field(default_factory=list)
    #: Cut so early that nothing of them was stored; their callers ask anew.
    unstored: int = 0
    most_unstored_tokens: int = 0

    @property
    def faults(self) -> list[str]:
        """Everything that must not be."""
        return [one.describe() for one in self.others] + self.usage_faults + self.resume_faults

    def as_json(self) -> dict[str, object]:
        crowd = self.crowd
        took = [one.ended_at - one.asked_at for one in crowd.asked.values() if one.ended_at and not one.is_stream]
        short = sum(not one.is_stream for one in crowd.asked.values())
        return {
            "fault": self.fault,
            "seconds_to_recover": round(self.seconds, 2),
            "streams_of_each_process": self.shares,
            "streams_at_that_time": self.live_streams,
            "offered_per_second": crowd.size.rate,
            "seconds": round(crowd.ended_at - crowd.began_at, 1),
            "asked_per_second": round(short / (crowd.ended_at - crowd.began_at), 1),
            "short_answers": crowd.short_whole,
            "short_p50_ms": round(percentile(took, 0.5) * 1000, 1),
            "short_p99_ms": round(percentile(took, 0.99) * 1000, 1),
            "whole_streams": crowd.streams_whole,
            "broken_of_its_own": Counter("stream" if one.is_stream else "short" for one in self.own),
            "broken_of_others": len(self.others),
            "usage_rows": self.usage_rows,
            "usage_rows_of_broken": self.usage_cut_rows,
            "resumed": self.resumed,
            "cut_before_stored": self.unstored,
            "most_tokens_not_stored": self.most_unstored_tokens,
            "faults": self.faults[:DESCRIBED],
        }


async def end_process(site: Site, size: Size, number: signal.Signals) -> Outcome:
    """Signal the server process that has the middle share of the streams under way; SIGKILL or SIGTERM."""
    crowd = site.gather(size)
    await crowd.start()
    await _answer_more(crowd)
    holders = site.holders()
    while crowd.is_opening or not all(port_of(one) in holders for one in crowd.connections if not one.is_lost):
        await asyncio.sleep(0.02)
        holders = site.holders()
    # No await from here to the signal: nobody opens a connection meanwhile.
    streaming = [one.connection for one in crowd.under_way if one.is_stream and one.connection is not None]
    shares = dict.fromkeys(site.slipway.servers(), 0)
    for one in streaming:
        shares[holders[port_of(one)]] += 1
    victim = sorted(shares, key=lambda pid: shares[pid])[len(shares) // 2]
    held = {one for one in crowd.connections if not one.is_lost and holders[port_of(one)] == victim}
    outcome = Outcome("kill" if number is signal.SIGKILL else "terminate", crowd, victim)
    outcome.shares = sorted(shares.values())
    outcome.live_streams = len(streaming)
    before, began = site.slipway.servers(), time.monotonic()
    os.kill(victim, number)
    await _wait_accepting(site, before)
    outcome.seconds = time.monotonic() - began
    await _answer_more(crowd)
    await crowd.stop()
    for asked in broken(crowd):
        (outcome.own if asked.connection in held else outcome.others).append(asked)
    if number is signal.SIGTERM:  # nothing is excused
        outcome.others += outcome.own
    await _judge_resuming(site, outcome)
    await _judge_usage(site, outcome)
    return outcome


async def replace_instances(site: Site, size: Size) -> Outcome:
    """A rollout of both services."""
    crowd = site.gather(size)
    await crowd.start()
    await _answer_more(crowd)
    outcome = Outcome("rollout", crowd)
    outcome.live_streams = sum(one.is_stream for one in crowd.under_way)
    old, began = await asyncio.to_thread(site.instances), time.monotonic()
    await asyncio.to_thread(site.replace_instances)
    await _wait(lambda: site.has_replaced(old), "the instances are replaced", 120)
    outcome.seconds = time.monotonic() - began
    await _answer_more(crowd)
    await crowd.stop()
    outcome.others = broken(crowd)
    await _judge_usage(site, outcome)
    return outcome


def broken(crowd: Crowd) -> list[Asked]:
    return [one for one in crowd.asked.values() if not one.is_whole]


def port_of(connection: Connection) -> int:
    """The caller's own."""
    name = connection.transport.get_extra_info("sockname")
    return int(name[1])


async def _wait(probe: Callable[[], bool], what: str, seconds: float) -> None:
    """``probe`` runs in a thread: it asks a database."""
    await wait_until_async(lambda: asyncio.to_thread(probe), what, seconds)


async def _answer_more(crowd: Crowd) -> None:
    """Until everybody has been at it for a while: some seconds' short answers, and half of the streams."""
    short = crowd.short_whole + round(crowd.size.rate * crowd.size.calm_seconds)
    streams = crowd.streams_whole + crowd.size.streams // 2

    async def have() -> bool:
        return crowd.short_whole >= short and crowd.streams_whole >= streams

    await wait_until_async(have, "the crowd is answered", 60)


async def _wait_accepting(site: Site, before: Iterable[int]) -> None:
    """Until a process that is not of ``before`` has answered a request."""
    target = Target(site.port)
    known = set(before)

    async def has_answered() -> bool:
        new = site.slipway.servers() - known
        if not new:
            return False
        connection = await connect(target)
        ended: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        connection.ask(b"GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n", ended.set_result)
        try:
            await asyncio.wait_for(ended, 30)
            return find_holders(site.port, new).get(port_of(connection)) is not None
        finally:
            hang_up([connection])

    await wait_until_async(has_answered, "a new process answers", 60)


async def _judge_resuming(site: Site, outcome: Outcome) -> None:
    """Every resumable stream that was cut comes again as far as it was stored, and ends as ``interrupted``."""
    cut = [one for one in outcome.own if one.is_stream and one.target is site.resumable and one.got]
    limit = asyncio.Semaphore(16)

    async def resume(one: Asked) -> None:
        path = f"/api/predict/{RESUMABLE}/.slipway/generations/{one.generation}"
        async with limit:
            whole = await get(site.port, path, one.target.headers, 60)
            rest = await get(site.port, f"{path}?offset={len(one.got)}", one.target.headers, 60)
        had, stored = _tokens(one.got), _tokens(whole.body_so_far)
        if whole.status == 404:
            outcome.unstored += 1
            outcome.most_unstored_tokens = max(outcome.most_unstored_tokens, len(had))
            return
        together = _tokens(one.got + rest.body_so_far)
        is_right = (
            (whole.status, rest.status) == (200, 200)
            and stored == list(range(len(stored)))
            and together == list(range(max(len(had), len(stored))))
            and _is_interrupted(whole.body_so_far)
            and _is_interrupted(rest.body_so_far)
        )
        if is_right:
            outcome.resumed += 1
            outcome.most_unstored_tokens = max(outcome.most_unstored_tokens, len(had) - len(stored))
        else:
            ends = f"{whole.body_so_far[-120:]!r}, {rest.body_so_far[-120:]!r}"
            outcome.resume_faults.append(f"resumed: {whole.status}, {rest.status}, {had}, {stored}, {together}, {ends}")

    await asyncio.gather(*map(resume, cut))


def _tokens(body: bytes) -> list[int]:
    return [int(number) for number in TOKEN.findall(body)]


def _is_interrupted(body: bytes) -> bool:
    last = body.rstrip().rpartition(b"data: ")[2]
    try:
        return bool(json.loads(last)["error"]["code"] == "interrupted")
    except (ValueError, KeyError, TypeError):
        return False


async def _judge_usage(site: Site, outcome: Outcome) -> None:
    """Each whole answer has one row with its tokens, any other at most one; the hours' sums say the same."""
    asked = outcome.crowd.asked
    wanted = {one.id for one in asked.values() if one.is_whole}
    limit = time.monotonic() + 45 * stretch()
    rows, last = await asyncio.to_thread(site.usage), -1
    # What broken ones used is stored behind them: until nothing more comes.
    while (not rows.keys() >= wanted or len(rows) != last) and time.monotonic() < limit:
        last = len(rows)
        await asyncio.sleep(2.0)
        rows = await asyncio.to_thread(site.usage)
    faults = outcome.usage_faults
    if lost := wanted - rows.keys():
        faults.append(f"{len(lost)} answers have no row of usage")
    for one in asked.values():
        told = rows.get(one.id, [])
        outcome.usage_rows += len(told)
        outcome.usage_cut_rows += 0 if one.is_whole else len(told)
        if len(told) > 1:
            faults.append(f"{one.id} has {len(told)} rows of usage")
        if one.is_whole and told and told[0] != ("finished", PROMPT_TOKENS, one.tokens):
            faults.append(f"{one.id} of {one.tokens} tokens was counted as {told[0]}")
    flat: Sequence[tuple[str, int, int]] = [row for found in rows.values() for row in found]
    stored = len(flat), sum(prompt + completion for _, prompt, completion in flat)
    if (sums := await asyncio.to_thread(site.sums)) != stored:
        faults.append(f"the hours say {sums[0]} requests of {sums[1]} tokens, the rows {stored[0]} of {stored[1]}")


Fault = Callable[[Site, Size], Coroutine[Any, Any, Outcome]]


async def kill(site: Site, size: Size) -> Outcome:
    return await end_process(site, size, signal.SIGKILL)


async def terminate(site: Site, size: Size) -> Outcome:
    """With streams of which two, one after the other, end within a server's grace: the second may begin in it."""
    return await end_process(site, replace(size, stream_tokens=size.stream_tokens // 2), signal.SIGTERM)


FAULTS: dict[str, Fault] = {"kill": kill, "rollout": replace_instances, "terminate": terminate}
