"""Engines that refuse, drop or cannot be reached, on every way: what the caller is told, and who is asked again.

Fault 25 of gateway.md §5.3. A question is asked again in two cases alone: on a fresh connection where a kept one was
lost before a byte of the answer came, and at another instance where the first was never reached or said that it has
not begun (503).

An instance of the local cluster, or of Kubernetes by pod or node, is an IP address and plain HTTP: neither names nor
TLS can fail there. Behind the API server's proxy both can: there a kubeconfig names an API server that is at fault.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import email.utils
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import websocket
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deployments.clusters.kubernetes.reaching import proxy_url
from deployments.models import Instance
from tests.inference_gateway.asking import code_of
from tests.inference_gateway.raw_engine import HEAD, RawEngine, Turn
from tests.inference_gateway.rig import Server, add_instance, deploy
from tests.inference_gateway.test_faults_engines import END, LAST, WAYS, ask, event, served
from tests.ports import free_port

pytestmark = pytest.mark.timeout(120)
TRANSLATED = ("relay", "eas", "anthropic")
PLAIN = "/anything"


async def answer(turn: Turn) -> None:
    await turn.send(HEAD)
    await turn.send_chunk(event("x") + LAST + END)
    await turn.send_chunk(b"")


class Dropping(RawEngine):
    """Closes every connection once it has read what is asked."""

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()


# Statuses


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("429 Too Many Requests", 429),
        ("500 Internal Server Error", 502),
        ("502 Bad Gateway", 502),
        ("503 Service Unavailable", 503),
        ("504 Gateway Timeout", 502),
    ],
)
def test_what_an_engine_answers_without_tokens_has_its_status_and_its_time_and_comes_once(
    server: Server, status: str, told: int, way: str, *, stream: bool
) -> None:
    async def script(turn: Turn) -> None:
        await turn.send_json({"error": {"message": "no"}}, status, "retry-after: 7\r\n")

    with served(server, way, script) as (service, engine):
        said = ask(service, way, stream=stream)
        assert said.status_code == (int(status[:3]) if way == "passthrough" else told)
        if way == "anthropic":
            assert said.json()["type"] == "error"
        elif way != "passthrough":
            assert code_of(said)
        assert len(engine.turns) == 1
        if told in (429, 503):
            assert said.headers.get_list("retry-after") == ["7"]


@pytest.mark.parametrize("way", ["relay", "eas"])
def test_a_date_to_ask_again_becomes_seconds_and_nonsense_a_second(server: Server, way: str) -> None:
    async def script(turn: Turn) -> None:
        at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
        when = "soon" if turn.number else email.utils.format_datetime(at, usegmt=True)
        await turn.send_json({}, "429 Too Many Requests", f"retry-after: {when}\r\n")

    with served(server, way, script) as (service, _):
        assert 40 < int(ask(service, way).headers["retry-after"]) <= 100
        assert ask(service, way).headers["retry-after"] == "1"


def test_what_is_refused_on_a_route_that_is_carried_keeps_its_time(server: Server) -> None:
    async def script(turn: Turn) -> None:
        await turn.send_json({"detail": "no"}, "503 Service Unavailable", "retry-after: 7\r\n")

    with served(server, "relay", script) as (service, engine):
        said = httpx.post(f"{service.url}/v1/embeddings", json={"input": "x"}, headers=service.auth, timeout=60)
        assert (said.status_code, said.headers.get_list("retry-after")) == (503, ["7"])
        assert len(engine.turns) == 1


# Connections


@pytest.mark.parametrize("way", WAYS)
def test_where_nobody_listens_it_is_503_and_quick(server: Server, way: str) -> None:
    service = deploy(server, free_port(), engine=None if way == "passthrough" else "chat-llm")
    began = time.monotonic()
    said = ask(service, way)
    assert said.status_code == 503
    assert int(said.headers["retry-after"]) > 0
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_that_the_engine_closed_while_it_was_idle_costs_nothing(server: Server, way: str) -> None:
    async def script(turn: Turn) -> None:
        await answer(turn)
        turn.end()

    with served(server, way, script) as (service, engine):
        for number in range(3):
            assert ask(service, way).status_code == 200
            assert (len(engine.turns), engine.connections) == (number + 1, number + 1)


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("way", TRANSLATED)
def test_a_kept_connection_that_was_dropped_is_followed_by_one_fresh_one(server: Server, way: str, lost: int) -> None:
    async def script(turn: Turn) -> None:
        if 1 <= turn.number <= lost:
            turn.drop()
        else:
            await answer(turn)

    with served(server, way, script) as (service, engine):
        assert ask(service, way).status_code == 200
        assert ask(service, way).status_code == (200 if lost == 1 else 502)
        assert (len(engine.turns), engine.connections) == (3, 2)


@pytest.mark.parametrize("way", WAYS)
def test_who_drops_a_fresh_connection_is_not_asked_again_and_nobody_else_is(server: Server, way: str) -> None:
    async def drop(turn: Turn) -> None:
        turn.drop()

    with served(server, way, drop) as (service, engine), RawEngine(drop) as other:
        add_instance(service.row, other.port)
        said = ask(service, way)
        assert said.status_code == 502
        assert len(engine.turns) + len(other.turns) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "PUT", "PATCH"])
def test_no_method_that_is_carried_is_done_twice(server: Server, method: str) -> None:
    with Dropping(answer) as one, Dropping(answer) as other:
        service = deploy(server, one.port, other.port, engine=None)
        for body in (b"", b"x"):
            before = one.connections + other.connections
            said = httpx.request(method, service.url + PLAIN, content=body, headers=service.auth, timeout=60)
            assert said.status_code == 502
            assert method == "HEAD" or code_of(said) == "instance_broke_off"
            assert one.connections + other.connections == before + 1


def test_a_websocket_that_is_dropped_in_its_handshake_is_not_opened_elsewhere(server: Server) -> None:
    with Dropping(answer) as one, Dropping(answer) as other:
        service = deploy(server, one.port, other.port, engine=None)
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            websocket.create_connection(service.url.replace("http", "ws", 1), header=service.auth, timeout=60)
        assert refused.value.status_code == 502
        assert one.connections + other.connections == 1


def test_a_websocket_that_is_refused_for_now_says_until_when(server: Server) -> None:
    class Busy(RawEngine):
        async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            turn = Turn(b"", reader, writer, 0)
            await turn.send_json({}, "503 Service Unavailable", "retry-after: 9\r\nconnection: close\r\n")
            turn.end()

    with Busy(answer) as engine:
        service = deploy(server, engine.port, engine=None)
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            websocket.create_connection(service.url.replace("http", "ws", 1), header=service.auth, timeout=60)
    assert refused.value.status_code == 503
    assert refused.value.resp_headers is not None
    assert refused.value.resp_headers["retry-after"] == "9"


@pytest.mark.parametrize("way", TRANSLATED)
def test_after_the_first_byte_nothing_is_asked_again(server: Server, way: str) -> None:
    async def script(turn: Turn) -> None:
        if turn.number:  # the second question comes on a kept connection
            await turn.send(HEAD[:20] if way == "relay" else HEAD)
            turn.drop()
            return
        await answer(turn)

    with served(server, way, script) as (service, engine):
        assert ask(service, way).status_code == 200
        ask(service, way)
        assert len(engine.turns) == 2


# Names and TLS


def make_certificate(folder: Path, name: str) -> Path:
    """One of its own issuing, for localhost, with its key behind it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


