"""The measures of one arm: loads and the processes' costs put together, by name (``report.MEASURES``)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.gateway import loads
from bench.gateway.arms import SLOTS, Arm, InvalidError, engine_stats
from bench.gateway.client import connect, get_json
from bench.gateway.dialogues import hold_dialogues, hold_idle
from bench.gateway.figures import percentile
from bench.gateway.open_loop import Offered, OpenLoop
from bench.gateway.processes import cpu_seconds, memory_kib

Figures = dict[str, float]
#: After this long a gateway that has not told the engine never will.
CANCEL_SECONDS = 2.0
#: What a caller waits for an answer before it is worth nothing.
DEADLINE_SECONDS = 1.0
#: Questions a second that the generator can offer on one core, with the engine beside it.
MOST_OFFERED = 12_000
#: The share of questions that may leave the generator late.
MOST_SENT_LATE = 0.02
#: Of WebSockets that are held idle, how many ask something at the end.
ASKED_OF_IDLE = 100
#: What the engine with a bound takes for an answer.
BOUNDED_MS = 50


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is asked; seconds are of each load."""

    rounds: int = 5
    questions: int = 2000
    connections: int = 32
    seconds: float = 5.0
    overload_seconds: float = 15.0
    streams: int = 200
    rate: int = 50
    held: tuple[int, ...] = (1000, 5000)
    websockets: int = 1000
    idle_websockets: int = 10_000
    cancels: int = 20


QUICK = Scale(
    rounds=1,
    questions=200,
    connections=16,
    seconds=1.0,
    overload_seconds=2.0,
    streams=50,
    held=(100,),
    websockets=100,
    idle_websockets=500,
    cancels=3,
)


def measure_rest(arm: Arm, scale: Scale) -> Figures:
    """What it takes of its core while nobody asks: it is in every other figure too."""
    pids = arm.pids()
    if not pids:
        return {}
    began, before = time.monotonic(), cpu_seconds(pids)
    time.sleep(scale.seconds)
    return {"rest_share": (cpu_seconds(pids) - before) / (time.monotonic() - began)}


