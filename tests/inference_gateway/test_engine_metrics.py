"""Engines' own metrics: read in their dialects, asked for over real HTTP, added to the minute's row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime

import httpx
import pytest
import redis
from aiohttp import web
from django.core.cache import cache

from inference_gateway.monitoring import scraping
from inference_gateway.monitoring.engines import UnreadableError, parse
from inference_gateway.monitoring.measures import Measures
from inference_gateway.monitoring.models import Sample
from tests.inference_gateway.rig import Server, deploy
from tests.inference_gateway.serving_thread import AppThread
from tests.ports import free_port

NOW = datetime(2026, 3, 10, 12, 7, 30, tzinfo=UTC)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 2.0
vllm:num_requests_running{engine="1",model_name="m"} 1.0
vllm:num_requests_waiting{engine="0",model_name="m"} 4.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
vllm:prompt_tokens_total{engine="0",model_name="m"} 100.0
vllm:generation_tokens_total{engine="0",model_name="m"} %d
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001",model_name="m"} 0.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.25",model_name="m"} 3.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="m"} 4.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"} 1.5
vllm:inter_token_latency_seconds_bucket{engine="0",le="0.05",model_name="m"} 10.0
vllm:inter_token_latency_seconds_bucket{engine="0",le="+Inf",model_name="m"} 10.0
vllm:time_per_output_token_seconds_bucket{engine="0",le="0.05",model_name="m"} 10.0
vllm:time_per_output_token_seconds_bucket{engine="0",le="+Inf",model_name="m"} 10.0
vllm:nan_of_no_use NaN
DCGM_FI_DEV_GPU_UTIL{gpu="0"} 40
DCGM_FI_DEV_GPU_UTIL{gpu="1"} 60
DCGM_FI_DEV_FB_USED{gpu="0"} 30
DCGM_FI_DEV_FB_FREE{gpu="0"} 70
python_info{version="3.11"} 1.0
"""


class MetricsEngine(AppThread):
    """Answers ``/metrics`` as the test says."""

    def __init__(self, handler: Handler) -> None:
        super().__init__(free_port())
        self.handler = handler

    def make_app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/metrics", self.handler)
        return app


class Growing:
    """vLLM's text, with 50 tokens more at each look."""

    def __init__(self) -> None:
        self.tokens = 1000

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.tokens += 50
        return web.Response(text=VLLM % self.tokens)


@pytest.fixture(autouse=True)
def forgetful(valkey: redis.Redis) -> Iterator[None]:
    yield
    cache.delete(scraping.LEASE)


def row() -> Measures:
    return Measures.read(Sample.objects.get(kind="engine").measures)


def test_vllms_metrics_are_read_over_all_of_its_engines() -> None:
    reading = parse(VLLM % 7)
    assert reading.grown.counts == {"prompt_tokens": 100, "generation_tokens": 7}
    assert reading.levels == {"running": 3, "waiting": 4, "cache": 0.5, "gpu": 0.5, "gpu_memory": 0.3}
    assert sum(reading.grown.histograms["first_token"][:-1]) == 4
    assert sum(reading.grown.histograms["each_token"][:-1]) == 10, "one of its two names counts"
    assert reading.grown.quantile("first_token", 0.5) == pytest.approx(0.2, abs=0.06)


def test_sglangs_names_mean_the_same() -> None:
    text = 'sglang:num_running_reqs{model_name="m"} 2\nsglang:num_queue_reqs 1\nsglang:token_usage 0.1\n'
    reading = parse(text + "sglang:generation_tokens_total 9\n")
    assert reading.levels == {"running": 2, "waiting": 1, "cache": 0.1}
    assert reading.grown.counts == {"generation_tokens": 9}


@pytest.mark.parametrize("text", ["vllm:x{", 'vllm:prompt_tokens_total{a="b} 1', "vllm:prompt_tokens_total one"])
def test_what_is_no_metrics_is_said_to_be_none(text: str) -> None:
    with pytest.raises(UnreadableError):
        parse(text)


def test_other_text_has_nothing_in_it() -> None:
    assert parse("<html>hello</html>").grown.as_json() == {}


def test_looks_at_an_engine_add_up_in_its_minute(server: Server) -> None:
    with MetricsEngine(Growing()) as engine:
        deploy(server, engine.port, engine="vllm")
        for _ in range(3):
            assert scraping.scrape(NOW)
    told = row()
    assert told.counts == {"looks": 3, "generation_tokens": 100}, "of the first look nobody knows since when"
    assert told.level("running") == 3
    assert told.level("gpu") == 0.5


def test_two_instances_are_one_row_with_their_requests_together(server: Server) -> None:
    with MetricsEngine(Growing()) as one, MetricsEngine(Growing()) as other:
        deploy(server, one.port, other.port, engine="vllm")
        for _ in range(2):
            scraping.scrape(NOW)
    assert row().counts == {"looks": 4, "generation_tokens": 100}
    assert row().level("running") == 6
    assert row().level("cache") == 0.5


def test_the_runtime_of_the_bundled_model_is_read(server: Server, runtime_port: int) -> None:
    chat = deploy(server, runtime_port)
    scraping.scrape(NOW)
    asked = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8, "stream": True}
    httpx.post(f"{chat.url}/v1/chat/completions", json=asked, headers=chat.auth, timeout=60)
    scraping.scrape(NOW)
    assert 1 <= row().counts["generation_tokens"] <= 8
    assert row().quantile("first_token", 0.5) is not None


async def slow(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"vllm:prompt_tokens_total 1\n" * 20_000)


async def elsewhere(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("http://169.254.169.254/latest/meta-data")


async def nothing(request: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound


@pytest.mark.parametrize("handler", [slow, elsewhere, nothing])
def test_who_answers_without_end_elsewhere_or_not_at_all_is_a_failed_look(server: Server, handler: Handler) -> None:
    with MetricsEngine(handler) as engine:
        deploy(server, engine.port, engine="vllm")
        assert scraping.scrape(NOW)
    assert row().counts == {"looks": 1, "failed_looks": 1}


def test_one_worker_looks_at_a_time_and_services_of_other_programs_are_not_asked(server: Server) -> None:
    asked = []

    async def note(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response()

    with MetricsEngine(note) as engine:
        deploy(server, engine.port, engine=None)
        assert scraping.scrape(NOW)
        cache.add(scraping.LEASE, 1, timeout=60)
        assert not scraping.scrape(NOW)
    assert asked == []
    assert not Sample.objects.filter(kind="engine").exists()
