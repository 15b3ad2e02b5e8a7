"""Requests to pods outside the cluster's network: through the real API server's proxy, and by a node port."""

from __future__ import annotations

import base64
import http.client
import http.server
import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import websocket
import yaml

from deployments.clusters.kubernetes.reaching import proxy_url, way_to
from tests.inference_gateway import pod_program
from tests.inference_gateway.pods import CANARY, Pods, add_pod, on_pods, running_pods, server_for
from tests.inference_gateway.rig import Deployed, Server, serving_file
from tests.kube import KubeCluster
from tests.waiting import wait_until

pytestmark = pytest.mark.kubernetes


@pytest.fixture(scope="module")
def pods(kube: KubeCluster) -> Iterator[Pods]:
    with running_pods(kube) as pods:
        yield pods


@pytest.fixture(scope="module")
def proxying(pods: Pods, django_db_setup: None, django_db_blocker: Any, valkey: object) -> Iterator[Server]:
    with serving_file(server_for(pods, pods.kube.kubeconfig), django_db_blocker) as server:
        yield server


@pytest.fixture
def mirrored(proxying: Server, pods: Pods, transactional_db: None) -> Deployed:
    """A service that is no language model, on the pod ``one``."""
    return on_pods(proxying, pods, "one", engine=None, script="python app.py")


@pytest.fixture
def chatting(proxying: Server, pods: Pods, transactional_db: None) -> Deployed:
    return on_pods(proxying, pods, "one", engine="vllm")


def test_requests_come_through_as_they_were_written(mirrored: Deployed) -> None:
    path = "/caf%C3%A9%20x/%3Fy?q=%C3%BC&r=a+b&path=/other&timeout=1"
    headers = mirrored.auth | {"X-Keep": "kept", "Cookie": "theirs=2"}
    for method in ("GET", "PUT", "DELETE", "PATCH", "POST"):
        answer = httpx.request(method, mirrored.url + path, content=b"\0\xff", headers=headers)
        told = answer.json()
        assert (told["method"], told["path"], told["body"]) == (method, path, "\0\xff")
        assert {"X-Keep": "kept", "Cookie": "theirs=2", "X-Forwarded-Prefix": mirrored.path}.items() <= dict(
            told["headers"]
        ).items()
        assert answer.headers["Cache-Control"] == "max-age=60"
        assert not [name for name in answer.headers if name.startswith(("audit-", "x-kubernetes-"))]
    assert httpx.head(mirrored.url, headers=headers).status_code == 200


def test_nobodys_credentials_reach_the_pod_and_a_callers_reach_nobody(mirrored: Deployed, pods: Pods) -> None:
    headers = mirrored.auth | {
        "Impersonate-User": "nobody",
        "Impersonate-Group": "nobodies",
        "Impersonate-Uid": "1",
        "Impersonate-Extra-Scopes": "all",
        "X-Remote-User": "admin",
        "X-Remote-Group": "system:masters",
        "Audit-ID": "mine",
    }
    answer = httpx.get(mirrored.url, headers=headers)
    assert answer.status_code == 200, answer.text
    told = json.dumps(answer.json()).lower()
    assert not [word for word in ("authorization", "impersonate", "x-remote", "audit-id") if word in told]
    assert pods.token not in answer.text


