"""What was measured, as JSON for programs and Markdown for people; and the aims, met or missed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.gateway.figures import Figure, drift, summarize

Rounds = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Measure:
    """A row of the table. ``digits`` after the point."""

    key: str
    title: str
    digits: int = 0


MEASURES = (
    Measure("cpu_us_request", "processor per request, µs", 1),
    Measure("beside_us_request", "… of its other processes, µs", 1),
    Measure("cpu_us_token", "processor per streamed token, µs", 1),
    Measure("cpu_us_piece", "… per piece that arrives, µs", 1),
    Measure("added_p50_us", "added to one caller's answer, p50 µs"),
    Measure("added_p99_us", "… p99 µs"),
    Measure("throughput_rps", "unary answers a second"),
    Measure("busy", "… share of its core taken", 2),
    Measure("capacity_rps", "… what a whole core would answer"),
    Measure("loaded_p50_ms", "… p50 ms", 2),
    Measure("loaded_p99_ms", "… p99 ms", 2),
    Measure("first_p50_ms", "first token, p50 ms", 2),
    Measure("first_p99_ms", "… p99 ms", 1),
    Measure("gap_p99_ms", "between tokens, p99 ms", 1),
    Measure("tokens_read", "tokens that arrive together", 2),
    Measure("rest_share", "share of its core taken at rest", 3),
    Measure("idle_mib", "memory at rest, MiB"),
    Measure("held_20_kib", "memory per stream, 20 held, KiB", 1),
    Measure("held_100_kib", "memory per stream, 100 held, KiB", 1),
    Measure("held_1000_kib", "memory per stream, 1,000 held, KiB", 1),
    Measure("held_5000_kib", "memory per stream, 5,000 held, KiB", 1),
    Measure("websocket_kib", "memory per WebSocket, KiB", 1),
    Measure("websocket_asked_kib", "… after one answer, KiB", 1),
    Measure("websocket_idle_count", "idle WebSockets held at once"),
    Measure("websocket_idle_kib", "… memory for each, KiB", 1),
    Measure("cancel_stream_p50_ms", "caller gone, stream: p50 ms", 1),
    Measure("cancel_stream_max_ms", "… longest ms", 1),
    Measure("cancel_unary_p50_ms", "caller gone, unary: p50 ms", 1),
    Measure("cancel_unary_max_ms", "… longest ms", 1),
    Measure("bounded_goodput", "twice what the engine answers: good to peak", 2),
    Measure("bounded_refused", "… share refused", 2),
    Measure("bounded_failed", "… share late, lost or broken", 2),
    Measure("bounded_good_p99_ms", "… good answers, p99 ms"),
    Measure("bounded_refused_p99_ms", "… refusals, p99 ms", 1),
    Measure("overload_goodput", "twice what it answers itself: good to peak", 2),
    Measure("overload_refused", "… share refused", 2),
    Measure("overload_failed", "… share late, lost or broken", 2),
    Measure("overload_good_p99_ms", "… good answers, p99 ms"),
    Measure("overload_refused_p99_ms", "… refusals, p99 ms", 1),
)


@dataclass(frozen=True, slots=True)
class Aim:
    """``arm``'s figure against another's, or against a number."""

    text: str
    key: str
    against: str  # an arm, or "" for ``most`` itself
    most: float  # the largest ratio or difference, or with ``is_least`` the smallest, that meets the aim
    is_difference: bool = False
    is_least: bool = False


#: Issue 6, §5.1.
AIMS = (
    Aim("processor per request below vllm-router's", "cpu_us_request", "vllm-router", 1.0),
    Aim("processor per streamed token at most vllm-router's", "cpu_us_token", "vllm-router", 1.0),
    Aim("processor per streamed token within 2.3 of nginx's", "cpu_us_token", "nginx", 2.3),
    Aim("processor per request a fortieth of LiteLLM's", "cpu_us_request", "litellm", 1 / 40),
    Aim("added p50 within 150 µs of vllm-router's", "added_p50_us", "vllm-router", 150.0, is_difference=True),
    Aim("under 20 KiB for a stream of 1,000 held", "held_1000_kib", "", 20.0),
    Aim("under 20 KiB for a stream of 5,000 held", "held_5000_kib", "", 20.0),
    Aim("under 64 KiB for each of 10,000 idle WebSockets", "websocket_idle_kib", "", 64.0),
    Aim("caller gone, stream: the engine knows within 100 ms", "cancel_stream_max_ms", "", 100.0),
    Aim("caller gone, unary: the engine knows within 100 ms", "cancel_unary_max_ms", "", 100.0),
    Aim("goodput at twice the engine's load at least 0.9 of peak", "bounded_goodput", "", 0.9, is_least=True),
    Aim("refusals under 50 ms at twice the engine's load, p99", "bounded_refused_p99_ms", "", 50.0),
    Aim("goodput at twice its own load at least 0.9 of peak", "overload_goodput", "", 0.9, is_least=True),
    Aim("refusals under 50 ms at twice its own load, p99", "overload_refused_p99_ms", "", 50.0),
)

Summary = dict[str, dict[str, Figure]]


def summarize_arms(arms: Mapping[str, Rounds]) -> Summary:
    """Each arm's figures over its rounds; what it adds to ``direct`` is taken in each round by itself."""
    summary: Summary = {}
    direct = arms.get("direct", {})
    for name, rounds in arms.items():
        figures = {key: summarize(values) for key, values in rounds.items() if values}
        for share in ("p50", "p99"):
            key = f"latency_{share}_us"
            pairs = list(zip(rounds.get(key, ()), direct.get(key, ()), strict=False))
            if name != "direct" and pairs:
                figures[f"added_{share}_us"] = summarize([own - bare for own, bare in pairs])
        summary[name] = figures
    return summary


