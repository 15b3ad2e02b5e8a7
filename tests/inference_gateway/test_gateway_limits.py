"""How much a service takes: rates (429), its queue (450) and how long one waits in it (408). Engines are real."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from deployments.spec import ServiceSpec, SpecInvalid
from inference_gateway.directory import read_traits
from inference_gateway.queueing import QueueBound, Rates
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, add_instance, deploy
from tests.waiting import wait_until

pytestmark = pytest.mark.backends

SHORT = {"prompt": "Say hello.", "max_new_tokens": 8}


@contextlib.contextmanager
def asking(service: Deployed, endless: EndlessEngine, count: int) -> Iterator[None]:
    """So many streams under way in the engine."""
    with contextlib.ExitStack() as stack:
        kept = []
        for _ in range(count):
            response = stack.enter_context(httpx.stream("POST", service.url, json=SHORT, headers=service.auth))
            kept.append(response.iter_bytes())  # an iterator let go of closes the connection
            next(kept[-1])
        wait_until(lambda: endless.active == count, "the engine has them all", 5)
        yield


def ask(service: Deployed, **more: Any) -> httpx.Response:
    return httpx.post(service.url, json=SHORT | more, headers=service.auth, timeout=30)


def wrong(**document: Any) -> list[str]:
    whole = {"metadata": {"name": "svc"}, "containers": [{"image": "x:1"}], **document}
    try:
        ServiceSpec.parse(whole)
    except SpecInvalid as error:
        return [one.field for one in error.errors]
    return []


def test_beyond_workers_and_queue_it_is_450_and_who_waited_is_answered(server: Server, endless: EndlessEngine) -> None:
    service = deploy(server, endless.port, metadata={"rpc": {"worker_threads": 1, "max_queue_size": 1}})
    answers: list[httpx.Response] = []
    callers = [threading.Thread(target=lambda: answers.append(ask(service))) for _ in range(3)]
    with asking(service, endless, 1):
        for caller in callers:
            caller.start()
        wait_until(lambda: len(answers) == 2, "one waits, the other two are refused", 10)
        assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(450, "queue_full")] * 2
        assert answers[0].headers["Connection"] == "close"
        assert len(endless.asked) == 1  # whoever waits is not in the engine
        endless.ends_after = 1
    for caller in callers:
        caller.join(10)
    assert answers[2].status_code == 200


def test_openai_clients_see_the_full_queue_in_their_shape(server: Server, endless: EndlessEngine) -> None:
    service = deploy(server, endless.port, metadata={"rpc": {"worker_threads": 1, "max_queue_size": 0}})
    with asking(service, endless, 1):
        body = {"messages": [{"role": "user", "content": "x"}]}
        response = httpx.post(f"{service.url}/v1/chat/completions", json=body, headers=service.auth)
    assert (response.status_code, response.json()["error"]["code"]) == (450, "queue_full")


def test_a_queue_without_workers_lets_the_engine_have_five_more(server: Server, endless: EndlessEngine) -> None:
    service = deploy(server, endless.port, metadata={"rpc": {"max_queue_size": 0}})
    with asking(service, endless, 5):
        assert ask(service).status_code == 450


def test_another_instance_makes_room_for_who_waits(server: Server, endless: EndlessEngine) -> None:
    service = deploy(server, endless.port, metadata={"rpc": {"worker_threads": 1, "max_queue_size": 5}})
    with EndlessEngine() as other, asking(service, endless, 1):
        other.ends_after = 1
        answers: list[httpx.Response] = []
        waiting = threading.Thread(target=lambda: answers.append(ask(service)))
        waiting.start()
        add_instance(service.row, other.port)
        waiting.join(10)
        assert [answer.status_code for answer in answers] == [200]
        assert (len(endless.asked), len(other.asked)) == (1, 1)


def test_who_leaves_the_queue_gives_up_the_place(server: Server, endless: EndlessEngine) -> None:
    service = deploy(server, endless.port, metadata={"rpc": {"worker_threads": 1, "max_queue_size": 1}})
    with asking(service, endless, 1):
        for _ in range(4):  # each waits, and leaves before its turn
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(service.url, json=SHORT, headers=service.auth, timeout=httpx.Timeout(5, read=0.5))
            time.sleep(0.1)
    endless.ends_after = 1
    assert ask(service).status_code == 200
    assert len(endless.asked) == 2


def test_waiting_longer_than_the_keepalive_is_408(server: Server, endless: EndlessEngine) -> None:
    rpc = {"worker_threads": 1, "keepalive": 700}
    service = deploy(server, endless.port, metadata={"rpc": rpc})
    statuses: list[int] = []
    callers = [threading.Thread(target=lambda: statuses.append(ask(service, use_stream_chat=False).status_code))]
    callers += [threading.Thread(target=lambda: statuses.append(ask(service, use_stream_chat=False).status_code))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(10)
    assert statuses == [408, 408]
    wait_until(lambda: endless.active == 0, "the engine stopped", 1.0)


@pytest.mark.parametrize(
    "document",
    [
        {"networking": {"gateway_policy": {"rate_limit": {"enable": True, "limit": 3}}}},
        {"metadata": {"rpc": {"rate_limit": 3}}},
    ],
)
def test_over_the_rate_limit_it_is_429_until_the_second_has_passed(
    server: Server, endless: EndlessEngine, document: dict[str, Any]
) -> None:
    endless.ends_after = 1
    service = deploy(server, endless.port, **document)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: ask(service), range(12)))
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert sum(answer.status_code == 200 for answer in answers) >= 3
    assert refused.json()["code"] == "too_many_requests"
    assert "3 requests a second" in refused.json()["message"]
    assert refused.headers["Retry-After"] == "1"
    assert httpx.get(service.url, headers=service.auth).status_code == 200  # asking how it is costs nothing
    wait_until(lambda: ask(service).status_code == 200, "room again", 5)


def test_a_bucket_holds_one_second_and_fills_with_time() -> None:
    rates = Rates()
    assert [rates.take("a", 2) for _ in range(3)] == [True, True, False]
    assert rates.take("b", 2)


def test_a_document_sets_its_bounds_or_none() -> None:
    def bound(rpc: dict[str, Any]) -> QueueBound | None:
        whole = {"metadata": {"name": "svc", "rpc": rpc}, "containers": [{"image": "x:1"}]}
        return read_traits(ServiceSpec.parse(whole)).queue

    assert bound({}) is None
    assert bound({"keepalive": 5}) is None
    assert bound({"max_queue_size": 64}) == QueueBound(69, 0)
    assert bound({"worker_threads": 2}) == QueueBound(2, 64)
    assert bound({"worker_threads": 2, "max_queue_size": 0}) == QueueBound(2, 0)


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ({"rate_limit": {"enable": True, "limit": 0}}, "rate_limit.limit"),
        ({"rate_limit": {"enable": True}}, "rate_limit.limit"),
        ({"rate_limit": 5}, "rate_limit"),
        ({"eas_stream": "sometimes"}, "eas_stream"),
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused_by_its_field(policy: dict[str, Any], field: str) -> None:
    assert wrong(networking={"gateway_policy": policy}) == [f"networking.gateway_policy.{field}"]


@pytest.mark.parametrize("policy", [None, {}, {"rate_limit": None}, {"eas_stream": None, "other": 1}])
def test_a_policy_that_says_nothing_limits_nothing(policy: object) -> None:
    assert wrong(networking={"gateway_policy": policy}) == []