@pytest.mark.parametrize(
    "climb",
    [
        "../../../secrets/canary",
        "..%2f..%2f..%2fsecrets/canary",
        "%2e%2e/%2e%2e/%2e%2e/secrets/canary",
        "%2E%2e/.%2e/%2e./secrets/canary",
        "%252e%252e/%252e%252e/%252e%252e/secrets/canary",
        "..%252f..%252f..%252fsecrets%252fcanary",
        "/../../secrets/canary",
        "//..//..//..//secrets//canary",
        "./../.././../../secrets/canary",
        "..;/..;/..;/secrets/canary",
        "..%5c..%5c..%5csecrets%5ccanary",
        "..%00/..%00/..%00/secrets/canary",
        "..%c0%af..%c0%af..%c0%afsecrets/canary",
        "x/../../../../secrets/canary",
        "%2e%2e%2f%2e%2e%2f%2e%2e%2fsecrets%2fcanary",
        "?path=/../../../secrets/canary",
        "@canary/../../secrets/canary",
    ],
)
def test_no_path_leads_out_of_the_pods_own(mirrored: Deployed, pods: Pods, climb: str) -> None:
    # The escape has a goal worth reaching: with these credentials the API server gives the Secret out.
    raw = f"/api/v1/namespaces/{pods.namespace}/secrets/canary"
    assert base64.b64encode(CANARY.encode()).decode() in pods.kube.kubectl("get", "--raw", raw)
    for slash in ("/", "//", ""):
        status, body = raw_request(mirrored, f"{mirrored.path}{slash}{climb}")
        assert base64.b64encode(CANARY.encode()) not in body
        assert b'"kind":"Secret"' not in body.replace(b" ", b"")
        # What was not refused went to this very pod, which says so.
        assert status in (400, 401, 404) or (status == 200 and b'"headers"' in body), (status, body)


def raw_request(service: Deployed, path: str) -> tuple[int, bytes]:
    """A request whose path no client tidies up."""
    parts = urlsplit(service.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as connection:
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {service.token}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode("latin-1"))
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read()


def test_redirects_are_the_callers_to_follow_and_tell_no_addresses_of_the_api_server(
    mirrored: Deployed, pods: Pods
) -> None:
    for to in ("/elsewhere?x=1", "https://example.com/x"):
        answer = httpx.get(f"{mirrored.url}/redirect", params={"to": to}, headers=mirrored.auth)
        assert (answer.status_code, answer.headers["Location"]) == (302, to)
    assert "6443" not in str(httpx.get(f"{mirrored.url}/redirect?to=/", headers=mirrored.auth).headers)
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(f"{ws(mirrored)}/redirect", header=mirrored.auth)
    assert refused.value.status_code == 503


def ws(service: Deployed) -> str:
    return service.url.replace("http", "ws", 1)


def test_links_in_pages_come_back_as_the_program_wrote_them(mirrored: Deployed) -> None:
    answer = httpx.get(f"{mirrored.url}/page", headers=mirrored.auth)
    assert answer.text == '<a href="/a?b=1">x</a><img src="/y.png">'


def test_a_stream_arrives_as_it_is_sent_and_ends_when_the_caller_leaves(mirrored: Deployed, pods: Pods) -> None:
    with httpx.stream("GET", f"{mirrored.url}/drip", headers=mirrored.auth, timeout=20) as answer:
        times, pieces = [], answer.iter_raw()  # which ends the answer once nobody has it
        for _, piece in zip(range(10), pieces, strict=False):
            assert piece.replace(b"drop\n", b"") == b""
            times.append(time.monotonic())
        assert pods.live() == 1
    assert max(later - before for before, later in itertools.pairwise(times)) < 5
    wait_until(lambda: pods.live() == 0, "the pod has nobody to stream to", 20)


def test_a_websocket_is_carried_both_ways_with_its_protocol_and_no_token(mirrored: Deployed) -> None:
    token = "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(b"theirs").decode().rstrip("=")
    socket = websocket.create_connection(
        f"{ws(mirrored)}/talk", header=mirrored.auth, subprotocols=["chat", token], timeout=20
    )
    told = json.loads(socket.recv())
    assert (socket.getsubprotocol(), told["path"]) == ("chat", "/talk")
    assert not [name for name, value in told["headers"] if name.lower() == "authorization" or "bearer" in value.lower()]
    socket.send("text")
    assert socket.recv() == "text"
    socket.send_binary(b"\0\1")
    assert socket.recv() == b"\0\1"
    socket.send("bye")
    opcode, data = socket.recv_data()
    assert (opcode, int.from_bytes(data[:2], "big")) == (websocket.ABNF.OPCODE_CLOSE, 4001)


