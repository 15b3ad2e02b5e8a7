"""Several servers under one supervisor: each is replaced by itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.slipway_process import SlipwayProcess, is_gone
from tests.waiting import wait_until

pytestmark = [pytest.mark.supervisor, pytest.mark.timeout(300)]


@pytest.fixture
def slipway(tmp_path: Path) -> Iterator[SlipwayProcess]:
    own = SlipwayProcess(tmp_path / "data", is_embedded=True, SLIPWAY_SERVER_PROCESSES="2")
    try:
        yield own.start()
    finally:
        own.end_everything()


def test_a_killed_server_is_replaced_while_the_other_answers(slipway: SlipwayProcess) -> None:
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
