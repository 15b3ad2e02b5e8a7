"""Loads: what is asked of a gateway, and what is counted meanwhile. Each runs in an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bench.gateway.client import TOKEN_MARK, Answer, Connection, Target, connect_many

Result = TypeVar("Result")
Probe = Callable[[], float]


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """In a fresh event loop, uvloop's where it is installed."""
    try:
        import uvloop  # optional: figures are worse without it, and still comparable with each other
    except ImportError:
        return asyncio.run(coroutine)
    return uvloop.run(coroutine)


@dataclass(frozen=True, slots=True)
class Throughput:
    """A closed loop's outcome. ``cpu_seconds`` are the gateway's own for all ``answered`` and ``failed``."""

    answered: int
    failed: int
    seconds: float
    cpu_seconds: float
    latencies_ms: tuple[float, float]  # p50, p99


def alone(target: Target, count: int) -> list[float]:
    """Seconds of each of ``count`` questions, one after the other on one connection.

    On a blocking socket, so that no event loop of ours is in the figure. Raises ValueError for a wrong answer.
    """
    request = target.request()
    times = []
    with socket.create_connection((target.host, target.port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            answer = Answer()
            began = time.perf_counter()
            connection.sendall(request)
            while not answer.is_whole:
                data = connection.recv(65536)
                if not data:
                    raise ValueError("the connection was closed in an answer")
                answer.feed(data)
            times.append(time.perf_counter() - began)
            if answer.status != 200:
                raise ValueError(f"answered with {answer.status}: {answer.raw[:300]!r}")
    return times


def saturate(target: Target, connections: int, seconds: float, probe: Probe, orders: str = "") -> Throughput:
    """As many unary answers as ``connections`` get one after the other: by wrk where it is installed."""
    if (wrk := shutil.which("wrk")) is not None:
        return _saturate_by_wrk([wrk, f"-c{connections}"], target, seconds, probe, orders)
    return run(_saturate(target, connections, seconds, probe, orders))


def _saturate_by_wrk(wrk: list[str], target: Target, seconds: float, probe: Probe, orders: str) -> Throughput:
    body = target.body(orders, is_stream=False).decode()
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in target.headers.items()]
    lines += ['wrk.method = "POST"', f"wrk.body = [==[{body}]==]", 'wrk.headers["Content-Type"] = "application/json"']
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write("\n".join(lines))
        script.flush()
        command = [*wrk, "-t1", f"-d{max(1, round(seconds))}s", "--latency", "--timeout", "10s"]
        command += ["-s", script.name, f"http://{target.host}:{target.port}{target.path}"]
        before = probe()
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return parse_wrk(output, probe() - before)


_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


def parse_wrk(output: str, cpu_seconds: float) -> Throughput:
    """What ``wrk --latency`` printed. Pure; raises ValueError for what it did not print."""
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)\b", output)
    if total is None:
        raise ValueError(f"no result of wrk: {output!r}")
    latencies = []
    for share in ("50", "99"):
        found = re.search(rf"^\s+{share}%\s+([\d.]+)(us|ms|s|m)$", output, re.MULTILINE)
        latencies.append(float(found[1]) * _UNITS_MS[found[2]] if found else 0.0)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    failed = int(refused[1]) if refused else 0
    lost = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    broken = sum(map(int, lost.groups())) if lost else 0
    seconds = float(total[2]) * _UNITS_MS[total[3]] / 1000
    return Throughput(int(total[1]) - failed, failed + broken, seconds, cpu_seconds, (latencies[0], latencies[1]))


async def _saturate(target: Target, connections: int, seconds: float, probe: Probe, orders: str) -> Throughput:
    from bench.gateway.figures import percentile  # here for the one who has no wrk

    request = target.request(orders)
    latencies: list[float] = []
    failed = 0
    opened = await connect_many(target, connections)
    ends_at = time.monotonic() + seconds
    ended = asyncio.Event()
    working = len(opened)

    def again(connection: Connection) -> None:
        nonlocal failed, working
        if connection.answer.status == 200 and connection.answer.is_whole:
            latencies.append(time.monotonic() - connection.asked_at)
        else:
            failed += 1
        if connection.is_lost or time.monotonic() >= ends_at:
            working -= 1
            if not working:
                ended.set()
        else:
            connection.ask(request, again)

    began, before = time.monotonic(), probe()
    for connection in opened:
        connection.ask(request, again)
    await ended.wait()
    took, spent = time.monotonic() - began, probe() - before
    hang_up(opened)
    middle, last = (percentile(latencies, share) * 1000 if latencies else 0.0 for share in (0.5, 0.99))
    return Throughput(len(latencies), failed, took, spent, (middle, last))


