"""Reads engines' own ``/metrics``: text in, measures out. Pure.

vLLM's names and those of the chat-llm runtime, which are the same; SGLang's for the same things; of GPUs the names of
NVIDIA's exporter (DCGM), which the runtime uses. Everything else in the text is passed over unread.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as Told

from inference_gateway.monitoring.measures import BOUNDS, Measures

#: Without prefix and ``_total``.
COUNTERS = {
    "prompt_tokens": "prompt_tokens",
    "generation_tokens": "generation_tokens",
    "num_preemptions": "preemptions",
}
LEVELS = {
    "num_requests_running": "running",
    "num_running_reqs": "running",
    "num_requests_waiting": "waiting",
    "num_queue_reqs": "waiting",
}
#: Shares of 1, of which several are one mean.
SHARES = {"kv_cache_usage_perc": "cache", "gpu_cache_usage_perc": "cache", "token_usage": "cache"}
#: The first that an engine has counts: vLLM had a name and its successor side by side.
HISTOGRAMS: Mapping[str, tuple[str, ...]] = {
    "first_token": ("time_to_first_token_seconds",),
    "each_token": (
        "inter_token_latency_seconds",
        "time_per_output_token_seconds",
        "request_time_per_output_token_seconds",
    ),
    "duration": ("e2e_request_latency_seconds", "e2e_request_latency"),
}
PREFIXES = ("vllm:", "sglang:")
GPU_BUSY, GPU_USED, GPU_FREE = "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE"
#: Lines that begin otherwise are not parsed: an engine's text has thousands.
_READ = (*PREFIXES, GPU_BUSY, GPU_USED, GPU_FREE)


class UnreadableError(ValueError):
    """What came is not Prometheus' text."""


@dataclass(slots=True)
class Reading:
    """One look at one instance. ``grown`` only grows while it lives; levels are as they are now."""

    grown: Measures = field(default_factory=Measures)
    levels: dict[str, float] = field(default_factory=dict)


def parse(text: str) -> Reading:
    """Raises UnreadableError. Numbers that are none are passed over."""
    lines = [line for line in text.splitlines() if line.startswith(_READ)]
    try:
        # Without their types, names stand as they are written.
        told = [
            sample for family in text_string_to_metric_families("\n".join(lines) + "\n") for sample in family.samples
        ]
    except (ValueError, IndexError, KeyError) as error:
        raise UnreadableError(str(error)) from error
    samples = [one for one in told if math.isfinite(one.value)]
    reading = Reading()
    shares: dict[str, list[float]] = {}
    for one in samples:
        name = _bare(one.name)
        if (counter := COUNTERS.get(name.removesuffix("_total"))) is not None:
            reading.grown.count(counter, one.value)
        elif (level := LEVELS.get(name)) is not None:
            reading.levels[level] = reading.levels.get(level, 0.0) + one.value
        elif (share := SHARES.get(name)) is not None:
            shares.setdefault(share, []).append(one.value)
        elif name == GPU_BUSY:
            shares.setdefault("gpu", []).append(one.value / 100)
    used, free = _sum(samples, GPU_USED), _sum(samples, GPU_FREE)
    if used + free > 0:
        shares["gpu_memory"] = [used / (used + free)]
    for share, values in shares.items():
        reading.levels[share] = sum(values) / len(values)
    for ours, theirs in HISTOGRAMS.items():
        for name in theirs:
            if (histogram := _find_histogram(samples, name, ours)) is not None:
                reading.grown.histograms[ours] = histogram
                break
    return reading


def _bare(name: str) -> str:
    for prefix in PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def _sum(samples: Iterable[Told], name: str) -> float:
    return sum(one.value for one in samples if one.name == name)


def _find_histogram(samples: Iterable[Told], name: str, ours: str) -> list[float] | None:
    """An engine's histogram in our bounds; what lies across several of ours goes to the highest. None without one."""
    series: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    total, has_any = 0.0, False
    for one in samples:
        if _bare(one.name) == f"{name}_sum":
            total += one.value
        elif _bare(one.name) == f"{name}_bucket":
            try:
                bound = float(one.labels["le"])
            except (KeyError, ValueError):
                continue
            has_any = True
            rest = tuple(sorted((key, value) for key, value in one.labels.items() if key != "le"))
            series.setdefault(rest, []).append((bound, one.value))
    if not has_any:
        return None
    bounds = BOUNDS[ours]
    counts = [0.0] * (len(bounds) + 1)
    for buckets in series.values():
        before = 0.0
        for bound, so_far in sorted(buckets):
            counts[bisect_left(bounds, bound)] += max(0.0, so_far - before)
            before = max(before, so_far)
    return [*counts, total]
