"""How HTTP reaches a pod: where (``way_to``), and what the API server's pod proxy changes on the way. Pure.

The proxy takes our credentials, so nothing that a caller sends may be taken for credentials, and no path may leave the
pod's own. It forwards what it can parse: it unescapes paths, joins double slashes, drops a WebSocket's query, rewrites
the links of HTML and the ``Location`` of redirects to its own addresses, and adds headers of its own (seen of 1.34;
``UpgradeAwareHandler`` and ``Transport`` in k8s.io/apimachinery). Paths that it would change are refused, everything
else is changed back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from deployments.addresses import direct_url
from deployments.clusters.kubernetes.settings import PodAccess
from deployments.clusters.passage import Failure, Lost, Passage, RawHeaders, Restorer
from deployments.words import Sentence, say

PROXY_PATH = re.compile(r"/api/v1/namespaces/([a-z0-9-]+)/pods/([a-z0-9.-]+):([0-9]+)/proxy")
#: ``.`` and ``..`` as a whole segment, however often they are escaped: whoever stands before the API server may
#: unescape a path once more than it does.
DOT_SEGMENT = re.compile(r"(^|/)(\.|%(25)*2e){1,2}(/|$)", re.IGNORECASE)
#: What the proxy hands on as one plain slash.
LOST_SLASH = re.compile(r"//|%2f", re.IGNORECASE)
#: Who we act for: headers that the API server reads as somebody's identity, or writes into its audit log as such.
IDENTITY = re.compile(r"authorization|impersonate-.*|x-remote-.*|audit-id")
#: The API server takes a WebSocket's offered protocol of this beginning for a bearer token.
BEARER_SUBPROTOCOL = "base64url.bearer.authorization.k8s.io."
ADDED = re.compile(rb"audit-id|x-kubernetes-pf-.*")
ADDED_CACHE_CONTROL = (b"cache-control", b"no-cache, private")
#: Statuses that the proxy answers with by itself.
OWN_STATUSES = frozenset({400, 401, 403, 404, 409, 429, 500, 502, 503, 504})
MOST_FAILURE_BYTES = 16_384


def proxy_url(server: str, namespace: str, pod: str, port: int) -> str:
    """Where the API server's proxy reaches a pod's port."""
    return f"{server.rstrip('/')}/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy"


def node_url(pod: Mapping[str, Any], service: Mapping[str, Any] | None, port: int) -> str:
    """The pod's node and the node port of its Service, whose ``externalTrafficPolicy: Local`` keeps to that node.

    "" until both are known.
    """
    host = pod.get("status", {}).get("hostIP", "")
    ports = (service or {}).get("spec", {}).get("ports", ())
    node_ports = [
        one["nodePort"] for one in ports if one.get("nodePort") and port in (one.get("targetPort"), one["port"])
    ]
    return direct_url(host, node_ports[0]) if host and node_ports else ""


@dataclass(frozen=True, slots=True)
class Way:
    """``base_url`` and ``probe_url`` of an ``InstanceObservation``; "" where the pod's own address does."""

    base_url: str = ""
    probe_url: str = ""


def way_to(access: PodAccess, server: str, pod: Mapping[str, Any], service: Mapping[str, Any] | None, port: int) -> Way:
    """The way to a pod. ``server`` is the API server's address, ``service`` the Kubernetes Service of the pod.

    A node port leads to any of the Service's pods on that node, so whether this very one answers is asked by the proxy.
    """
    if access == "pod":
        return Way()
    metadata = pod["metadata"]
    proxied = proxy_url(server, metadata["namespace"], metadata["name"], port)
    return Way(proxied) if access == "proxy" else Way(node_url(pod, service, port), proxied)


def is_proxy_url(base_url: str, server: str, namespace: str) -> bool:
    """Whether this is the proxy's address of a pod in our namespace, at our API server: only there credentials go."""
    server = server.rstrip("/")
    found = PROXY_PATH.fullmatch(base_url.removeprefix(server)) if base_url.startswith(server) else None
    return found is not None and found[1] == namespace and urlsplit(base_url).query == ""