def judge(summary: Summary, arm: str = "slipway") -> list[tuple[Aim, float | None, bool | None]]:
    """Each aim with its ratio (or difference, or the figure itself) and whether it is met; None: not measured."""
    judged: list[tuple[Aim, float | None, bool | None]] = []
    for aim in AIMS:
        own = summary.get(arm, {}).get(aim.key)
        other = summary.get(aim.against, {}).get(aim.key) if aim.against else None
        if own is None or (aim.against and (other is None or not other.median)):
            judged.append((aim, None, None))
            continue
        value = own.median
        if other is not None:
            value = value - other.median if aim.is_difference else value / other.median
        judged.append((aim, value, value >= aim.most if aim.is_least else value <= aim.most))
    return judged


def render_number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"


def render_figure(figure: Figure | None, digits: int) -> str:
    """The median, and the quartiles where there were rounds to have some."""
    if figure is None:
        return "–"
    told = render_number(figure.median, digits)
    if figure.rounds < 2:
        return told
    return f"{told} ({render_number(figure.low, digits)}–{render_number(figure.high, digits)})"


def render_table(summary: Summary) -> str:
    names = list(summary)
    lines = [f"| | {' | '.join(names)} |", f"|---|{'--:|' * len(names)}"]
    for measure in MEASURES:
        found = [summary[name].get(measure.key) for name in names]
        if any(figure is not None for figure in found):
            lines.append(f"| {measure.title} | {' | '.join(render_figure(f, measure.digits) for f in found)} |")
    return "\n".join(lines)


def render_aims(judged: Sequence[tuple[Aim, float | None, bool | None]]) -> str:
    lines = ["| aim | limit | measured | |", "|---|--:|--:|---|"]
    words = {True: "met", False: "missed", None: "not measured"}
    for aim, value, is_met in judged:
        told = "–" if value is None else f"{value:,.3g}"
        lines.append(f"| {aim.text} | {aim.most:,.3g} | {told} | {words[is_met]} |")
    return "\n".join(lines)


def render_drift(rounds: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """How far the arms that begin and end each round moved meanwhile: more than 5 % and the machine was not quiet."""
    lines = []
    for name, pairs in rounds.items():
        worst = max(drift(first, last) for first, last in pairs)
        verdict = "quiet enough" if worst <= 0.05 else "too much: something else had the machine"
        lines.append(f"- {name}: answers a second differ by up to {worst:.1%} within a round; {verdict}.")
    return "\n".join(lines)


def render_page(result: Mapping[str, Any], summary: Summary) -> str:
    """The whole page. ``result`` is what is written as JSON."""
    remarks = "\n".join(f"- {name}: {remark}." for name, remark in result["remarks"].items())
    skipped = "\n".join(f"- {name}: {why}" for name, why in result["skipped"].items())
    parts = [
        "# The gateway beside others",
        f"{result['began']}, {result['machine']}, load before {result['load_before']:.2f}. Rounds: {result['rounds']}; "
        "medians, in parentheses the quartiles.",
        render_table(summary),
        remarks,
        render_aims(judge(summary)),
        render_drift(result["drift"]) if result["drift"] else "",
        f"Not measured:\n\n{skipped}" if skipped else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
