"""``/metrics`` of a real server with scripted engines: what was asked is what is told, by all processes at once."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import httpx
import pytest
import redis
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from deployments.accounts import issue_personal_token
from inference_gateway.monitoring.models import Sample
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy, serving_file
from tests.ports import free_port
from tests.waiting import wait_until

TOKEN = "prometheus-reads-with-this"
ASKED = {"model": "x", "messages": [{"role": "user", "content": "x"}]}
Numbers = dict[str, float]


@pytest.fixture(scope="module")
def observed(django_db_setup: None, django_db_blocker: pytest.FixtureRequest, valkey: redis.Redis) -> Iterator[Server]:
    """A server with a token for metrics and with an access log."""
    with serving_file(Server(SLIPWAY_METRICS_TOKEN=TOKEN, SLIPWAY_ACCESS_LOG="on"), django_db_blocker) as server:
        yield server


@pytest.fixture
def words(observed: Server, transactional_db: None, endless: EndlessEngine) -> Deployed:
    endless.ends_after = 5
    return deploy(observed, endless.port)


def scrape(server: Server) -> Numbers:
    """Every sample by name and labels."""
    answer = httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
    assert answer.status_code == 200, answer.text
    numbers = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            numbers[f"{sample.name}{{{labels}}}"] = sample.value
    return numbers


def name_of(service: Deployed) -> str:
    return service.url.rpartition("/")[2]


def ask(service: Deployed, **more: object) -> httpx.Response:
    return httpx.post(f"{service.url}/v1/chat/completions", json=ASKED | more, headers=service.auth, timeout=30)


def test_a_streamed_answer_is_counted_in_everybodys_words(observed: Server, words: Deployed) -> None:
    assert ask(words, stream=True).status_code == 200
    name = name_of(words)
    counted = f"slipway_gateway_requests_total{{code=200,gen_ai_operation_name=chat,service={name}}}"
    wait_until(lambda: counted in scrape(observed), "the request is counted", 10)
    numbers = scrape(observed)
    assert numbers[counted] == 1
    genai = f"gen_ai_operation_name=chat,gen_ai_provider_name=slipway,gen_ai_request_model={name}"
    for one in ("request_duration", "time_to_first_token", "time_per_output_token"):
        assert numbers[f"gen_ai_server_{one}_seconds_count{{{genai}}}"] == 1
        assert numbers[f"gen_ai_server_{one}_seconds_sum{{{genai}}}"] > 0
    # Four words follow the first, 20 ms apart.
    assert 0.01 < numbers[f"gen_ai_server_time_per_output_token_seconds_sum{{{genai}}}"] < 1
    assert numbers[f"gen_ai_client_token_usage_sum{{{genai},gen_ai_token_type=output}}"] >= 5
    assert numbers[f"vllm:generation_tokens_total{{model_name={name}}}"] >= 5
    for one in ("time_to_first_token", "e2e_request_latency", "time_per_output_token"):
        assert numbers[f"vllm:{one}_seconds_count{{model_name={name}}}"] == 1
    assert numbers[f"vllm:num_requests_running{{model_name={name}}}"] == 0


def test_what_is_under_way_is_running(observed: Server, words: Deployed, endless: EndlessEngine) -> None:
    endless.ends_after = 0
    running = f"vllm:num_requests_running{{model_name={name_of(words)}}}"
    in_flight = f"slipway_gateway_requests_in_flight{{gen_ai_operation_name=chat,service={name_of(words)}}}"
    address = f"{words.url}/v1/chat/completions"
    with httpx.stream("POST", address, json=ASKED | {"stream": True}, headers=words.auth, timeout=30):
        wait_until(lambda: scrape(observed).get(running) == 1, "it runs", 10)
        assert scrape(observed)[in_flight] == 1
    wait_until(lambda: scrape(observed)[running] == 0, "its caller has left", 10)
    numbers = scrape(observed)
    assert (
        numbers[f"slipway_gateway_requests_total{{code=499,gen_ai_operation_name=chat,service={name_of(words)}}}"] == 1
    )


def test_an_instance_that_is_gone_is_an_upstream_error_and_a_bad_body_is_none(
    observed: Server, transactional_db: None
) -> None:
    dead = deploy(observed, free_port())
    assert ask(dead).status_code == 503
    assert httpx.post(f"{dead.url}/v1/chat/completions", content=b"{", headers=dead.auth, timeout=30).status_code == 400
    labels = f"gen_ai_operation_name=chat,service={name_of(dead)}"
    wait_until(
        lambda: scrape(observed).get(f"slipway_gateway_requests_total{{code=400,{labels}}}") == 1, "both are there", 10
    )
    numbers = scrape(observed)
    assert numbers[f"slipway_gateway_requests_total{{code=503,{labels}}}"] == 1
    errors = {key: value for key, value in numbers.items() if "upstream_errors" in key and name_of(dead) in key}
    assert list(errors.values()) == [1]
    assert "error_type=engine_unreachable" in next(iter(errors))


def test_nothing_that_a_caller_wrote_becomes_a_label(observed: Server, words: Deployed) -> None:
    unnamed = "slipway_gateway_requests_total{code=%s,gen_ai_operation_name=,service=}"
    before = scrape(observed)
    httpx.post(f"{observed.url}/api/predict/canary_one", content=b"x", headers={"Authorization": "canary2"})
    httpx.post(f"{observed.url}/v1/canary-path", json={"model": "canary-3"}, headers={"Authorization": "canary4"})
    httpx.post(words.url, content=b"x", headers={"Authorization": "canary5"})
    ask(words, model="canary-6", user="canary-7")

    def are_counted() -> bool:
        found = scrape(observed)
        is_new = found.get(unnamed % 404, 0) >= before.get(unnamed % 404, 0) + 2
        return is_new and found.get(unnamed % 401, 0) == before.get(unnamed % 401, 0) + 1

    wait_until(are_counted, "they are counted", 10)
    told = httpx.get(f"{observed.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30).text
    assert "canary" not in told
    assert "canary" not in "".join(line for line in observed.log.splitlines() if line.startswith("{"))


def test_a_second_process_is_told_by_the_first_and_a_killed_one_goes_on_counting(
    observed: Server, words: Deployed, endless: EndlessEngine
) -> None:
    counted = f"slipway_gateway_requests_total{{code=200,gen_ai_operation_name=chat,service={name_of(words)}}}"
    other = Server()
    other.start()
    try:
        ask(words)
        address = f"{other.url}/api/predict/{name_of(words)}/v1/chat/completions"
        for _ in range(2):
            assert httpx.post(address, json=ASKED, headers=words.auth, timeout=30).status_code == 200
        wait_until(lambda: scrape(observed).get(counted) == 3, "both processes are in one answer", 10)
        endless.ends_after = 0
        running = f"vllm:num_requests_running{{model_name={name_of(words)}}}"
        with httpx.stream("POST", address, json=ASKED | {"stream": True}, headers=words.auth, timeout=30):
            wait_until(lambda: scrape(observed).get(running) == 1, "it runs in the other process", 10)
            other.kill()
            wait_until(lambda: scrape(observed)[running] == 0, "nothing is under way in a killed process", 10)
        assert scrape(observed)[counted] == 3, "what it counted stays"
        endless.ends_after = 1
        other.start()
        assert httpx.post(address, json=ASKED, headers=words.auth, timeout=30).is_success
        wait_until(lambda: scrape(observed)[counted] == 4, "the next one counts on", 10)
    finally:
        other.kill()


def test_requests_become_one_row_a_minute_with_a_mark_that_there_was_a_gateway(
    observed: Server, words: Deployed
) -> None:
    for _ in range(3):
        ask(words, stream=True)
    uid = words.row.uid

    def counted() -> float:
        rows = Sample.objects.filter(service_uid=uid, kind="traffic")
        return float(sum(row.measures.get("counts", {}).get("code.200", 0) for row in rows))

    wait_until(lambda: counted() == 3, "they are written", 20)
    assert Sample.objects.filter(service_uid=uid).count() <= 2
    row = Sample.objects.filter(service_uid=uid).latest("begins_at")
    assert row.begins_at.second == row.begins_at.microsecond == 0
    assert sum(row.measures["histograms"]["first_token"][:-1]) == row.measures["counts"]["code.200"]


def test_metrics_are_for_the_token_and_for_administrators(observed: Server, words: Deployed) -> None:
    admin = User.objects.create_superuser("ada", password="ada-has-a-secret")
    _, token = issue_personal_token(admin, "prometheus")
    _, plain = issue_personal_token(User.objects.create_user("bob", password="bob-has-a-secret"), "mine")
    address = f"{observed.url}/metrics"

    def status(**headers: str) -> int:
        return httpx.get(address, headers=headers, timeout=30).status_code

    assert status() == 401
    assert status(Authorization=f"Bearer {words.token}") == 401
    assert status(Authorization=f"Bearer {TOKEN}x") == 401
    # gateway.md §5.2: who says it comes from this machine is nobody.
    assert status(**{"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"}) == 401
    assert status(Authorization=f"Bearer {plain}") == 403
    assert status(Authorization=f"Bearer {token}") == 200


def test_without_a_token_in_the_settings_no_bearer_opens_them(db: None, settings: LazySettings) -> None:
    settings.SLIPWAY_METRICS_TOKEN = None
    assert Client().get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401
    assert Client().get("/metrics", headers={"Authorization": "Bearer None"}).status_code == 401
    administrator = Client()
    administrator.force_login(User.objects.create_superuser("ada"))
    assert administrator.get("/metrics").status_code == 200
    User.objects.create_superuser("eva", password="eva-has-a-secret")
    basic = "Basic " + base64.b64encode(b"eva:eva-has-a-secret").decode()
    assert Client().get("/metrics", headers={"Authorization": basic}).status_code == 200
    assert administrator.post("/metrics").status_code == 405
    open_metrics = {"Accept": "application/openmetrics-text; version=1.0.0"}
    assert administrator.get("/metrics", headers=open_metrics).content.endswith(b"# EOF\n")


def test_the_access_log_is_a_line_of_json_for_each_request(observed: Server, words: Deployed) -> None:
    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in observed.log.splitlines() if line.startswith("{")]

    headers = words.auth | {"X-Request-Id": "in-the-access-log"}
    httpx.post(f"{words.url}/v1/chat/completions", json=ASKED | {"stream": True}, headers=headers, timeout=30)
    httpx.post(words.url, content=b"x", headers={"X-Request-Id": "refused-in-the-log"}, timeout=30)
    wait_until(lambda: "refused-in-the-log" in observed.log, "both lines are there", 10)
    by_id = {line["request_id"]: line for line in lines()}
    line = by_id["in-the-access-log"]
    assert (line["service"], line["operation"], line["status"]) == (name_of(words), "chat", 200)
    assert (line["ending"], line["stream"], line["proof"]) == ("finished", True, "service_token")
    assert isinstance(line["seconds"], float)
    assert isinstance(line["first_token_seconds"], float)
    assert line["tokens_counted_by"] == "estimate"
    assert isinstance(line["completion_tokens"], int)
    assert line["completion_tokens"] >= 5
    assert by_id["refused-in-the-log"]["status"] == 401
    assert words.token not in observed.log