class HtmlRestorer(Restorer):
    """Takes the proxy's address out of the links that it rewrote. It stands nowhere else: pods' names are random."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._rest = b""

    def feed(self, piece: bytes) -> bytes:
        whole = (self._rest + piece).replace(self._prefix, b"")
        kept = next((n for n in range(min(len(self._prefix) - 1, len(whole)), 0, -1) if self._is_cut(whole, n)), 0)
        self._rest = whole[len(whole) - kept :]
        return whole[: len(whole) - kept]

    def _is_cut(self, whole: bytes, length: int) -> bool:
        return whole.endswith(self._prefix[:length])

    def end(self) -> bytes:
        rest, self._rest = self._rest, b""
        return rest


@dataclass(frozen=True, slots=True)
class ProxyPassage(Passage):
    """Through the API server's pod proxy."""

    prefix: str = ""  # the proxy's path, which is what it puts before links

    @property
    def body_headers(self) -> Mapping[str, str]:
        """Go's HTTP/1 server closes a request's body as soon as the answer to it begins. Its proxy may be just about to
        see that body's end, and then cuts the answer (golang/go#40747): 3 of 100 while processors are busy. It leaves
        the body alone where the connection is not to be kept.
        """
        return {**self.headers, "Connection": "close"}

    def refuse_path(self, path: str, *, is_upgrade: bool = False) -> Sentence | None:
        place, _, query = path.partition("?")
        if DOT_SEGMENT.search(place):
            return say("The path has a segment . or .. in it. Send the path it stands for.")
        if LOST_SLASH.search(place):
            return say(
                "The path has // or an escaped slash in it, which the cluster's proxy hands on as one plain slash. "
                "Send a path without, or ask an administrator for another SLIPWAY_POD_ACCESS than proxy."
            )
        if is_upgrade and query:
            return say(
                "The path has a query, which the cluster's proxy drops when it opens a WebSocket. "
                "Send it in a header or a message, or ask an administrator for another SLIPWAY_POD_ACCESS than proxy."
            )
        return None

    def takes_header(self, name: str) -> bool:
        return IDENTITY.fullmatch(name) is None

    def takes_subprotocol(self, name: str) -> bool:
        return not name.startswith(BEARER_SUBPROTOCOL)

    def restore(self, headers: RawHeaders) -> tuple[RawHeaders, Restorer]:
        kept = [(name, value) for name, value in headers if not ADDED.fullmatch(name)]
        if ADDED_CACHE_CONTROL in kept:
            kept.remove(ADDED_CACHE_CONTROL)  # once: the instance may have said the same
        kept = [(name, self._restore_place(value) if name == b"location" else value) for name, value in kept]
        if not any(name == b"content-type" and value.lower().startswith(b"text/html") for name, value in kept):
            return kept, Restorer()
        # What it rewrote is longer than what the instance sent, and is given without a length here.
        without_length = [(name, value) for name, value in kept if name != b"content-length"]
        return without_length, HtmlRestorer(self.prefix.encode())

    def _restore_place(self, location: bytes) -> bytes:
        address = location.decode("latin-1")
        start = address.find(self.prefix)
        if start < 0 or urlsplit(address).path.find(self.prefix) < 0:
            return location
        return (address[start + len(self.prefix) :] or "/").encode("latin-1")

    def may_be_failure(self, status: int, headers: Mapping[str, str]) -> bool:
        length = headers.get("content-length", "")
        return status in OWN_STATUSES and length.isdigit() and int(length) <= MOST_FAILURE_BYTES

    def read_failure(self, status: int, body: bytes) -> Failure | None:
        return read_failure(status, body)

    def read_refused_upgrade(self, status: int, headers: Mapping[str, str]) -> Failure | None:
        # An instance's refusal of an upgrade comes through byte by byte; the API server's own has its audit id.
        return failure_of(status, "", is_dialing=True) if "audit-id" in headers else None


def read_failure(status: int, body: bytes) -> Failure | None:
    """The proxy's own answer, which is a ``Status`` object or, where it could not make one, plain words."""
    if status == 429 and body.startswith(b"Too many requests, please try again later."):
        return failure_of(status, "")
    if status == 500 and body.startswith(b'Internal Server Error: "/api/v1/'):
        return failure_of(status, "")
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or (told.get("kind"), told.get("apiVersion")) != ("Status", "v1"):
        return None
    if told.get("status") != "Failure" or told.get("code") != status:
        return None
    message = str(told.get("message", ""))
    return failure_of(status, message, is_dialing=": dial " in message)


def failure_of(status: int, message: str, *, is_dialing: bool = False) -> Failure:
    if status in (401, 403):
        told = say(
            "The cluster's API server answers %(status)s to Slipway's requests to pods. An administrator has to renew "
            "its credentials, to allow it pods/proxy, or to choose another SLIPWAY_POD_ACCESS.",
            status=str(status),
        )
        return Failure(Lost.REFUSED, told)
    if status == 429:
        return Failure(Lost.UNREACHED, say("The cluster's API server is busy. Try again in a moment."))
    if status in (400, 404) or is_dialing:
        return Failure(Lost.UNREACHED, say("The instance cannot be reached. It may be starting or stopping."))
    told = say("The way to the instance, through the cluster's API server, broke off. Try again in a moment.")
    return Failure(Lost.BROKEN, told)


def passage_of(base_url: str, shared: Passage) -> ProxyPassage:
    """The passage to one pod, with the credentials and TLS that all of them share."""
    return ProxyPassage(
        headers=shared.headers,
        tls=shared.tls,
        server_name=shared.server_name,
        proxy=shared.proxy,
        prefix=base_url[base_url.index("/api/v1/namespaces/") :],
    )
