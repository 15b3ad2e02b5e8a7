"""The Monitoring page's charts and numbers: what was measured of a service, in words and lines.

Percentiles are told from histograms (``inference_gateway.histograms``), so they are as exact as its parts are fine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from console.charts import Chart, Line, Mark, draw
from deployments.words import number
from inference_gateway.monitoring.history import RANGES, History, Range, Step, total
from inference_gateway.monitoring.measures import Measures

DEFAULT_RANGE = "1h"
RANGE_WORDS = {
    "15m": gettext_noop("15 min"),
    "1h": gettext_noop("1 h"),
    "6h": gettext_noop("6 h"),
    "24h": gettext_noop("24 h"),
    "7d": gettext_noop("7 d"),
    "30d": gettext_noop("30 d"),
}
PERCENTILES = (("p50", 0.5, 1), ("p95", 0.95, 2), ("p99", 0.99, 5))
MOST_CODES = 4
#: What is compared where there are several lines.
COMPARED = 0.95
Read = Callable[[Step], float | None]


@dataclass(frozen=True, slots=True)
class Fact:
    """A number over the whole range, with yesterday's."""

    word: str
    value: str
    before: str


def find_range(key: str | None) -> Range:
    """The range of that key, else the usual one: addresses are the visitor's to write."""
    by_key = {one.key: one for one in RANGES}
    return by_key.get(key or "", by_key[DEFAULT_RANGE])


class Plotter:
    """Draws the steps of one history. ``compares``: with the same hours of the day before."""

    def __init__(self, history: History, marks: tuple[Mark, ...] = (), *, compares: bool) -> None:
        self._marks = marks
        self._steps = history.steps
        self._before = history.before if compares else ()
        self._instants: tuple[datetime, ...] = tuple(step.begins_at for step in history.steps)

    def line(self, label: str, look: int, read: Read) -> Line:
        return Line(label, look, [read(step) for step in self._steps])

    def yesterday(self, label: str, read: Read) -> list[Line]:
        """The day before as a line of its own; none where it was not measured or is not asked for."""
        values = [read(step) for step in self._before]
        return [Line(label, 0, values)] if any(value is not None for value in values) else []

    def draw(self, key: str, title: str, unit: str, lines: Sequence[Line]) -> Chart:
        return draw(key, title, unit, self._instants, lines, self._marks)

    def requests(self) -> Chart:
        """By status: all together, the commonest, and those that are left."""
        codes = total(self._steps)[0].codes
        common = sorted(sorted(codes, key=lambda code: -codes[code])[:MOST_CODES])
        lines = [] if len(codes) == 1 else [self.line(_("All"), 1, rate_of("", *codes))]
        lines += [self.line(code, min(6, 2 + place), rate_of(code)) for place, code in enumerate(common)]
        if rest := [code for code in codes if code not in common]:
            lines.append(self.line(_("Others"), 6, rate_of("", *rest)))
        if not codes:
            lines = []
        every = total(self._before)[0].codes
        if lines:
            lines += self.yesterday(_("All, a day earlier"), rate_of("", *every)) if every else []
        return self.draw("requests", _("Requests"), _("per second"), lines)

    def percentiles(self, key: str, title: str, source: str, *, of_engine: bool = False) -> Chart:
        """Of a histogram of seconds; in milliseconds where none reaches one."""

        def quantile(share: float) -> Read:
            def read(step: Step) -> float | None:
                measures = step.engine if of_engine else step.traffic
                return None if measures is None else measures.quantile(source, share)

            return read

        lines = [self.line(word, look, quantile(share)) for word, share, look in PERCENTILES]
        if any(value is not None for line in lines for value in line.values):
            lines += self.yesterday(_("p95, a day earlier"), quantile(COMPARED))
        known = [value for line in lines for value in line.values if value is not None]
        if known and max(known) < 1:
            scaled = [
                Line(one.label, one.look, [None if value is None else value * 1000 for value in one.values])
                for one in lines
            ]
            return self.draw(key, title, _("milliseconds"), scaled)
        return self.draw(key, title, _("seconds"), lines)

    def tokens(self) -> Chart:
        lines = [
            self.line(_("Answers"), 1, per_second("completion_tokens")),
            self.line(_("Prompts"), 2, per_second("prompt_tokens")),
        ]
        has_any = any(value for line in lines for value in line.values)
        lines += self.yesterday(_("Answers, a day earlier"), per_second("completion_tokens")) if has_any else []
        return self.draw("tokens", _("Tokens"), _("per second"), lines if has_any else [])

    def under_way(self) -> Chart:
        lines = [
            self.line(_("Under way"), 1, per_second("in_flight_seconds")),
            self.line(_("Waiting"), 2, per_second("queued_seconds")),
        ]
        has_any = any(value for line in lines for value in line.values)
        return self.draw("under-way", _("Requests at once"), _("on average"), lines if has_any else [])

    def engine_load(self) -> Chart:
        lines = [
            self.line(_("Generating"), 1, level("running")),
            self.line(_("Waiting in the engine"), 2, level("waiting")),
        ]
        return self.draw("engine-load", _("In the engines"), _("requests, on average"), lines)

    def shares(self) -> Chart:
        """What is used of GPUs and of caches: lines that an engine tells nothing of are left out."""
        lines = [
            self.line(_("GPU busy"), 1, level("gpu", 100)),
            self.line(_("GPU memory"), 2, level("gpu_memory", 100)),
            self.line(_("Cache for dialogues"), 3, level("cache", 100)),
        ]
        told = [line for line in lines if any(value is not None for value in line.values)]
        return self.draw("gpu", _("GPU and cache"), _("percent"), told)