def measure_latency(arm: Arm, scale: Scale) -> Figures:
    """One caller, one question at a time."""
    loads.alone(arm.target, max(20, scale.questions // 10))  # warm
    times = loads.alone(arm.target, scale.questions)
    return {"latency_p50_us": percentile(times, 0.5) * 1e6, "latency_p99_us": percentile(times, 0.99) * 1e6}


def measure_throughput(arm: Arm, scale: Scale) -> Figures:
    """Raises InvalidError where any answer was no 200: errors are quick, and would look like speed."""
    pids, beside = arm.pids(), arm.beside()
    beside_before = cpu_seconds(beside)
    result = loads.saturate(arm.target, scale.connections, scale.seconds, lambda: cpu_seconds(pids))
    if result.failed or not result.answered:
        raise InvalidError(f"{result.failed} of {result.failed + result.answered} questions failed under load")
    figures = {
        "throughput_rps": result.answered / result.seconds,
        "loaded_p50_ms": result.latencies_ms[0],
        "loaded_p99_ms": result.latencies_ms[1],
    }
    if pids:
        figures["cpu_us_request"] = result.cpu_seconds * 1e6 / result.answered
        figures["capacity_rps"] = result.answered / result.cpu_seconds if result.cpu_seconds else 0.0
        figures["busy"] = result.cpu_seconds / result.seconds
    if beside:
        figures["beside_us_request"] = (cpu_seconds(beside) - beside_before) * 1e6 / result.answered
    return figures


def measure_streaming(arm: Arm, scale: Scale) -> Figures:
    """Raises InvalidError where a token was lost, doubled or moved, or an end missing."""
    pids = arm.pids()
    result = loads.run(
        loads.stream_side_by_side(
            arm.target,
            min(scale.streams, arm.most_streams),
            scale.rate,
            max(2.0, scale.seconds),
            lambda: cpu_seconds(pids),
        )
    )
    if result.broken or not result.tokens:
        raise InvalidError(f"{result.broken} of {result.streams} streams were not what the engine wrote")
    figures = {
        "first_p50_ms": percentile(result.first_ms, 0.5),
        "first_p99_ms": percentile(result.first_ms, 0.99),
        "gap_p99_ms": percentile(result.gaps_ms, 0.99),
        "tokens_read": result.tokens / result.reads,
    }
    if pids:
        figures["cpu_us_token"] = result.cpu_seconds * 1e6 / result.tokens
        figures["cpu_us_piece"] = result.cpu_seconds * 1e6 / result.reads
    return figures


def measure_cancelling(arm: Arm, scale: Scale) -> Figures:
    """How long after the caller hung up the engine is told. ``CANCEL_SECONDS`` stands for never."""
    figures: Figures = {}
    for name, orders, is_stream in (("stream", "tokens=500 gap=10", True), ("unary", "tokens=5 delay=3000", False)):
        count = scale.cancels if is_stream else max(2, scale.cancels // 4)
        times = [loads.run(_cancel(arm, orders, is_stream=is_stream)) for _ in range(count)]
        figures[f"cancel_{name}_p50_ms"] = percentile(times, 0.5) * 1000
        figures[f"cancel_{name}_max_ms"] = max(times) * 1000
    return figures


async def _cancel(arm: Arm, orders: str, *, is_stream: bool) -> float:
    stats = await _stats_where(arm, lambda found: found["live"] == 0, 10)
    cancelled_before = stats["cancelled"]
    connection = await connect(arm.target)
    connection.ask(arm.target.request(orders, is_stream=is_stream), lambda _: None)
    await _stats_where(arm, lambda found: found["live"] == 1, 10)
    if is_stream:
        await asyncio.sleep(0.05)
    hung_up_at = time.monotonic()
    connection.transport.abort()
    try:
        stats = await _stats_where(arm, lambda found: found["cancelled"] != cancelled_before, CANCEL_SECONDS)
    except TimeoutError:
        return CANCEL_SECONDS
    instants = stats["cancelled_at"]
    assert isinstance(instants, list)
    return max(0.0, float(instants[-1]) - hung_up_at)


async def _stats_where(arm: Arm, is_so: Callable[[dict[str, object]], bool], seconds: float) -> dict[str, object]:
    """The engine's counts once they are so. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            found = await get_json(arm.engine_port, "/stats")
            if is_so(found):
                return found
            await asyncio.sleep(0.01)


def measure_memory(arm: Arm, scale: Scale) -> Figures:
    """What a held stream costs. Of a gateway just started: memory that was taken once is seldom given back."""
    pids = arm.pids()
    if not pids:
        return {}
    loads.alone(arm.target, 100)  # what is loaded and kept at the first questions is no stream's
    before = memory_kib(pids)
    figures: Figures = {"idle_mib": before / 1024}
    for streams in sorted({min(held, arm.most_streams) for held in scale.held}):
        begun, held = loads.run(loads.hold_streams(arm.target, streams, lambda: memory_kib(pids)))
        if begun < streams:
            raise InvalidError(f"only {begun} of {streams} streams were held")
        figures[f"held_{streams}_kib"] = (held - before) / streams
        began = time.monotonic()
        while engine_stats(arm)["live"] and time.monotonic() < began + 10:
            time.sleep(0.05)
        figures[f"let_go_{streams}_s"] = time.monotonic() - began
    return figures


def measure_dialogues(arm: Arm, scale: Scale) -> Figures:
    """What a WebSocket costs that is open, and that has had one question answered: memory only, of a fresh gateway."""
    if not arm.websocket_path:
        return {}
    arm.renew()
    pids = arm.pids()
    loads.alone(arm.target, 100)
    before = memory_kib(pids)
    count = scale.websockets
    answered, opened, asked = loads.run(hold_dialogues(arm.target, arm.websocket_path, count, lambda: memory_kib(pids)))
    if answered < count:
        raise InvalidError(f"only {answered} of {count} WebSockets were answered")
    return {"websocket_kib": (opened - before) / count, "websocket_asked_kib": (asked - before) / count}


def measure_idle(arm: Arm, scale: Scale) -> Figures:
    """What one of very many idle WebSockets costs, all of which were let in and some of which are asked after."""
    if not arm.websocket_path:
        return {}
    arm.renew()
    pids = arm.pids()
    loads.alone(arm.target, 100)
    before, count = memory_kib(pids), scale.idle_websockets
    let_in, answered, idle = loads.run(
        hold_idle(arm.target, arm.websocket_path, count, ASKED_OF_IDLE, lambda: memory_kib(pids))
    )
    if let_in < count or answered < min(count, ASKED_OF_IDLE):
        raise InvalidError(f"{let_in} of {count} idle WebSockets were let in, and {answered} answered after")
    return {"websocket_idle_count": count, "websocket_idle_kib": (idle - before) / count}


def measure_overload(arm: Arm, scale: Scale, peak: float) -> Figures:
    """Twice what the arm itself answers at its best, where the generator can offer that."""
    if 2 * peak > MOST_OFFERED:
        return {}
    offered = loads.run(OpenLoop(arm.target, "", DEADLINE_SECONDS).offer(2 * peak, scale.overload_seconds))
    return describe_overload("overload", offered, peak)


def measure_bounded(arm: Arm, scale: Scale) -> Figures:
    """Twice what an engine answers that is slower than any gateway, as engines of language models are."""
    if arm.bounded is None:
        return {}
    orders = f"tokens=4 delay={BOUNDED_MS}"
    best = loads.saturate(arm.bounded, 2 * SLOTS, scale.seconds, lambda: 0.0, orders)
    if best.failed or not best.answered:
        raise InvalidError(f"{best.failed} questions failed at the bound of the engine")
    peak = best.answered / best.seconds
    offered = loads.run(OpenLoop(arm.bounded, orders, DEADLINE_SECONDS).offer(2 * peak, scale.overload_seconds))
    return describe_overload("bounded", offered, peak)


def describe_overload(name: str, offered: Offered, peak: float) -> Figures:
    """Nothing where the generator itself was late: then it measured itself. Pure."""
    if not offered.offered or offered.sent_late > offered.offered * MOST_SENT_LATE:
        return {}
    figures = {
        f"{name}_goodput": len(offered.good_ms) / offered.seconds / peak,
        f"{name}_refused": len(offered.refused_ms) / offered.offered,
        f"{name}_failed": (offered.failed + offered.late) / offered.offered,
    }
    if offered.good_ms:
        figures[f"{name}_good_p99_ms"] = percentile(offered.good_ms, 0.99)
    if offered.refused_ms:
        figures[f"{name}_refused_p99_ms"] = percentile(offered.refused_ms, 0.99)
    return figures


def measure_round(arm: Arm, scale: Scale) -> Figures:
    """Everything that rounds repeat."""
    figures = measure_rest(arm, scale) | measure_latency(arm, scale) | measure_throughput(arm, scale)
    if arm.name != "direct":
        figures |= measure_cancelling(arm, scale)
        figures |= measure_bounded(arm, scale) | measure_overload(arm, scale, figures["throughput_rps"])
    return figures | measure_streaming(arm, scale)
