"""The questions that "Running" rests on, asked of real servers that answer well, badly, or without an end."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest

from deployments.addresses import direct_url
from deployments.spec.document import Probe
from deployments.stages import Stage
from deployments.token_probe import probe_check, probe_token

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'

Answer = Callable[[socketserver.StreamRequestHandler, bytes], None]


@contextlib.contextmanager
def serving(answer: Answer, host: str = "127.0.0.1") -> Iterator[int]:
    """A server on a free port; ``answer`` writes everything, and may go on until the caller hangs up."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            request = self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            with contextlib.suppress(OSError):
                answer(self, request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    with Server((host, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def pings_for_ever(handler: socketserver.StreamRequestHandler, request: bytes) -> None:
    handler.wfile.write(HEAD)
    while True:
        handler.wfile.write(b": ping\n\n")


def body_for_ever(handler: socketserver.StreamRequestHandler, request: bytes) -> None:
    handler.wfile.write(HEAD)
    while True:
        handler.wfile.write(b"x" * 65536)


def one_token_then_pings(handler: socketserver.StreamRequestHandler, request: bytes) -> None:
    if request.startswith(b"GET"):
        handler.wfile.write(HEAD + b'{"data":[{"id":"m"}]}')
        return
    handler.wfile.write(HEAD + b": ping\n\n" + TOKEN)
    pings_for_ever(handler, request)


def test_the_first_token_counts_whatever_follows() -> None:
    with serving(one_token_then_pings) as port:
        assert probe_token(direct_url("127.0.0.1", port)).ok


def test_an_instance_at_an_ipv6_address_is_asked_like_any_other() -> None:
    check = Probe.model_validate({"http_get": {"path": "/health", "port": 8000}})
    with serving(one_token_then_pings, "::1") as port:
        assert probe_token(direct_url("::1", port)).ok
        assert probe_check("::1", port, 8000, check).ok


@pytest.mark.parametrize("answer", [pings_for_ever, body_for_ever])
def test_an_engine_that_writes_without_an_end_does_not_hold_the_worker(answer: Answer) -> None:
    with serving(answer) as port:
        found = probe_token(direct_url("127.0.0.1", port), patience_seconds=0.5)
    assert not found.ok
    assert found.step == "Asking the model for its first token."


def test_a_check_passes_by_its_status_even_if_the_body_has_no_end() -> None:
    check = Probe.model_validate({"http_get": {"path": "/health", "port": 8000}})
    with serving(body_for_ever) as port:
        assert probe_check("127.0.0.1", port, 8000, check).ok


def test_a_port_that_nobody_listens_on_is_a_step_and_no_error() -> None:
    with serving(body_for_ever) as port:
        pass
    assert not probe_token(direct_url("127.0.0.1", port)).ok


@pytest.mark.parametrize(
    ("health", "step"),
    [
        (b'{"status": "loading", "loaded_bytes": 125829120, "weights_bytes": 283115520}', "120 of 270 MiB"),
        (b'{"status": "loading", "loaded_bytes": 3328599654, "weights_bytes": 15247873741}', "3.1 of 14.2 GiB"),
        (b'{"status": "loading"}', ""),
        (b'{"loaded_bytes": 9, "weights_bytes": 1}', ""),
        (b'{"loaded_bytes": null, "weights_bytes": "x"}', ""),
        (b"[]", ""),
        (b"no JSON", ""),
    ],
)
def test_a_model_that_loads_is_told_with_what_the_engine_knows_of_it(health: bytes, step: str) -> None:
    def loads(handler: socketserver.StreamRequestHandler, request: bytes) -> None:
        handler.wfile.write(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n")
        if b"/health" in request:
            handler.wfile.write(health)

    with serving(loads) as port:
        answer = probe_token(direct_url("127.0.0.1", port))
    assert (answer.ok, answer.stage) == (False, Stage.LOADING)
    assert answer.step == (f"Loading weights: {step}." if step else "Loading weights.")
