"""Tokens are nowhere but where they belong. Fault 40 of gateway.md §5.3; pages are in tests/browser.

What passes between the parts of a whole Slipway, tasks among it, is in ``test_faults_secrets_whole``.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from django.apps import apps
from django.core import serializers

from tests.inference_gateway.asking import ASKED, CHAT, SHORT
from tests.inference_gateway.raw_client import render, talk
from tests.inference_gateway.raw_engine import RawEngine, Turn
from tests.inference_gateway.rig import EndlessEngine, Server, deploy
from tests.ports import free_port

pytestmark = pytest.mark.timeout(180)
PATHS = (
    *("", "/", CHAT, "/v1/completions", "/v1/messages", "/v1/messages/count_tokens", "/v1/models", "/v1/models/x"),
    *("/v1/embeddings", "/v1/audio/speech", "/v1/responses", "/anything", "/../x", "/%2e%2e/x", "/a?token=b", "/v1/x"),
)
LIMITED = {"gateway_policy": {"rate_limit": {"enable": True, "limit": 1}}}
BODIES = (b"", b"{", b"[]", b'{"messages": 1}', json.dumps(ASKED | SHORT).encode(), b"\xff", b"{" * 50_000)


@pytest.fixture(scope="module")
def talkative(shared_server: Server) -> Iterator[Server]:
    server = Server()
    server.log_level = "debug"
    server.start()
    try:
        yield server
    finally:
        server.kill()


async def fail(turn: Turn) -> None:
    if turn.number % 2:
        turn.drop()
    else:
        await turn.send_json({"error": {"message": "no", "code": "bad"}}, "500 Internal Server Error")


@pytest.mark.parametrize("is_right", [True, False])
def test_a_token_that_was_sent_everywhere_is_found_nowhere(
    talkative: Server, transactional_db: None, endless: EndlessEngine, *, is_right: bool
) -> None:
    endless.ends_after = 1
    before = len(talkative.log)
    with RawEngine(fail) as bad:
        services = [
            deploy(talkative, endless.port),
            deploy(talkative, bad.port),
            deploy(talkative, free_port()),
            deploy(talkative),
            deploy(talkative, bad.port, engine=None),
            deploy(talkative, endless.port, networking=LIMITED),
        ]
        canaries = [one.token if is_right else f"canary-{one.row.name}-of-nobody" for one in services]
        pairs = list(zip(services, canaries, strict=True))
        heard = []
        for (service, canary), path, body in itertools.product(pairs, PATHS, BODIES[::2]):
            headers = f"x-api-key: {canary}\r\nconnection: close\r\ncontent-type: application/json\r\n"
            heard.append(talk(talkative, render(service.path + path, canary, body, headers)))
        statuses = {one[9:12] for one in heard}
        for (service, canary), body in itertools.product(pairs, BODIES):
            basic = base64.b64encode(f"x:{canary}".encode()).decode()
            shapes = {"Authorization": f"EAS {canary}"}, {"Authorization": f"Basic {basic}"}, {"X-API-Key": canary}
            for shape in (*shapes, {"Cookie": f"token={canary}"}):
                heard.append(httpx.post(service.url + CHAT, content=body, headers=shape).content)  # noqa: PERF401
        heard += [httpx.get(talkative.url + path, timeout=30).content for path in ("/metrics", "/readyz", "/healthz")]
    assert statuses >= ({b"200", b"400", b"404", b"429", b"502", b"503"} if is_right else {b"401"})
    kept = "".join(serializers.serialize("json", model._default_manager.all()) for model in apps.get_models())
    told = talkative.log[before:] + kept
    for canary in canaries:
        assert not [one for one in heard if canary.encode() in one]
        for spelt in (canary, quote(canary), base64.b64encode(canary.encode()).decode().rstrip("=")):
            assert spelt not in told