def rate_of(code: str, *codes: str) -> Read:
    """Answers with these statuses a second."""
    wanted = codes or (code,)

    def read(step: Step) -> float | None:
        if step.traffic is None:
            return None
        return sum(step.traffic.counts.get(f"code.{one}", 0) for one in wanted) / step.seconds

    return read


def per_second(name: str) -> Read:
    def read(step: Step) -> float | None:
        return None if step.traffic is None else step.traffic.counts.get(name, 0) / step.seconds

    return read


def level(name: str, factor: float = 1) -> Read:
    def read(step: Step) -> float | None:
        value = None if step.engine is None else step.engine.level(name)
        return None if value is None else value * factor

    return read


def facts_of(history: History, *, compares: bool) -> list[Fact]:
    """Numbers of the whole range, above the charts."""
    now, before = total(history.steps)[0], total(history.before)[0]
    has_before = compares and any(step.traffic is not None for step in history.before)
    facts = (
        (_("Requests"), count_words),
        (_("Answered with 5xx"), failed_words),
        (_("Whole answer, p95"), lambda one: seconds_words(one.quantile("duration", COMPARED))),
        (_("First token, p95"), lambda one: seconds_words(one.quantile("first_token", COMPARED))),
        (_("Tokens of answers"), lambda one: number(one.counts.get("completion_tokens", 0))),
    )
    return [Fact(word, tell(now), tell(before) if has_before else "") for word, tell in facts]


def count_words(measures: Measures) -> str:
    return number(sum(measures.codes.values()))


def failed_words(measures: Measures) -> str:
    whole = sum(measures.codes.values())
    if not whole:
        return "–"
    failed = sum(count for code, count in measures.codes.items() if code.startswith("5"))
    return _("%(share)s %%") % {"share": number(100 * failed / whole, 1 if failed else 0)}


def seconds_words(seconds: float | None) -> str:
    """As console.md §7 has it: ms below a second."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return _("%(n)s ms") % {"n": number(seconds * 1000)}
    return _("%(n)s s") % {"n": number(seconds, 1)}


def monitoring_of(
    history: History, marks: tuple[Mark, ...] = (), *, compares: bool, has_engine: bool
) -> dict[str, Any]:
    """What the page shows. ``has_engine``: it is a language model's service, whose instances are asked."""
    plotter = Plotter(history, marks, compares=compares)
    requests = plotter.requests()
    charts = [
        requests,
        plotter.percentiles("latency", _("Whole answer"), "duration"),
        plotter.percentiles("first-token", _("First token"), "first_token"),
        plotter.percentiles("each-token", _("Each further token"), "each_token"),
        plotter.tokens(),
        plotter.under_way(),
    ]
    engine = total(history.steps)[1]
    engine_charts = (
        [
            plotter.engine_load(),
            plotter.percentiles("engine-first-token", _("First token in the engine"), "first_token", of_engine=True),
            plotter.shares(),
        ]
        if has_engine and engine.counts.get("looks")
        else []
    )
    return {
        "facts": facts_of(history, compares=compares),
        "charts": [chart for chart in charts if chart.lines],
        "engine_charts": [chart for chart in engine_charts if chart.lines],
        "is_measured": any(step.traffic is not None for step in history.steps),
        "has_requests": bool(requests.lines),
        "engine_silent_since": silent_since(history.steps) if has_engine else None,
    }


def silent_since(steps: Sequence[Step]) -> datetime | None:
    """When engines last told nothing at all although they were asked, None where the newest look was heard."""
    since: datetime | None = None
    for step in reversed(steps):
        if step.engine is None:
            continue
        looks, failed = step.engine.counts.get("looks", 0), step.engine.counts.get("failed_looks", 0)
        if failed < looks or not looks:
            return since
        since = step.begins_at
    return since
