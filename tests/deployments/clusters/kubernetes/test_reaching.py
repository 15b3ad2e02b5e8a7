"""Where HTTP reaches a pod, and what the API server's proxy is asked and believed; all of it without a cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployments.clusters.kubernetes.reaching import (
    HtmlRestorer,
    ProxyPassage,
    is_proxy_url,
    passage_of,
    proxy_url,
    way_to,
)
from deployments.clusters.kubernetes.settings import PodAccess
from deployments.clusters.passage import DIRECT, Lost, Passage

SERVER = "https://10.0.0.1:6443"
POD: dict[str, Any] = {
    "metadata": {"name": "chat-abc-1", "namespace": "slipway"},
    "status": {"podIP": "10.244.0.7", "hostIP": "192.168.1.5"},
}
SERVICE: dict[str, Any] = {"spec": {"ports": [{"port": 8000, "targetPort": 8000, "nodePort": 31234}]}}
BASE = proxy_url(SERVER, "slipway", "chat-abc-1", 8000)
PREFIX = "/api/v1/namespaces/slipway/pods/chat-abc-1:8000/proxy"


def passage() -> ProxyPassage:
    return passage_of(BASE, Passage(headers={"Authorization": "Bearer ours"}))


@pytest.mark.parametrize(
    ("access", "url"),
    [
        ("pod", ""),
        ("proxy", f"{SERVER}{PREFIX}"),
        ("node", "http://192.168.1.5:31234"),
    ],
)
def test_each_way_to_a_pod_has_its_address(access: PodAccess, url: str) -> None:
    assert way_to(access, SERVER, POD, SERVICE, 8000).base_url == url


def test_whether_this_very_pod_answers_is_not_asked_of_a_node() -> None:
    assert way_to("node", SERVER, POD, SERVICE, 8000).probe_url == BASE
    assert way_to("proxy", SERVER, POD, SERVICE, 8000).probe_url == ""


def test_a_node_of_ipv6_has_brackets() -> None:
    pod = {**POD, "status": {"hostIP": "fd00::5"}}
    assert way_to("node", SERVER, pod, SERVICE, 8000).base_url == "http://[fd00::5]:31234"


@pytest.mark.parametrize(
    "service", [None, {"spec": {"ports": [{"port": 8000}]}}, {"spec": {"ports": [{"port": 1, "nodePort": 2}]}}]
)
def test_there_is_no_way_by_a_node_before_its_port_is_known(service: dict[str, Any] | None) -> None:
    assert way_to("node", SERVER, POD, service, 8000).base_url == ""
    assert way_to("node", SERVER, {**POD, "status": {}}, SERVICE, 8000).base_url == ""


def test_an_api_server_below_a_path_keeps_it() -> None:
    url = way_to("proxy", "https://rancher.example/k8s/clusters/c-1/", POD, SERVICE, 8000).base_url
    assert url == f"https://rancher.example/k8s/clusters/c-1{PREFIX}"
    assert is_proxy_url(url, "https://rancher.example/k8s/clusters/c-1", "slipway")


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.5:31234",
        f"https://10.0.0.1:64430{PREFIX}",
        f"https://10.0.0.1:6443@evil.example{PREFIX}",
        f"https://evil.example/?{SERVER}{PREFIX}",
        f"http://10.0.0.1:6443{PREFIX}",
        f"{SERVER}/api/v1/namespaces/kube-system/pods/a:8000/proxy",
        f"{SERVER}/api/v1/namespaces/slipway/pods/a:8000/proxy/",
        f"{SERVER}/api/v1/namespaces/slipway/secrets/a",
        f"{SERVER}/api/v1/namespaces/slipway/pods/a:8000/exec",
        f"{SERVER}/api/v1/namespaces/slipway/pods/..:8000/proxy/../../secrets",
        f"{SERVER}{PREFIX}?x=1",
        f"{SERVER}{PREFIX}#x",
        f"{SERVER}{PREFIX}\n",
        SERVER,
        "",
    ],
)
def test_credentials_go_to_pods_of_our_namespace_behind_our_api_server_and_nowhere_else(url: str) -> None:
    assert is_proxy_url(BASE, SERVER, "slipway")
    assert not is_proxy_url(url, SERVER, "slipway")


@pytest.mark.parametrize(
    "path",
    [
        "/..",
        "/../../../secrets",
        "/a/../b",
        "/a/./b",
        "/%2e%2e/secrets",
        "/%2E./secrets",
        "/.%2e/secrets",
        "/%252e%252e/secrets",
        "/%25252e%25252E",
        "/a/..?x=1",
        "//",
        "//v1/chat/completions",
        "/a//b",
        "/a%2fb",
        "/a%2Fb?x=1",
        "/..%2f..%2fsecrets",
        "/%2e%2e%2fsecrets",
    ],
)
def test_paths_that_would_lead_elsewhere_or_come_out_changed_are_refused(path: str) -> None:
    assert passage().refuse_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/models",
        "/a/b/",
        "/...",
        "/a..b/.c/d.",
        "/%2ehidden",
        "/a?next=//x/../y%2f",
        "/caf%C3%A9%20x",
        "/a%3Fb%23",
        "/100%25",
    ],
)
def test_paths_that_arrive_as_they_are_may_go(path: str) -> None:
    assert passage().refuse_path(path) is None
    assert DIRECT.refuse_path(path, is_upgrade=True) is None


def test_a_websockets_query_would_be_lost() -> None:
    assert passage().refuse_path("/talk?x=1", is_upgrade=True)
    assert passage().refuse_path("/talk", is_upgrade=True) is None


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "impersonate-user",
        "impersonate-group",
        "impersonate-uid",
        "impersonate-extra-scopes",
        "x-remote-user",
        "x-remote-group",
        "x-remote-extra-scopes",
        "x-remote-uid",
        "audit-id",
    ],
)
def test_a_callers_headers_are_nobodys_credentials(name: str) -> None:
    assert not passage().takes_header(name)
    assert DIRECT.takes_header(name)


def test_what_a_program_needs_of_a_callers_headers_goes_along() -> None:
    assert all(
        passage().takes_header(name) for name in ("cookie", "content-type", "x-api-key", "remote-user", "origin")
    )


def test_a_token_among_a_websockets_protocols_is_left_out() -> None:
    assert not passage().takes_subprotocol("base64url.bearer.authorization.k8s.io.c2VjcmV0")
    assert passage().takes_subprotocol("chat")


def test_headers_come_back_as_the_instance_sent_them() -> None:
    sent = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-cache, private"),
        (b"location", b"/login?next=%2Fx"),
        (b"content-length", b"5"),
    ]
    proxied = [
        (b"audit-id", b"1"),
        (b"x-kubernetes-pf-flowschema-uid", b"2"),
        (b"cache-control", b"no-cache, private"),
        *[(name, PREFIX.encode() + value if name == b"location" else value) for name, value in sent],
    ]
    assert list(passage().restore(proxied)[0]) == sent


@pytest.mark.parametrize(
    ("proxied", "restored"),
    [
        (PREFIX, "/"),
        (f"{PREFIX}/x", "/x"),
        (f"{SERVER}{PREFIX}/x#y", "/x#y"),
        ("https://example.com/x", "https://example.com/x"),
        (f"https://example.com/x?next={PREFIX}/y", f"https://example.com/x?next={PREFIX}/y"),
        ("x", "x"),
    ],
)
def test_a_redirect_tells_nobody_where_the_api_server_is(proxied: str, restored: str) -> None:
    headers, _ = passage().restore([(b"location", proxied.encode())])
    assert dict(headers)[b"location"] == restored.encode()


def test_links_come_back_as_they_were_wherever_the_body_is_cut() -> None:
    page = b'<a href="/a?b=1">x</a><img src="/y.png"> /api/v1/namespaces/slipway/pods/other'
    proxied = page.replace(b'"/', b'"' + PREFIX.encode() + b"/")
    headers, restorer = passage().restore([(b"content-type", b"Text/HTML; charset=utf-8"), (b"content-length", b"9")])
    assert list(headers) == [(b"content-type", b"Text/HTML; charset=utf-8")]
    assert restorer.feed(proxied) + restorer.end() == page
    for size in (1, 2, 7, 40):
        restorer = HtmlRestorer(PREFIX.encode())
        pieces = [proxied[start : start + size] for start in range(0, len(proxied), size)]
        assert b"".join(map(restorer.feed, pieces)) + restorer.end() == page


def status_object(code: int, message: str = "", **fields: Any) -> bytes:
    return json.dumps(
        {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message} | fields
    ).encode()


@pytest.mark.parametrize(
    ("status", "body", "lost"),
    [
        (401, status_object(401, "Unauthorized"), Lost.REFUSED),
        (403, status_object(403, 'pods "x:8000" is forbidden'), Lost.REFUSED),
        (404, status_object(404, 'pods "x" not found'), Lost.UNREACHED),
        (
            503,
            status_object(503, "error trying to reach service: dial tcp 10.0.0.1:8000: connect: connection refused"),
            Lost.UNREACHED,
        ),
        (503, status_object(503, "error trying to reach service: EOF"), Lost.BROKEN),
        (503, status_object(503, "error trying to reach service: read tcp 1: connection reset by peer"), Lost.BROKEN),
        (500, status_object(500, "etcdserver: request timed out"), Lost.BROKEN),
        (500, b'Internal Server Error: "/api/v1/namespaces/x": requested', Lost.BROKEN),
        (429, b"Too many requests, please try again later.", Lost.UNREACHED),
    ],
)
def test_what_the_proxy_says_itself_is_told_from_what_the_instance_says(status: int, body: bytes, lost: Lost) -> None:
    failure = passage().read_failure(status, body)
    assert failure is not None
    assert failure.lost is lost
    assert DIRECT.read_failure(status, body) is None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b'{"detail": "Not Found"}'),
        (503, b'{"error": {"message": "loading"}}'),
        (404, status_object(403)),
        (404, status_object(404, status="Success")),
        (404, b'{"kind": "Status"}'),
        (404, b'["Status"]'),
        (500, b"Internal Server Error"),
        (429, b"slow down"),
        (503, b"{" * 10_000),
        (503, b"\xff\xfe"),
    ],
)
def test_an_instances_own_errors_are_its_own(status: int, body: bytes) -> None:
    assert passage().read_failure(status, body) is None


def test_credentials_are_in_no_representation() -> None:
    assert "ours" not in repr(passage())