def test_a_websockets_query_is_refused_because_the_proxy_would_drop_it(mirrored: Deployed) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(f"{ws(mirrored)}/talk?x=1", header=mirrored.auth, timeout=20)
    assert refused.value.status_code == 400
    assert json.loads(refused.value.resp_body or b"{}")["code"] == "path_invalid"


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_a_programs_own_errors_are_carried_as_they_are(mirrored: Deployed, status: int) -> None:
    answer = httpx.get(f"{mirrored.url}/answer/{status}", headers=mirrored.auth)
    assert (answer.status_code, answer.json()) == (status, {"kind": "Pod", "own": status})


def test_a_pod_that_is_gone_is_passed_over(proxying: Server, pods: Pods, transactional_db: None) -> None:
    gone = pods.base_url("gone")
    deaf = proxy_url(pods.api_server, pods.namespace, "one", pod_program.PORT + 1)
    for base_url in (gone, deaf):
        service = on_pods(proxying, pods, "two", engine=None, script="python app.py")
        add_pod(service, base_url)
        for number in range(6):
            answer = httpx.post(f"{service.url}/{number}", content=body_in_pieces(), headers=service.auth, timeout=20)
            assert (answer.status_code, answer.json()["body"]) == (200, "xyz" * 300), answer.text
            socket = websocket.create_connection(f"{ws(service)}/talk", header=service.auth, timeout=20)
            socket.close()


def body_in_pieces() -> Iterator[bytes]:
    for _ in range(300):
        yield b"xyz"


def test_without_another_pod_the_caller_is_told_in_the_paths_dialect(
    proxying: Server, pods: Pods, transactional_db: None
) -> None:
    plain = on_pods(proxying, pods, "gone", engine=None, script="python app.py")
    answer = httpx.get(plain.url, headers=plain.auth, timeout=20)
    assert (answer.status_code, answer.json()["code"]) == (503, "no_healthy_upstream")
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(ws(plain), header=plain.auth, timeout=20)
    assert refused.value.status_code == 503
    chat = on_pods(proxying, pods, "gone", engine="vllm")
    question = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    answer = httpx.post(f"{chat.url}/v1/chat/completions", json=question, headers=chat.auth, timeout=20)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_healthy_upstream")


