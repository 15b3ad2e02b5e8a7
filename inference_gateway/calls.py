"""One request on its way through the gateway: what was read of it, and what goes with every answer."""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from inference_gateway.accounts import Payer
from inference_gateway.answer import answer_exchange
from inference_gateway.chat import ChatError
from inference_gateway.codecs import Exchange, anthropic, eas, openai
from inference_gateway.directory import ServiceEntry
from inference_gateway.engines.base import Engine
from inference_gateway.groups import GroupEntry
from inference_gateway.http import Message, Receive, Scope, Send, find_header, read_body, send_refusal
from inference_gateway.principals import Principal
from inference_gateway.targets import Kind, Target

#: What tells this process's requests from all others'. An id is a name and no secret.
_PROCESS = uuid.uuid4().hex[:24]
_numbers = itertools.count(1)
#: Of our own, what a page of another origin may read.
EXPOSED_HEADERS = b"x-request-id, x-slipway-conversation, x-slipway-generation, x-slipway-resumable, retry-after"
#: A token is no cookie: a page of any origin may call with one, and none without.
CROSS_ORIGIN_HEADERS = ((b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", EXPOSED_HEADERS))
#: Routes that Anthropic's clients share with OpenAI's.
LISTING = (Kind.MODELS, Kind.MODEL)
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(slots=True)
class Call:
    """One request on its way through, and what will be said beside its answer.

    ``taken`` is the beginning of a body that is not read whole: messages to be carried on as they came.
    ``principal`` is set once the caller was let in.
    """

    scope: Scope
    receive: Receive
    send: Send
    request_id: str
    target: Target
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes | None = None
    service: ServiceEntry | None = None  # the one that lets the caller in
    group: GroupEntry | None = None  # by whose name the service was called
    principal: Principal | None = None
    has_begun: bool = False
    speaks_anthropic: bool = False
    taken: list[Message] = field(default_factory=list)

    @property
    def method(self) -> str:
        return str(self.scope.get("method", "GET"))

    @property
    def payer(self) -> Payer:
        """For whom it is answered, once the caller was let in."""
        assert self.principal is not None
        return Payer(self.principal, self.target.operation, self.request_id, self.tell)

    def tell(self, headers: Mapping[str, str]) -> None:
        """Say this, too, in the head of the answer."""
        if headers and not self.has_begun:
            self.headers += render_headers(headers)

    async def read(self) -> bytes:
        """The body, read once. Raises ChatError 413 and ClientGoneError."""
        if self.body is None:
            self.body = await read_body(self.scope, self.receive)
        return self.body

    def replay(self) -> Receive:
        """``receive`` with what was read already coming first."""
        pending = list(self.taken)
        if self.body is not None:
            pending = [{"type": "http.request", "body": self.body, "more_body": False}]
        pending.reverse()

        async def receive() -> Message:
            return pending.pop() if pending else await self.receive()

        return receive

    async def answer(self, message: Message) -> None:
        """Send a message of the answer, dressed with what every answer of the gateway carries."""
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            message = {**message, "headers": self.dress(message["status"], message.get("headers", ()))}
        elif message["type"] == "websocket.accept":
            self.has_begun = True
            message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", self.request_id.encode())]}
        await self.send(message)

    def dress(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The headers of an answer that begins now, with those that every answer has."""
        self.has_begun = True
        given = list(headers)
        names = {name for name, _ in given}
        ours = [(b"x-request-id", self.request_id.encode("ascii")), *CROSS_ORIGIN_HEADERS, *self.headers]
        if status in (429, 450, 503) and all(name != b"retry-after" for name, _ in self.headers):
            ours.append((b"retry-after", b"1"))
        if status == 401:
            ours.append((b"www-authenticate", b"Bearer"))
        if status in (408, 413, 450):
            ours.append((b"connection", b"close"))
        return given + [header for header in ours if header[0] not in names]


def render_headers(headers: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple([(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()])


def choose_request_id(scope: Scope) -> str:
    """The caller's own where it is harmless in logs and headers, else a new one."""
    return check_request_id(find_header(scope, b"x-request-id")) or new_request_id()


def check_request_id(given: str | None) -> str | None:
    """The caller's own id, where it is harmless."""
    return given if given and REQUEST_ID.fullmatch(given) else None


def new_request_id() -> str:
    return f"{_PROCESS}{next(_numbers):08x}"


def render_path(call: Call) -> str:
    """Path and query below the service, escaped as they came."""
    query = bytes(call.scope["query_string"]).decode("latin-1")
    return (call.target.rest or "/") + (f"?{query}" if query else "")


def is_from_anthropic(call: Call) -> bool:
    """Whether Anthropic's client asks: on its own routes, and for models, where the version that it sends tells."""
    target = call.target
    if target.kind in LISTING:
        return find_header(call.scope, b"anthropic-version") is not None
    return target.is_anthropic


def speak_anthropic(call: Call) -> None:
    """Anthropic's clients send the token in a header of their own, and read the request's id in another.

    Where both headers have a token, Authorization counts. An instance gets neither.
    """
    call.speaks_anthropic = True
    call.headers += ((b"request-id", call.request_id.encode("ascii")),)
    headers = [(name, value) for name, value in call.scope["headers"] if name != b"x-api-key"]
    key = find_header(call.scope, b"x-api-key")
    if key is not None and find_header(call.scope, b"authorization") is None:
        headers.append((b"authorization", b"Bearer " + key.encode("latin-1")))
    call.scope = {**call.scope, "headers": headers}


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


async def answer_call(call: Call, exchange: Exchange, engine: Engine) -> None:
    """Answer one decoded question."""
    await answer_exchange(exchange, engine, call.receive, call.answer)


async def refuse(call: Call, error: ChatError) -> None:
    """Answer with an error in the dialect of the path. Where an answer has begun, the server closes it."""
    if call.has_begun:
        return
    if call.speaks_anthropic or call.target.is_anthropic:
        body = anthropic.encode_error(error)
    else:
        body = openai.encode_error(error) if call.target.is_openai else eas.encode_error(error)
    await send_refusal(call.scope, call.receive, call.answer, error, body)
