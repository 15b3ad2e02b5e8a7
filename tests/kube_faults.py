"""A proxy in front of an API server that misbehaves as it is told, for clients that have to bear it."""

from __future__ import annotations

import base64
import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml


@dataclass(frozen=True)
class Fault:
    """What happens to one request.

    ``status`` answers it without asking anybody; with ``after`` the API server has done it already, and only the answer
    is another. ``cut_at`` ends the answer after so many bytes, ``edit`` changes its body, and ``stall_seconds`` says
    nothing for so long first. A watch or a followed log passes nothing on, and stays open, while ``mute`` is set.
    ``then`` is called when the API server has answered, and before the client hears of it.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    after: bool = False
    cut_at: int | None = None
    stall_seconds: float = 0.0
    edit: Callable[[bytes], bytes] = bytes
    mute: threading.Event = field(default_factory=threading.Event)
    then: Callable[[], None] | None = None


#: Decides by method and path (with query) of a request; None: it goes through.
Chooser = Callable[[str, str], Fault | None]


@dataclass
class FaultProxy:
    """``seen`` are the requests so far, as ``METHOD path``."""

    url: str
    kubeconfig: Path
    choose: Chooser = lambda method, path: None
    seen: list[str] = field(default_factory=list)


@contextmanager
def fault_proxy(kubeconfig: Path, folder: Path) -> Iterator[FaultProxy]:
    """In front of the cluster of ``kubeconfig``; use the proxy's own kubeconfig to go through it."""
    given = yaml.safe_load(kubeconfig.read_text())
    cluster = given["clusters"][0]["cluster"]
    upstream = urlsplit(cluster["server"])
    trust = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    url = f"http://127.0.0.1:{server.server_address[1]}"
    given["clusters"][0]["cluster"] = {"server": url}
    own = folder / "proxied-kubeconfig"
    own.write_text(yaml.safe_dump(given))
    proxy = FaultProxy(url, own)
    server.fault_proxy = proxy  # type: ignore[attr-defined]
    server.connect = lambda: http.client.HTTPSConnection(  # type: ignore[attr-defined]
        upstream.hostname or "", upstream.port, context=trust, timeout=60
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    """One client's connection; each request goes on by a connection of its own."""

    protocol_version = "HTTP/1.1"
    server: Any

    def handle_any(self) -> None:
        try:
            self.carry()
        except OSError:  # the client was killed, or the API server
            self.close_connection = True

    def carry(self) -> None:
        proxy: FaultProxy = self.server.fault_proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy.seen.append(f"{self.command} {self.path}")
        fault = proxy.choose(self.command, self.path) or Fault()
        if fault.stall_seconds:
            time.sleep(fault.stall_seconds)
        if fault.status is not None and not fault.after:
            self.answer(fault.status, fault.headers, fault.body)
            return
        upstream = self.server.connect()
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            upstream.request(self.command, self.path, body or None, headers)
            reply = upstream.getresponse()
            if fault.then is not None:
                fault.then()
            if fault.status is not None:
                reply.read()
                self.answer(fault.status, fault.headers, fault.body)
            elif "watch=true" in self.path or "follow=true" in self.path:
                self.pass_on_as_it_comes(reply, fault.mute)
            else:
                self.pass_on(reply, fault)
        finally:
            upstream.close()

    do_GET = do_PATCH = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - the names of http.server

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def pass_on(self, reply: http.client.HTTPResponse, fault: Fault) -> None:
        body = fault.edit(reply.read())
        self.send_response(reply.status)
        for name in ("Content-Type", "Retry-After"):
            if reply.headers.get(name):
                self.send_header(name, reply.headers[name])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if fault.cut_at is None else body[: fault.cut_at])
        self.close_connection = fault.cut_at is not None

    def pass_on_as_it_comes(self, reply: http.client.HTTPResponse, mute: threading.Event) -> None:
        self.send_response(reply.status)
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            while part := reply.read1(65_536):
                while mute.is_set():
                    time.sleep(0.05)
                self.wfile.write(part)
                self.wfile.flush()
        except OSError:
            pass  # the client left
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: pytest shows what a test says."""