def test_a_model_in_a_pod_chats_in_every_dialect(chatting: Deployed) -> None:
    question = {"model": "any", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
    answer = httpx.post(f"{chatting.url}/v1/chat/completions", json=question, headers=chatting.auth, timeout=20)
    assert answer.json()["choices"][0]["message"]["content"] == "word word word "
    asked = {"prompt": "Hi", "max_new_tokens": 2, "use_stream_chat": False}
    answer = httpx.post(chatting.url, json=asked, headers=chatting.auth, timeout=20)
    assert answer.json().get("response") == "word word ", answer.text
    socket = websocket.create_connection(ws(chatting), header=chatting.auth, timeout=20)
    socket.send(json.dumps({"prompt": "Hi", "max_new_tokens": 2}))
    received = []
    while (message := socket.recv()) != "<EOS>":
        received.append(message)
    assert received
    socket.close()


def test_no_answer_breaks_off_on_the_way_while_everybody_asks_at_once(chatting: Deployed) -> None:
    """The API server cut 3 of 100 so when it had little processor: those whose answer began while it still looked
    whether the question had an end (golang/go#40747).
    """
    question = {"model": "any", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3, "stream": True}

    def ask_often() -> list[str]:
        with httpx.Client(headers=chatting.auth, timeout=60, trust_env=False) as http:
            answers = [http.post(f"{chatting.url}/v1/chat/completions", json=question) for _ in range(50)]
        return [answer.text for answer in answers]

    with ThreadPoolExecutor(20) as threads:
        told = [text for one in [threads.submit(ask_often) for _ in range(20)] for text in one.result()]
    assert [text for text in told if text.count("word ") != 3 or not text.endswith("data: [DONE]\n\n")] == []


def test_leaving_a_chat_frees_the_engine_in_its_pod(chatting: Deployed, pods: Pods) -> None:
    question = {"model": "any", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    with httpx.stream(
        "POST", f"{chatting.url}/v1/chat/completions", json=question, headers=chatting.auth, timeout=20
    ) as answer:
        pieces = answer.iter_raw()
        next(pieces)
        assert pods.live() == 1
    wait_until(lambda: pods.live() == 0, "the engine has nobody to write for", 20)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{chatting.url}/v1/chat/completions", json=question | {"stream": False}, headers=chatting.auth, timeout=2
        )
    wait_until(lambda: pods.live() == 0, "the engine has nobody to write for", 20)


def test_by_a_node_port_no_credentials_are_needed(proxying: Server, pods: Pods, transactional_db: None) -> None:
    pod = pods.kube.get("pod", "one", "-n", pods.namespace)
    service = pods.kube.get("service", "one", "-n", pods.namespace)
    base_url = way_to("node", pods.api_server, pod, service, pod_program.PORT).base_url
    assert base_url.startswith("http://")
    deployed = on_pods(proxying, pods, engine=None, script="python app.py")
    add_pod(deployed, base_url)
    told = httpx.get(f"{deployed.url}/a%2Fb//c", headers=deployed.auth, timeout=20).json()
    assert told["path"] == "/a%2Fb//c"
    assert not [name for name, _ in told["headers"] if name.lower() == "authorization"]


def test_credentials_go_to_no_other_host(proxying: Server, pods: Pods, transactional_db: None) -> None:
    """Not even to one whose address in a row looks like the API server's proxy."""
    seen: list[Message] = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        service = on_pods(proxying, pods, engine=None, script="python app.py")
        add_pod(service, proxy_url(f"http://127.0.0.1:{listener.server_port}", pods.namespace, "one", pod_program.PORT))
        assert httpx.get(service.url, headers=service.auth, timeout=20).status_code == 200
        listener.shutdown()
    assert len(seen) == 1
    assert seen[0]["Authorization"] is None
    assert pods.token not in proxying.log


@pytest.fixture
def kubeconfig(pods: Pods, tmp_path: Path) -> Path:
    """A copy of one's own, whose credentials a test may change."""
    copy = tmp_path / "kubeconfig"
    copy.write_bytes(pods.kube.kubeconfig.read_bytes())
    return copy


def write_token(kubeconfig: Path, token: str) -> None:
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    kubeconfig.write_text(yaml.safe_dump(config))


def test_credentials_that_are_refused_are_read_anew_and_told_of(
    pods: Pods, kubeconfig: Path, transactional_db: None
) -> None:
    right = pods.token
    pods.kube.kubectl("create", "serviceaccount", "powerless", "-n", pods.namespace)
    powerless = pods.kube.kubectl("create", "token", "powerless", "-n", pods.namespace).strip()
    write_token(kubeconfig, powerless)
    server = server_for(pods, kubeconfig)
    server.start()
    try:
        question = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
        chat = on_pods(server, pods, "one", engine="vllm")
        plain = on_pods(server, pods, "one", engine=None, script="python app.py")

        def ask() -> tuple[int, str, int, str]:
            first = httpx.post(f"{chat.url}/v1/chat/completions", json=question, headers=chat.auth, timeout=20)
            second = httpx.get(plain.url, headers=plain.auth, timeout=20)
            return first.status_code, first.text, second.status_code, second.text

        for token in (powerless, "wrong"):
            write_token(kubeconfig, token)
            statuses = ask()
            assert (statuses[0], statuses[2]) == (503, 503)
            assert json.loads(statuses[1])["error"]["code"] == json.loads(statuses[3])["code"] == "cluster_refuses"
            assert token not in statuses[1] + statuses[3]
        write_token(kubeconfig, right)
        wait_until(lambda: ask()[::2] == (200, 200), "the new token is used", 30)
        assert right not in server.log
    finally:
        server.kill()