def write_kubeconfig(folder: Path, api_server: str, trusted: Path) -> Path:
    authority = base64.b64encode(trusted.read_bytes().partition(b"-----BEGIN PRIVATE")[0]).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": api_server, "certificate-authority-data": authority}}],
        "users": [{"name": "it", "user": {"token": "of-the-api-server"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@dataclass(frozen=True)
class Unreachable:
    """A server whose instances are behind an API server that it cannot talk to. ``engine`` is who is there instead."""

    server: Server
    api_server: str
    engine: RawEngine | None

    def pod(self, name: str) -> str:
        return proxy_url(self.api_server, "slipway", name, 8000)


@pytest.fixture(scope="module", params=["no such name", "another's certificate", "no TLS"])
def far(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_server: Server
) -> Iterator[Unreachable]:
    folder = tmp_path_factory.mktemp("far")
    with contextlib.ExitStack() as stack:
        engine, address = None, "https://nowhere.invalid:6443"
        if request.param != "no such name":
            tls = None
            if request.param == "another's certificate":
                tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                tls.load_cert_chain(make_certificate(folder, "other"))
            engine = stack.enter_context(RawEngine(answer, tls))
            address = f"https://localhost:{engine.port}"
        server = Server(
            SLIPWAY_CLUSTER="kubernetes",
            KUBECONFIG=str(write_kubeconfig(folder, address, make_certificate(folder, "trusted"))),
            SLIPWAY_NAMESPACE="slipway",
            SLIPWAY_POD_ACCESS="proxy",
        )
        server.start()
        try:
            yield Unreachable(server, address, engine)
        finally:
            server.kill()


@pytest.mark.parametrize("way", ["relay", "passthrough"])
def test_a_way_without_a_name_or_trust_is_503_and_others_are_asked(
    far: Unreachable, way: str, transactional_db: None
) -> None:
    with served(far.server, way, answer) as (service, other):

        def send_far(pod: str) -> None:
            row = service.instance()
            Instance.objects.filter(pk=row.pk).update(host="192.0.2.1", base_url=far.pod(pod))

        send_far(f"alone-{way}")
        said = ask(service, way)
        assert said.status_code == 503
        assert int(said.headers["retry-after"]) > 0
        assert other.turns == []
        send_far(f"with-another-{way}")
        add_instance(service.row, other.port)
        assert [ask(service, way).status_code for _ in range(4)] == [200] * 4
        assert len(other.turns) == 4
    assert far.engine is None or far.engine.turns == []
    assert "of-the-api-server" not in far.server.log
