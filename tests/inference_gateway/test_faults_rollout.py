"""A service's instances are replaced under its callers' hands. Fault 28 of gateway.md §5.3."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import Counter

import httpx
import pytest
from django.db import connections

from deployments import hints
from deployments.models import Instance
from tests.inference_gateway.asking import ASKED, CHAT
from tests.inference_gateway.rig import Deployed, EndlessEngine, Server, add_instance, deploy
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(180)
CALLERS = 24
WORDS = 25
ROLLOUTS = 3


class Callers:
    """They ask again and again, every other one for a stream; ``wrong`` says of each answer that was not whole why."""

    def __init__(self, service: Deployed) -> None:
        self._service = service
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(CALLERS)]
        self.answers: Counter[str] = Counter()
        self.wrong: list[str] = []

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self, number: int) -> None:
        is_stream = number % 2 == 0
        with httpx.Client(headers=self._service.auth, timeout=60) as client:
            while not self._is_over.is_set():
                try:
                    answer = client.post(self._service.url + CHAT, json=ASKED | {"stream": is_stream})
                except httpx.TransportError as error:
                    self.wrong.append(type(error).__name__)
                    continue
                words = answer.text.count("word ")
                is_whole = words == WORDS and (not is_stream or answer.text.endswith("data: [DONE]\n\n"))
                if answer.status_code == 200 and is_whole:
                    self.answers["stream" if is_stream else "whole"] += 1
                else:
                    self.wrong.append(f"{answer.status_code}, {words} words: {answer.text[-200:]}")


def replace(service: Deployed, old: EndlessEngine, new: EndlessEngine) -> None:
    """As a rollout does: the new instance is ready first; the old one gets nothing new, and ends when it is idle."""
    add_instance(service.row, new.port)
    hints.send_hint(f"service:{service.row.name}")
    wait_until(lambda: new.active > 0, "the new instance is asked", 20)
    Instance.objects.filter(port=old.port).update(phase="Stopping", ready_at=None)
    hints.send_hint(f"service:{service.row.name}")
    time.sleep(1.0)  # twice as long as what is known of a service counts without a hint
    wait_until(lambda: old.active == 0, "the old one has answered all it was asked", 30)
    old.die()


def test_a_rollout_under_load_fails_no_request_and_cuts_no_stream(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        engines = [stack.enter_context(EndlessEngine()) for _ in range(ROLLOUTS + 1)]
        for engine in engines:
            engine.ends_after = WORDS
        service = deploy(server, engines[0].port)
        with Callers(service) as callers:
            wait_until(lambda: sum(callers.answers.values()) > CALLERS, "all of them are at it", 60)
            for old, new in itertools.pairwise(engines):
                replace(service, old, new)
            before = sum(callers.answers.values())
            wait_until(lambda: sum(callers.answers.values()) > before + CALLERS, "they go on", 60)
    connections.close_all()
    assert callers.wrong == []
    assert min(callers.answers.values()) > ROLLOUTS
