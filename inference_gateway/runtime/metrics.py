"""``GET /metrics`` of the runtime: what it generates, in vLLM's names (docs.vllm.ai, design/metrics), as text.

Written by hand: the image of the runtime has no library for it, and these are a few lines. Whatever reads vLLM's
metrics reads these; those that this runtime cannot tell (the share of its cache that is in use) are left out.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence

from inference_gateway.chat import ChatError, ChatEvent, ChatRequest, Done, Reasoning, Text, ToolCalls, Usage
from inference_gateway.engines.base import Engine
from inference_gateway.histograms import (
    DURATION_BOUNDS,
    EACH_TOKEN_BOUNDS,
    FIRST_TOKEN_BOUNDS,
    Histogram,
    cumulate,
)
from inference_gateway.runtime.gpus import Gpu

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Tally:
    """What one runtime has done. ``slots`` dialogues generate at once; those beyond wait in the engine."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.active = 0
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.finished: Counter[str] = Counter()
        self.failed = 0
        self.first_token = Histogram(FIRST_TOKEN_BOUNDS)
        self.each_token = Histogram(EACH_TOKEN_BOUNDS)
        self.duration = Histogram(DURATION_BOUNDS)


class CountingEngine:
    """An ``Engine`` that counts what another one does.

    An answer that was cut off has no usage: its tokens are counted as pieces then, which engines send for each.
    """

    def __init__(self, engine: Engine, tally: Tally) -> None:
        self._engine = engine
        self._tally = tally

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """See ``Engine``."""
        tally, asked_at = self._tally, time.monotonic()
        first_at, pieces = 0.0, 0
        usage: Usage | None = None
        tally.active += 1
        try:
            async with contextlib.aclosing(self._engine.generate(request)) as events:
                async for event in events:
                    if isinstance(event, Usage):
                        usage = event
                    elif isinstance(event, Done):
                        tally.finished[event.finish_reason] += 1
                    elif isinstance(event, ToolCalls) or (isinstance(event, Text | Reasoning) and event.text):
                        pieces += 1
                        if not first_at:
                            first_at = time.monotonic()
                            tally.first_token.observe(first_at - asked_at)
                    yield event
            now = time.monotonic()
            tally.duration.observe(now - asked_at)
            if usage is not None and usage.completion_tokens > 1 and first_at:
                tally.each_token.observe((now - first_at) / (usage.completion_tokens - 1))
        except ChatError:
            tally.failed += 1
            raise
        finally:
            tally.active -= 1
            tally.prompt_tokens += usage.prompt_tokens if usage is not None else 0
            tally.generation_tokens += usage.completion_tokens if usage is not None else pieces


def render(tally: Tally, model: str, gpus: Iterable[Gpu] = ()) -> str:
    """The text, with ``model_name`` on every line as vLLM has it."""
    name = model.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    labels = f'model_name="{name}"'
    running = min(tally.active, tally.slots)
    lines = [
        *_number("num_requests_running", "gauge", "Requests that generate.", labels, running),
        *_number("num_requests_waiting", "gauge", "Requests that wait.", labels, tally.active - running),
        *_number("prompt_tokens_total", "counter", "Tokens of prompts.", labels, tally.prompt_tokens),
        *_number("generation_tokens_total", "counter", "Tokens generated.", labels, tally.generation_tokens),
        "# HELP vllm:request_success_total Answers that came to their end, by why.",
        "# TYPE vllm:request_success_total counter",
        *(
            f'vllm:request_success_total{{{labels},finished_reason="{reason}"}} {count}'
            for reason, count in sorted(tally.finished.items())
        ),
        *_histogram("time_to_first_token_seconds", "Until the first token.", labels, tally.first_token),
        *_histogram("time_per_output_token_seconds", "For each token after it.", labels, tally.each_token),
        *_histogram("e2e_request_latency_seconds", "Whole answers.", labels, tally.duration),
        *_number(
            "request_failure_total", "counter", "Questions without a whole answer.", labels, tally.failed, "slipway"
        ),
        *_gpu_lines(tuple(gpus)),
    ]
    return "\n".join(lines) + "\n"


def _number(name: str, kind: str, told: str, labels: str, value: float, prefix: str = "vllm") -> Sequence[str]:
    name = f"{prefix}:{name}"
    return f"# HELP {name} {told}", f"# TYPE {name} {kind}", f"{name}{{{labels}}} {value}"


def _histogram(name: str, told: str, labels: str, histogram: Histogram) -> Iterator[str]:
    yield f"# HELP vllm:{name} {told}"
    yield f"# TYPE vllm:{name} histogram"
    for bound, count in cumulate(histogram.bounds, histogram.counts):
        yield f'vllm:{name}_bucket{{{labels},le="{bound}"}} {count:g}'
    yield f"vllm:{name}_count{{{labels}}} {histogram.count}"
    yield f"vllm:{name}_sum{{{labels}}} {histogram.total!r}"


def _gpu_lines(gpus: Sequence[Gpu]) -> Iterator[str]:
    """In the names of NVIDIA's exporter (DCGM), percent and MiB."""
    if not gpus:
        return
    for name, told, values in (
        ("DCGM_FI_DEV_GPU_UTIL", "GPU utilization (in %).", [one.busy_percent for one in gpus]),
        ("DCGM_FI_DEV_FB_USED", "Memory used (in MiB).", [one.used_mib for one in gpus]),
        ("DCGM_FI_DEV_FB_FREE", "Memory free (in MiB).", [one.free_mib for one in gpus]),
    ):
        yield f"# HELP {name} {told}"
        yield f"# TYPE {name} gauge"
        for gpu, value in zip(gpus, values, strict=True):
            yield f'{name}{{gpu="{gpu.index}"}} {value:g}'
