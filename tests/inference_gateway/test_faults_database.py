"""The database is away while programs call. Fault 39 of gateway.md §5.3."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.inference_gateway.asking import ASKED, CHAT, SHORT, code_of
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, deploy
from tests.inference_gateway.test_gateway_keys import rename_table
from tests.waiting import wait_until

pytestmark = [pytest.mark.backends, pytest.mark.timeout(120)]


@contextlib.contextmanager
def without_services() -> Iterator[None]:
    """Every look at a service is an error of the database."""
    rename_table("deployments_service", "deployments_elsewhere")
    try:
        yield
    finally:
        rename_table("deployments_elsewhere", "deployments_service")


def ask(service: Deployed, rest: str) -> int:
    return httpx.post(service.url + rest, json=SHORT if not rest else ASKED, headers=service.auth).status_code


def test_what_is_known_is_answered_on_and_what_is_not_is_503(
    server: Server, words: Deployed, endless: EndlessEngine
) -> None:
    unknown = deploy(server, endless.port)
    assert ask(words, CHAT) == 200
    with without_services():
        until = time.monotonic() + 2.0  # four times as long as a look counts
        statuses = set()
        while time.monotonic() < until:
            statuses |= {ask(words, CHAT), ask(words, ""), httpx.get(words.url, headers=words.auth).status_code}
        assert statuses == {200}
        assert httpx.post(words.url, json=SHORT, headers={"Authorization": "false"}).status_code == 401
        for rest in ("", CHAT):
            answer = httpx.post(unknown.url + rest, json=SHORT | ASKED, headers=unknown.auth)
            assert (answer.status_code, code_of(answer)) == (503, "database_unavailable")
            assert int(answer.headers["retry-after"]) > 0
        with httpx.stream("POST", words.url, json=SHORT, headers=words.auth) as stream:
            assert stream.read()
    wait_until(lambda: ask(unknown, "") == 200, "all is well again", 5)
