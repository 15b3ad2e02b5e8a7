"""Several servers under one supervisor: each is replaced by itself."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator

import httpx
import pytest

from bench.gateway.processes import find_holders
from deployments.clusters.local.processes import is_alive
from tests.slipway_process import SlipwayProcess, is_gone
from tests.waiting import wait_until

pytestmark = [pytest.mark.supervisor, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def slipway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlipwayProcess]:
    """For all tests here: the last one ends it."""
    own = SlipwayProcess(tmp_path_factory.mktemp("servers") / "data", is_embedded=True, SLIPWAY_SERVER_PROCESSES="2")
    try:
        yield own.start()
    finally:
        own.end_everything()


def standby_of(slipway: SlipwayProcess) -> int | None:
    """The server process that has loaded everything and waits."""
    recorded = json.loads((slipway.data_dir / "supervisor.parts").read_text())
    pid, start = recorded.get("standby", (0, ""))
    return pid if pid not in slipway.servers() and is_alive(pid, start) else None


def test_a_server_that_waits_and_is_killed_is_replaced_and_misses_nobody(slipway: SlipwayProcess) -> None:
    waiting = wait_until(lambda: standby_of(slipway), "one waits", 20)
    before = slipway.servers()
    os.kill(waiting, signal.SIGKILL)
    wait_until(lambda: (pid := standby_of(slipway)) is not None and pid != waiting, "another one waits", 20)
    assert slipway.servers() == before


def test_a_server_that_waits_takes_the_place_of_one_that_is_killed_and_another_one_waits(
    slipway: SlipwayProcess,
) -> None:
    waiting = wait_until(lambda: standby_of(slipway), "one waits", 20)
    victim = min(slipway.servers())
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: waiting in slipway.servers(), "it takes the place", 10)

    def answers() -> bool:
        """Whether it is the one at the other end of a request's connection."""
        with socket.create_connection(("127.0.0.1", slipway.port), timeout=30) as connection:
            connection.sendall(b"GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 404 ")
            return connection.getsockname()[1] in find_holders(slipway.port, [waiting])

    wait_until(answers, "it answers", 40)
    wait_until(lambda: standby_of(slipway), "another one waits", 20)


def test_a_killed_server_is_replaced_while_the_other_answers_and_all_end_together(slipway: SlipwayProcess) -> None:
    before = slipway.servers()
    assert len(before) == 2
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: is_gone(victim), "it is gone", 5)
    assert [httpx.get(f"{slipway.address}/healthz", timeout=30).status_code for _ in range(20)] == [200] * 20
    wait_until(lambda: len(slipway.servers()) == 2, "another one is started", 10)
    assert slipway.servers() >= before - {victim}
    assert slipway.stop() == 0
    assert slipway.processes() == []
