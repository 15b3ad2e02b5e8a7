"""What the runtime tells of itself at ``/metrics``, read with Prometheus' own client."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from inference_gateway.histograms import FIRST_TOKEN_BOUNDS, Histogram, cumulate, find_quantile
from inference_gateway.runtime.gpus import Gpu, Gpus, parse
from inference_gateway.runtime.metrics import Tally, render
from tests.waiting import wait_until

Numbers = dict[str, float]


def read(text: str) -> Numbers:
    """Every sample, by name and the labels beside the model's."""
    numbers = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            beside = [value for key, value in sample.labels.items() if key != "model_name"]
            numbers[" ".join([sample.name, *beside])] = sample.value
    return numbers


def scrape(port: int) -> Numbers:
    answer = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return read(answer.text)


def test_one_answer_of_the_model_counts_once_with_its_tokens_and_times(runtime_port: int) -> None:
    before = scrape(runtime_port)
    asked = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
    address = f"http://127.0.0.1:{runtime_port}/v1/chat/completions"
    usage = httpx.post(address, json=asked, timeout=60).json()["usage"]
    after = scrape(runtime_port)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["vllm:prompt_tokens_total"] == usage["prompt_tokens"]
    assert grown["vllm:generation_tokens_total"] == usage["completion_tokens"]
    for name in ("time_to_first_token", "e2e_request_latency", "time_per_output_token"):
        assert grown[f"vllm:{name}_seconds_count"] == 1
        assert grown[f"vllm:{name}_seconds_bucket +Inf"] == 1
        assert grown[f"vllm:{name}_seconds_sum"] > 0
    assert sum(value for name, value in grown.items() if name.startswith("vllm:request_success_total")) == 1
    assert after["vllm:num_requests_running"] == 0


def test_what_generates_is_running_and_beyond_its_slots_waits(runtime_port: int) -> None:
    asked = {"messages": [{"role": "user", "content": "Count to a thousand."}], "max_tokens": 400, "stream": True}
    leaving = threading.Event()

    def ask() -> None:
        address = f"http://127.0.0.1:{runtime_port}/v1/chat/completions"
        with httpx.stream("POST", address, json=asked, timeout=60) as answer:
            for _ in answer.iter_bytes():
                if leaving.is_set():
                    return

    before = scrape(runtime_port)["vllm:generation_tokens_total"]
    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    wait_until(lambda: scrape(runtime_port)["vllm:num_requests_running"] == 4, "all four slots generate", 30)
    wait_until(lambda: scrape(runtime_port)["vllm:num_requests_waiting"] == 1, "the fifth waits", 30)
    leaving.set()
    for thread in threads:
        thread.join(30)
    wait_until(lambda: scrape(runtime_port)["vllm:num_requests_running"] == 0, "nobody is there any more", 30)
    assert scrape(runtime_port)["vllm:generation_tokens_total"] > before, "what was cut off was generated all the same"


def test_a_question_that_is_refused_is_no_latency(runtime_port: int) -> None:
    before = scrape(runtime_port)
    address = f"http://127.0.0.1:{runtime_port}/v1/chat/completions"
    assert httpx.post(address, json={"messages": 1}, timeout=30).status_code == 400
    after = scrape(runtime_port)
    assert after["vllm:e2e_request_latency_seconds_count"] == before["vllm:e2e_request_latency_seconds_count"]
    assert httpx.post(f"http://127.0.0.1:{runtime_port}/metrics", timeout=30).headers["allow"] == "GET, HEAD"


def test_gpus_stand_beside_it_where_there_are_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse("0, 37, 1024, 81559\n1, [N/A], 1, 2\n") == (Gpu(0, 37, 1024, 80535),)
    numbers = read(render(Tally(4), 'odd "name"', (Gpu(0, 37, 1024, 80535),)))
    assert numbers["DCGM_FI_DEV_GPU_UTIL 0"] == 37
    assert numbers["DCGM_FI_DEV_FB_FREE 0"] == 80535
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Gpus()._program is None


async def test_the_drivers_program_is_asked_once_in_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\necho asked >> {tmp_path}/asked\necho "0, 50, 10, 100"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    gpus = Gpus()
    assert await gpus.look() == await gpus.look() == (Gpu(0, 50, 10, 90),)
    assert (tmp_path / "asked").read_text() == "asked\n"
    program.write_text("#!/bin/sh\nexit 9\n")
    gpus._heard_at = 0
    assert await gpus.look() == ()


def test_percentiles_are_told_from_parts_as_prometheus_tells_them() -> None:
    histogram = Histogram(FIRST_TOKEN_BOUNDS)
    assert find_quantile(histogram.bounds, histogram.counts, 0.5) is None
    for value in [0.03] * 90 + [0.3] * 10:
        histogram.observe(value)
    assert find_quantile(histogram.bounds, histogram.counts, 0.45) == pytest.approx(0.03)
    assert find_quantile(histogram.bounds, histogram.counts, 0.95) == pytest.approx(0.375)
    histogram.observe(1e9)
    assert find_quantile(histogram.bounds, histogram.counts, 1.0) == FIRST_TOKEN_BOUNDS[-1]
    rows = cumulate(histogram.bounds, histogram.counts)
    assert rows[-1][0] == "+Inf"
    assert rows[-1][1] == histogram.count == 101
    assert [count for _, count in rows] == sorted(count for _, count in rows)
