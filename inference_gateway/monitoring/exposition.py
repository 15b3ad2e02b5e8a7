"""``/metrics``: every gateway process of this machine, added up, in the words of OpenTelemetry and of vLLM.

Names and bounds of the first are those of OpenTelemetry's conventions for generative AI
(open-telemetry/semantic-conventions-genai, gen-ai-metrics.md), written as Prometheus writes them: dots become
underscores, the unit goes last. The gateway is the server of its callers, so ``gen_ai.server.*`` is what it measures:
with waiting, routing and the way to the instance. ``gen_ai_request_model`` is the service: what a caller writes into
``model`` never becomes a label.

The names of vLLM (docs.vllm.ai, design/metrics) say the same once more, with ``model_name`` as vLLM has it, so that its
dashboards show a service as they show an engine. They are the gateway's view, under the gateway's job: running is what
has an instance, waiting what stands in the gateway's queue. What only an engine knows (its cache, its batches, why an
answer ended) is at the engine's own ``/metrics`` and not here. ``slipway_gateway_*`` is what neither has a name for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from inference_gateway.histograms import TOKEN_BOUNDS, cumulate
from inference_gateway.monitoring.measures import BOUNDS
from inference_gateway.monitoring.shared import HISTOGRAMS, Told

PROVIDER = "slipway"
GEN_AI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
VLLM = ("model_name",)


def add_up(files: Iterable[Told], known: frozenset[str]) -> list[Told]:
    """One for each service and operation. Services that are gone are left out."""
    added: dict[tuple[str, str], Told] = {}
    for told in files:
        if told.uid and told.uid not in known:
            continue
        mine = added.setdefault((told.name, told.operation), told)
        if mine is told:
            continue
        for ours, theirs in ((mine.errors, told.errors), (mine.endings, told.endings)):
            for key, count in theirs.items():
                ours[key] = ours.get(key, 0) + count
        for status, count in told.codes.items():
            mine.codes[status] = mine.codes.get(status, 0) + count
        mine.prompt_tokens += told.prompt_tokens
        mine.completion_tokens += told.completion_tokens
        mine.in_flight += told.in_flight
        mine.queued += told.queued
        for name in HISTOGRAMS:
            ours_counts, their_counts = mine.histograms[name], told.histograms[name]
            if len(ours_counts) == len(their_counts):
                mine.histograms[name] = [one + other for one, other in zip(ours_counts, their_counts, strict=True)]
    return [added[key] for key in sorted(added)]


class GatewayCollector(Collector):
    """Gives what was added up to Prometheus' client, which writes it in the form that is asked for."""

    def __init__(self, told: Sequence[Told]) -> None:
        self._told = told
        self._named = [one for one in told if one.name]

    def collect(self) -> Iterator[Metric]:
        yield from self._requests()
        yield from self._open_telemetry()
        yield from self._vllm()

    def _requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "slipway_gateway_requests",
            "Requests answered, by status. Without a service: callers who were not let in.",
            labels=("service", "gen_ai_operation_name", "code"),
        )
        errors = CounterMetricFamily(
            "slipway_gateway_upstream_errors",
            "Failures of instances and of the way to them.",
            labels=("service", "gen_ai_operation_name", "error_type"),
        )
        endings = CounterMetricFamily(
            "slipway_gateway_requests_ended",
            "Requests by how they ended: finished, stopped (the caller left), failed, refused (no instance began).",
            labels=("service", "gen_ai_operation_name", "ending"),
        )
        under_way = GaugeMetricFamily(
            "slipway_gateway_requests_in_flight",
            "Requests under way, those that wait included.",
            labels=("service", "gen_ai_operation_name"),
        )
        queued = GaugeMetricFamily(
            "slipway_gateway_queue_requests", "Requests that wait for room on an instance.", labels=("service",)
        )
        for one in self._told:
            for status, count in sorted(one.codes.items()):
                requests.add_metric((one.name, one.operation, str(status)), count)
        for one in self._named:
            for code, count in sorted(one.errors.items()):
                errors.add_metric((one.name, one.operation, code), count)
            for ending, count in sorted(one.endings.items()):
                endings.add_metric((one.name, one.operation, ending), count)
            under_way.add_metric((one.name, one.operation), one.in_flight)
        for name, (_, waiting) in self._under_way().items():
            queued.add_metric((name,), waiting)
        yield from (requests, endings, errors, under_way, queued)

    def _open_telemetry(self) -> Iterator[Metric]:
        for source, name, told in (
            ("duration", "request_duration", "Whole answers"),
            ("first_token", "time_to_first_token", "Streamed answers: until the first token"),
            ("each_token", "time_per_output_token", "Streamed answers: for each token after the first"),
        ):
            family = HistogramMetricFamily(
                f"gen_ai_server_{name}_seconds", f"{told}, as callers see it.", labels=GEN_AI
            )
            for one in self._named:
                _add(family, (one.operation, PROVIDER, one.name), BOUNDS[source], one.histograms[source])
            yield family
        sizes = HistogramMetricFamily(
            "gen_ai_client_token_usage", "Tokens of each request.", labels=(*GEN_AI, "gen_ai_token_type")
        )
        for one in self._named:
            for source, kind in (("prompt_sizes", "input"), ("completion_sizes", "output")):
                _add(sizes, (one.operation, PROVIDER, one.name, kind), TOKEN_BOUNDS, one.histograms[source])
        yield sizes

    def _vllm(self) -> Iterator[Metric]:
        running = GaugeMetricFamily("vllm:num_requests_running", "Requests that have an instance.", labels=VLLM)
        waiting = GaugeMetricFamily("vllm:num_requests_waiting", "Requests in the gateway's queue.", labels=VLLM)
        for name, (in_flight, queued) in self._under_way().items():
            running.add_metric((name,), max(0, in_flight - queued))
            waiting.add_metric((name,), queued)
        prompt = CounterMetricFamily("vllm:prompt_tokens", "Tokens of prompts.", labels=VLLM)
        generated = CounterMetricFamily("vllm:generation_tokens", "Tokens of answers.", labels=VLLM)
        for name, many in self._by_service().items():
            prompt.add_metric((name,), sum(one.prompt_tokens for one in many))
            generated.add_metric((name,), sum(one.completion_tokens for one in many))
        yield from (running, waiting, prompt, generated)
        for source, name, told in (
            ("first_token", "time_to_first_token", "Until the first token."),
            ("each_token", "time_per_output_token", "For each token after the first."),
            ("duration", "e2e_request_latency", "Whole answers."),
        ):
            family = HistogramMetricFamily(f"vllm:{name}_seconds", told, labels=VLLM)
            for service, many in self._by_service().items():
                columns = zip(*(one.histograms[source] for one in many), strict=True)
                _add(family, (service,), BOUNDS[source], [sum(column) for column in columns])
            yield family

    def _by_service(self) -> dict[str, list[Told]]:
        found: dict[str, list[Told]] = {}
        for one in self._named:
            found.setdefault(one.name, []).append(one)
        return found

    def _under_way(self) -> dict[str, tuple[int, int]]:
        """(in flight, queued) of each service."""
        return {
            name: (sum(one.in_flight for one in many), sum(one.queued for one in many))
            for name, many in self._by_service().items()
        }


def _add(
    family: HistogramMetricFamily, labels: Sequence[str], bounds: Sequence[float], counted: Sequence[float]
) -> None:
    *counts, total = counted
    if len(counts) == len(bounds) + 1:
        family.add_metric(labels, cumulate(bounds, counts), total)


def render(told: Sequence[Told], writer: Callable[[CollectorRegistry], bytes], more: Iterable[Collector] = ()) -> bytes:
    """In the form of ``writer``, which Prometheus' client chooses by what the asker accepts."""
    registry = CollectorRegistry(auto_describe=False)
    for collector in (GatewayCollector(told), *more):
        registry.register(collector)
    return writer(registry)
