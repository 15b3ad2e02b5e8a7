"""One request on its way through the gateway: what was read of it, and what goes with every answer."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from inference_gateway.chat import ChatError
from inference_gateway.codecs import eas, openai
from inference_gateway.http import Message, Receive, Scope, Send, find_header, read_body, send_refusal
from inference_gateway.targets import Target

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(slots=True)
class Call:
    """One request on its way through, and what will be said beside its answer."""

    scope: Scope
    receive: Receive
    send: Send
    request_id: str
    target: Target
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes | None = None
    has_begun: bool = False

    @property
    def method(self) -> str:
        return str(self.scope.get("method", "GET"))

    async def read(self) -> bytes:
        """The body, read once. Raises ChatError 413 and ClientGoneError."""
        if self.body is None:
            self.body = await read_body(self.scope, self.receive)
        return self.body

    async def answer(self, message: Message) -> None:
        """Send a message of the answer, dressed with what every answer of the gateway carries."""
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            self.has_begun = True
            message = {**message, "headers": [*message.get("headers", ()), *self._dress(message)]}
        elif message["type"] == "websocket.accept":
            self.has_begun = True
            message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", self.request_id.encode())]}
        await self.send(message)

    def _dress(self, message: Message) -> list[tuple[bytes, bytes]]:
        given = {name for name, _ in message.get("headers", ())}
        ours = [
            (b"x-request-id", self.request_id.encode("ascii")),
            # A token is no cookie: a page of any origin may call with one, and none without.
            (b"access-control-allow-origin", b"*"),
            (b"access-control-expose-headers", b"x-request-id, x-slipway-conversation, retry-after"),
            *self.headers,
        ]
        if message["status"] in (429, 503):
            ours.append((b"retry-after", b"1"))
        if message["status"] == 401:
            ours.append((b"www-authenticate", b"Bearer"))
        if message["status"] in (408, 413):
            ours.append((b"connection", b"close"))
        return [(name, value) for name, value in ours if name not in given]


def choose_request_id(scope: Scope) -> str:
    """The caller's own where it is harmless in logs and headers, else a new one."""
    given = find_header(scope, b"x-request-id")
    return given if given and REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def render_path(call: Call) -> str:
    """Path and query below the service, escaped as they came."""
    query = bytes(call.scope["query_string"]).decode("latin-1")
    return (call.target.rest or "/") + (f"?{query}" if query else "")


async def answer_preflight(call: Call) -> None:
    """What a browser asks before it sends a token from another origin's page. It carries none itself."""
    asked = find_header(call.scope, b"access-control-request-headers") or ""
    call.headers += (
        (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        (b"access-control-allow-headers", asked.encode("latin-1") or b"authorization, content-type"),
        (b"access-control-max-age", b"600"),
        (b"vary", b"Access-Control-Request-Headers"),
    )
    await call.answer({"type": "http.response.start", "status": 204, "headers": []})
    await call.answer({"type": "http.response.body", "body": b""})


async def refuse(call: Call, error: ChatError) -> None:
    """Answer with an error in the dialect of the path. Where an answer has begun, the server closes it."""
    if call.has_begun:
        return
    body = openai.encode_error(error) if call.target.is_openai else eas.encode_error(error)
    await send_refusal(call.scope, call.receive, call.answer, error, body)
