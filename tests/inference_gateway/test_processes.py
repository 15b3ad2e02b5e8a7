"""Several server processes on one socket: what one takes along when it is killed. Fault 29 of gateway.md §5.3."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from bench.gateway.processes import find_holders
from tests.inference_gateway.asking import ASKED, CHAT, SHORT
from tests.inference_gateway.raw_client import connect, render
from tests.inference_gateway.rig import EndlessEngine, Server, deploy
from tests.inference_gateway.test_gateway_keys import bearer, issue
from tests.waiting import wait_until

pytestmark = [pytest.mark.backends, pytest.mark.timeout(180)]
STREAMS = 50


class Pair(Server):
    """Two processes, as the supervisor starts them."""

    def __init__(self) -> None:
        super().__init__()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        for _ in range(2):
            self.add()
        wait_until(lambda: all(self.accepts(one) for one in self.processes), "both accept", 60)

    def add(self) -> subprocess.Popen[bytes]:
        fd = self.listener.fileno()
        self.processes.append(self.launch("--fd", str(fd), inherited=(fd,)))
        return self.processes[-1]

    def accepts(self, process: subprocess.Popen[bytes]) -> bool:
        """Ask until this one has answered: it is the one that has the other end of the connection."""
        for _ in range(20):
            with connect(self) as connection:
                connection.sendall(b"GET /v1/nothing HTTP/1.1\r\nhost: x\r\n\r\n")
                connection.recv(100)
                if self.holder_of(connection) == process.pid:
                    return True
        return False

    def holder_of(self, connection: socket.socket) -> int | None:
        """The process at the other end of a connection."""
        living = [process.pid for process in self.processes if process.poll() is None]
        return find_holders(self.port, living).get(connection.getsockname()[1])

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.listener.close()


@pytest.fixture
def pair(shared_server: Server, transactional_db: None) -> Iterator[Pair]:
    pair = Pair()
    try:
        pair.start()
        yield pair
    finally:
        pair.kill()


def test_a_process_that_is_killed_takes_only_its_own_streams_along(pair: Pair, endless: EndlessEngine) -> None:
    service = deploy(pair, endless.port)
    question = render(service.path + CHAT, service.token, json.dumps(ASKED | {"stream": True}).encode())
    failed: list[str] = []
    is_over = threading.Event()

    def ask_again_and_again() -> None:
        while not is_over.is_set():
            try:
                answer = httpx.get(service.url, headers=service.auth, timeout=60)
                if answer.status_code != 200:
                    failed.append(str(answer.status_code))
            except httpx.TransportError as error:
                failed.append(type(error).__name__)

    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(connect(pair)) for _ in range(STREAMS)]
        for one in streams:
            one.sendall(question)
        for one in streams:
            assert one.recv(65536).startswith(b"HTTP/1.1 200 ")
        victim, other = pair.processes
        held = {
            process.pid: [one for one in streams if pair.holder_of(one) == process.pid] for process in pair.processes
        }
        assert sum(map(len, held.values())) == STREAMS
        asking = threading.Thread(target=ask_again_and_again, daemon=True)
        asking.start()
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        for one in held[victim.pid]:
            with contextlib.suppress(ConnectionError):
                while one.recv(65536):
                    pass
        for one in held[other.pid]:
            for _ in range(5):
                assert b"word" in one.recv(65536)
        assert [httpx.get(service.url, headers=service.auth).status_code for _ in range(20)] == [200] * 20
        wait_until(lambda: endless.active == len(held[other.pid]), "the engine is rid of the others", 10)
        replacement = pair.add()
        wait_until(lambda: pair.accepts(replacement), "the new process accepts", 60)
        for one in held[other.pid]:
            assert b"word" in one.recv(65536)
        is_over.set()
        asking.join(60)
    # Of one after the other at most the one that the victim had in its hands.
    assert len(failed) <= 1, failed
    endless.ends_after = 1
    assert httpx.post(service.url, json=SHORT, headers=service.auth).status_code == 200


def test_a_key_s_limit_is_exact_over_both_processes(pair: Pair, endless: EndlessEngine) -> None:
    endless.ends_after = 1
    service = deploy(pair, endless.port)
    _, secret = issue(service.row.workspace, limits={"requests_per_minute": 80})

    def ask(_: int) -> tuple[int, str]:
        answer = httpx.post(service.url + CHAT, json=ASKED, headers=bearer(secret), timeout=60)
        return answer.status_code, answer.headers.get("x-ratelimit-limit-requests", "")

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(ask, range(110))) == {(200, "80"): 80, (429, "80"): 30}
