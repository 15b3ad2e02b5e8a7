"""Who may have an answer again, and what a page of another site sees of it."""

from __future__ import annotations

import httpx

from tests.inference_gateway.raw_engine import RawEngine
from tests.inference_gateway.resuming_rig import QUESTION, WHOLE, Slow, ask, generation_url, policy
from tests.inference_gateway.rig import EndlessEngine, Server, deploy
from tests.inference_gateway.test_gateway_keys import bearer, issue


def test_nobody_else_gets_an_answer(server: Server, endless: EndlessEngine) -> None:
    service, other = deploy(server, endless.port, **policy(30)), deploy(server, endless.port, **policy(30))
    generation, _ = ask(service, events=2)
    assert httpx.get(generation_url(service, generation), headers=other.auth).status_code == 401
    for known in (generation, "gen-" + 32 * "0", "x", generation[:-1], generation + "0"):
        for method in ("GET", "DELETE"):
            answer = httpx.request(method, generation_url(other, known), headers=other.auth)
            assert (answer.status_code, answer.json()["code"]) == (404, "generation_not_found")
    again = httpx.post(
        other.url + "/v1/chat/completions",
        json=QUESTION,
        headers=other.auth | {"Last-Event-ID": f"{generation}.0"},
    )
    assert again.status_code == 404
    assert httpx.delete(generation_url(service, generation), headers=service.auth).status_code == 204


def test_the_answer_of_a_key_is_that_key_s_alone(server: Server, slow: tuple[Slow, RawEngine]) -> None:
    script, engine = slow
    script.held_at = 5
    service = deploy(server, engine.port, **policy(30))
    (_, mine), (_, other) = issue(service.row.workspace), issue(service.row.workspace)
    asked = QUESTION | {"model": service.row.name}
    with httpx.stream("POST", server.url + "/v1/chat/completions", json=asked, headers=bearer(mine)) as response:
        generation = response.headers["x-slipway-generation"]
        next(response.iter_raw())
    script.go.set()
    url = generation_url(service, generation)
    for headers in (bearer(other), service.auth):
        for method in ("GET", "DELETE"):
            refused = httpx.request(method, url, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (404, "generation_not_found")
    assert httpx.get(url, headers=bearer(mine), timeout=20).content == WHOLE


def test_a_page_of_another_site_may_read_the_id_and_ask_for_the_rest(server: Server, endless: EndlessEngine) -> None:
    endless.ends_after = 2
    service = deploy(server, endless.port, **policy(30))
    asked = httpx.post(service.url + "/v1/chat/completions", json=QUESTION, headers=service.auth)
    assert asked.headers["x-slipway-resumable"] == "30"
    assert "x-slipway-generation" in asked.headers["access-control-expose-headers"]
    url = generation_url(service, asked.headers["x-slipway-generation"])
    preflight = httpx.options(url, headers={"Origin": "https://a.example", "Access-Control-Request-Method": "GET"})
    assert preflight.status_code == 204
    for method, status in (("OPTIONS", 204), ("POST", 405)):
        answer = httpx.request(method, url, headers=service.auth)
        assert (answer.status_code, answer.headers["allow"]) == (status, "GET, DELETE, OPTIONS")