class StreamWatch:
    """One stream's tokens as they arrive."""

    def __init__(self, connection: Connection, counts: StreamCounts) -> None:
        self.connection = connection
        self.counts = counts
        self.first_at = 0.0
        self.last_at = 0.0
        self.gaps: list[float] = []
        connection.on_read = self.note

    def note(self, data: bytes) -> None:
        tokens = data.count(TOKEN_MARK)
        if not tokens:
            return
        now = time.monotonic()
        self.counts.tokens += tokens
        self.counts.reads += 1
        if self.first_at:
            self.gaps.append(now - self.last_at)
        else:
            self.first_at = now
            self.counts.note_begun()
        self.last_at = now


@dataclass(slots=True)
class StreamCounts:
    """Of all streams of a load; ``reads`` brought at least one token each."""

    wanted: int
    begun: int = 0
    tokens: int = 0
    reads: int = 0
    have_begun: asyncio.Event = field(default_factory=asyncio.Event)

    def note_begun(self) -> None:
        self.begun += 1
        if self.begun == self.wanted:
            self.have_begun.set()

    async def wait_begun(self, seconds: float) -> None:
        """Until every stream has brought a token, or that long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.have_begun.wait(), seconds)


@dataclass(frozen=True, slots=True)
class Streaming:
    """Streams side by side. Tokens, reads and processor time are of a window in which all were being written."""

    streams: int
    broken: int  # not every token in order and a proper end
    tokens: int
    reads: int
    seconds: float
    cpu_seconds: float
    first_ms: list[float]
    gaps_ms: list[float]


async def stream_side_by_side(target: Target, streams: int, rate: int, seconds: float, probe: Probe) -> Streaming:
    """``streams`` answers at ``rate`` tokens a second each; the processor is watched for ``seconds``."""
    ramp_seconds = max(1.0, streams / 400)
    tokens = round((ramp_seconds + seconds + 1.5) * rate)
    request = target.request(f"tokens={tokens} gap={1000 // rate}", is_stream=True)
    counts = StreamCounts(streams)
    connections = await connect_many(target, streams)
    watches = [StreamWatch(connection, counts) for connection in connections]
    ended = [asyncio.get_running_loop().create_future() for _ in connections]
    for number, connection in enumerate(connections):
        connection.ask(request, ended[number].set_result)
        await asyncio.sleep(ramp_seconds / streams)
    await counts.wait_begun(ramp_seconds + 10)
    began, before = time.monotonic(), probe()
    tokens_before, reads_before = counts.tokens, counts.reads
    await asyncio.sleep(seconds)
    spent, took = probe() - before, time.monotonic() - began
    tokens_in_window, reads_in_window = counts.tokens - tokens_before, counts.reads - reads_before
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*ended), 30 + tokens / rate)
    broken = sum(not is_good_stream(connection.answer, tokens) for connection in connections)
    hang_up(connections)
    return Streaming(
        streams,
        broken,
        tokens_in_window,
        reads_in_window,
        took,
        spent,
        [(watch.first_at - watch.connection.asked_at) * 1000 for watch in watches if watch.first_at],
        [gap * 1000 for watch in watches for gap in watch.gaps],
    )


def is_good_stream(answer: Answer, tokens: int) -> bool:
    """Whether the answer is a 200 with every token in order and the end that OpenAI's streams have."""
    try:
        return answer.status == 200 and answer.is_whole and answer.has_tokens(tokens)
    except ValueError:
        return False


async def hold_streams(target: Target, streams: int, memory: Probe) -> tuple[int, float]:
    """Open ``streams`` answers of a token a second; how many had begun, and what ``memory`` says while all are open."""
    request = target.request("tokens=3600 gap=1000", is_stream=True)
    counts = StreamCounts(streams)
    connections: list[Connection] = []
    while len(connections) < streams:
        some = await connect_many(target, min(100, streams - len(connections)))
        for connection in some:
            StreamWatch(connection, counts)
            connection.ask(request, lambda _: None)
        connections += some
    await counts.wait_begun(30 + streams / 50)
    await asyncio.sleep(2)
    held = memory()
    open_still = sum(not connection.is_lost for connection in connections)
    hang_up(connections)
    return min(counts.begun, open_still), held


def hang_up(connections: list[Connection]) -> None:
    for connection in connections:
        connection.on_end = None
        connection.transport.abort()
