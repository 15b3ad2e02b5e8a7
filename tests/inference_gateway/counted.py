"""The product with a path beside that tells which questions were taken below ASGI, for tests of just that way."""

from __future__ import annotations

import http.client
import json
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from console.asgi import Receive, Scope, Send
from console.asgi import application as product
from inference_gateway.http import send_json
from inference_gateway.wire import BELOW, Taker
from tests.inference_gateway.raw_client import render
from tests.inference_gateway.rig import Deployed, Server

COUNTS = "/.taken"
#: How often a question is asked that is to be taken.
MOST_TRIES = 60


class Counting:
    """Counts heads that were looked at (only a parser tells them), and questions that were begun."""

    def __init__(self, taker: Taker) -> None:
        self._taker = taker
        self.counts = Counter[str]()

    def look(self, scope: Any) -> object | None:
        self.counts["looked"] += scope["method"] == "POST"
        return self._taker.look(scope)

    def begin(self, *arguments: Any) -> bool:
        is_begun = self._taker.begin(*arguments)
        self.counts["begun"] += is_begun
        return is_begun


class CountedServer(Server):
    """Tells what was taken."""

    application = "tests.inference_gateway.counted:application"
    #: A machine may be busy with others for longer than uvicorn's five seconds.
    options = ("--timeout-keep-alive", "75")
    #: Kept: to open one for each look would take longer than what is looked at lasts.
    _asking: http.client.HTTPConnection | None = None

    def count(self) -> tuple[int, int]:
        """Questions that were begun below ASGI, and heads that were parsed."""
        if self._asking is None:
            self._asking = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        self._asking.request("GET", COUNTS)
        counts = json.load(self._asking.getresponse())
        return counts.get("begun", 0), counts.get("looked", 0)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return str(json.loads(self.body)["text"])

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["error"]["code"])


class Caller:
    """One kept connection to a service."""

    def __init__(self, server: CountedServer, service: Deployed, path: str = "/v1/chat/completions") -> None:
        self.server = server
        self.service = service
        self.path = path if path.startswith("/v1/chat") and service.path == "" else service.path + path
        self._connect()

    def _connect(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.server.port), timeout=30)
        #: One for all answers: another would lack what this one has read ahead.
        self._reader = self.socket.makefile("rb")

    def render(self, text: str, headers: str = "", **fields: Any) -> bytes:
        body = json.dumps({"messages": [{"role": "user", "content": text}]} | fields).encode()
        return render(self.path, self.service.token, body, headers)

    def send(self, data: bytes) -> None:
        if self.socket.fileno() < 0:  # the server closed it with its last answer
            self._connect()
        self.socket.sendall(data)

    def read(self) -> Answer:
        status = int(self._reader.readline().split()[1])
        headers = {name.lower(): value for name, value in http.client.parse_headers(self._reader).items()}
        body = self._reader.read(int(headers["content-length"])) if "content-length" in headers else self._read_chunks()
        if headers.get("connection") == "close":
            self._reader.close()
            self.socket.close()
        return Answer(status, headers, body)

    def _read_chunks(self) -> bytes:
        body = b""
        while size := int(self._reader.readline(), 16):
            body += self._reader.read(size)
            self._reader.readline()
        self._reader.readline()
        return body

    def ask(self, text: str, headers: str = "", **fields: Any) -> Answer:
        self.send(self.render(text, headers, **fields))
        return self.read()

    def ask_below(self, text: str, check: Callable[[Answer], None], headers: str = "") -> Answer:
        """Ask until a question was taken by its known head, without parsing; every answer is checked."""
        for _ in range(MOST_TRIES):
            assert self.ask("plain", headers).status == 200
            begun, looked = self.server.count()
            answer = self.ask(text, headers)
            check(answer)
            begun_now, looked_now = self.server.count()
            if (begun_now, looked_now) == (begun + 1, looked):
                return answer
        raise AssertionError("no question was taken")


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if BELOW.express is not None and not isinstance(BELOW.express, Counting):
        BELOW.express = Counting(BELOW.express)
    if scope["type"] != "http" or scope["path"] != COUNTS:
        await product(scope, receive, send)
    else:
        await send_json(send, 200, BELOW.express.counts if isinstance(BELOW.express, Counting) else {})
