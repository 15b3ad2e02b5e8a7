"""Talks to an engine over OpenAI-style HTTP: vLLM, llama.cpp's server, the chat-llm runtime.

It always streams, whatever the caller asked for: leaving a streamed answer frees the engine's slot at once,
while a non-streamed one was seen to run on for 40 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import aiohttp

from deployments.clusters.passage import DIRECT, Passage
from deployments.request_ids import request_id
from deployments.words import say
from inference_gateway.chat import (
    Carried,
    ChatError,
    ChatEvent,
    ChatRequest,
    Done,
    Reasoning,
    Text,
    ToolCalls,
    Usage,
)
from inference_gateway.dead_peers import make_socket
from inference_gateway.engines.refusals import broken, lost_error, read_engine_error, read_refusal, unreachable
from inference_gateway.trace_context import outgoing

#: A line that long is no event of any engine; without an end memory would fill.
MAX_LINE_BYTES = 16 * 1024 * 1024

#: How much of an engine's error is read.
MAX_ERROR_BYTES = 64 * 1024

_KNOWN_DELTA = frozenset(("role", "content", "reasoning_content", "reasoning", "tool_calls"))
_KNOWN_CHOICE = frozenset(("index", "delta", "text", "finish_reason", "message"))
_KNOWN_ANSWER = frozenset(("id", "object", "created", "model", "choices", "usage"))


def open_session(socket_path: str | None = None) -> aiohttp.ClientSession:
    """The one pool of connections of a process; whoever opens it closes it. Must run inside the event loop.

    With ``socket_path`` every connection goes to that Unix socket, whatever host the address names.
    Idle connections are dropped after 4 s, before uvicorn's engines drop theirs at 5 s under our feet.
    """
    connector: aiohttp.BaseConnector
    if socket_path is None:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4, socket_factory=make_socket)
    else:
        connector = aiohttp.UnixConnector(socket_path, limit=0, keepalive_timeout=4)
    reuse = aiohttp.TraceConfig()
    reuse.on_connection_reuseconn.append(_note_reuse)
    jar = aiohttp.DummyCookieJar()
    return aiohttp.ClientSession(connector=connector, cookie_jar=jar, trust_env=False, trace_configs=[reuse])


@dataclass(slots=True)
class _Connection:
    """What a question went over. One taken from the pool may have been closed by the engine meanwhile."""

    is_reused: bool = False


async def _note_reuse(session: aiohttp.ClientSession, traced: SimpleNamespace, params: object) -> None:
    connection = traced.trace_request_ctx
    if isinstance(connection, _Connection):
        connection.is_reused = True


class OpenAiEngine:
    """An ``Engine`` behind ``<base_url>/v1``. It holds no connection of its own and costs nothing to make.

    ``model`` is the name the engine serves under; None passes the caller's name on. A pause of more than
    ``read_timeout_seconds`` between two bytes ends an answer. Some engines answer 500 to questions that they
    cannot read: those whose message ``is_refusal`` knows become 400.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        model: str | None = None,
        connect_timeout_seconds: float = 5.0,
        read_timeout_seconds: float = 600.0,
        is_refusal: Callable[[str], bool] = lambda message: False,
        passage: Passage = DIRECT,
    ) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._model = model
        self._is_refusal = is_refusal
        self._passage = passage
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=connect_timeout_seconds, sock_read=read_timeout_seconds
        )

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """See ``Engine``. Codes: ``engine_unreachable``, ``engine_timeout``, ``engine_error``, ``engine_down``,
        ``engine_unavailable``, ``engine_stream_broken``, ``context_length_exceeded``, ``cluster_refuses``, and the
        engine's own for a question that it refuses.
        """
        response: aiohttp.ClientResponse | None = None
        has_begun = False
        try:
            response = await self._post(request)
            if response.status == 400 and request.max_tokens is not None:
                body = await read_error_body(response)
                if not _is_answer_too_long(body):
                    raise self._refusal(response, body)
                # vLLM refuses to be asked for more than its context holds. Asked for no number it answers to the
                # end of its context, which is what the others do; the samples of EAS ask for 6,144 tokens.
                response.close()
                response = await self._post(replace(request, max_tokens=None))
            if response.status != 200:
                raise self._refusal(response, await read_error_body(response))
            stream = _Stream()
            async for piece in response.content.iter_any():
                for event in stream.feed(piece):
                    has_begun = True
                    yield event
                if stream.is_over:
                    await _read_to_end(response)
                    break
            if not stream.is_complete:
                raise broken("it closed the connection")
            if stream.usage is not None:
                yield stream.usage
        except TimeoutError as error:
            raise ChatError(504, "engine_timeout", say("The engine did not answer in time. Try again.")) from error
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            if has_begun or response is not None:
                raise broken("the connection to it was lost") from error
            raise unreachable() from error
        except aiohttp.ClientError as error:
            raise broken("what it sent is no HTTP") from error
        finally:
            if response is not None:
                # A connection whose answer was read to its end goes back to the pool; any other is closed,
                # which is what stops the engine.
                response.close()

    async def _post(self, request: ChatRequest) -> aiohttp.ClientResponse:
        path = "/v1/chat/completions" if request.prompt is None else "/v1/completions"
        body = json.dumps(render_body(request, self._model), allow_nan=False).encode("ascii")
        asked_by = request_id.get()
        for attempt in (1, 2):
            connection = _Connection()
            try:
                return await self._session.post(
                    self._base_url + path,
                    data=body,
                    headers={
                        "Content-Type": "application/json",
                        "Accept": "text/event-stream",
                        **({"X-Request-ID": asked_by} if asked_by else {}),
                        **outgoing.get(),
                        **self._passage.body_headers,
                    },
                    timeout=self._timeout,
                    allow_redirects=False,
                    trace_request_ctx=connection,
                    **self._passage.client_options,
                )
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                raise unreachable() from error
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                # The engine dropped an idle connection while we took it from the pool. Nothing was
                # answered, so a fresh one is safe, once. One that got the question on a fresh connection
                # may be at it, or have died of it: nobody is asked the same again.
                if attempt == 2 or not connection.is_reused:
                    raise broken("it closed the connection") from error
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                raise unreachable() from error
        raise AssertionError("unreachable")

    def _refusal(self, response: aiohttp.ClientResponse, body: bytes) -> ChatError:
        """What an answer without tokens means: the engine's, or of who carried the question there."""
        lost = self._passage.read_failure(response.status, body)
        if lost is not None:
            return lost_error(lost)
        return read_refusal(response.status, body, self._is_refusal, response.headers.get("Retry-After"))


async def read_error_body(response: aiohttp.ClientResponse) -> bytes:
    """As much of it as counts: a piece of JSON would be no JSON."""
    body = b""
    while len(body) < MAX_ERROR_BYTES and (piece := await response.content.read(MAX_ERROR_BYTES - len(body))):
        body += piece
    return body


async def _read_to_end(response: aiohttp.ClientResponse) -> None:
    """Take what follows ``[DONE]``, normally nothing, so that the connection can be used again."""
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(0.5):
            await response.content.read()


def render_body(request: ChatRequest, model: str | None = None) -> dict[str, Any]:
    """The body of OpenAI's API for a question: always streamed, always with usage. Pure."""
    body: dict[str, Any] = dict(request.extra)
    body["model"] = model or request.model or "default"
    if request.prompt is None:
        body["messages"] = [dict(message) for message in request.messages]
    else:
        body["prompt"] = request.prompt
    options = {
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "stop": list(request.stop) or None,
        "n": request.n if request.n != 1 else None,
    }
    body |= {name: value for name, value in options.items() if value is not None}
    body["stream"] = True
    body["stream_options"] = {"include_usage": True}
    return body


class _Stream:
    """Reads server-sent events out of pieces cut anywhere. ``is_over`` after ``[DONE]``.

    ``usage`` is kept apart, for it is the answer's last event wherever the engine puts it.
    """

    def __init__(self) -> None:
        self._held: list[bytes] = []  # of a line whose end has not come
        self._held_bytes = 0
        self._open: set[int] = set()
        self._has_choice = False
        self.is_over = False
        self.usage: Usage | None = None

    @property
    def is_complete(self) -> bool:
        """Every choice begun has ended: some engines leave out ``[DONE]``."""
        return self.is_over or (self._has_choice and not self._open)

    def feed(self, piece: bytes) -> Iterator[ChatEvent]:
        """The events that this piece completes. Raises ChatError for an engine's error or for nonsense."""
        self._held.append(piece)
        self._held_bytes += len(piece)
        if b"\n" not in piece:
            if self._held_bytes > MAX_LINE_BYTES:
                raise broken("it sent a line without an end")
            return
        lines = b"".join(self._held).split(b"\n")
        rest = lines.pop()
        self._held, self._held_bytes = [rest] if rest else [], len(rest)
        for line in lines:
            name, _, value = line.rstrip(b"\r").partition(b":")
            if name not in (b"data", b"error"):  # Comments, event names, blank lines.
                continue
            value = value.strip()
            if value == b"[DONE]":
                self.is_over = True
                return
            if value:
                yield from self._read_chunk(value, is_error=name == b"error")

    def _read_chunk(self, value: bytes, is_error: bool) -> Iterator[ChatEvent]:
        try:
            chunk = json.loads(value)
        except (ValueError, RecursionError):
            chunk = None  # not raised from here: the error holds all that was read
        if not isinstance(chunk, dict):
            raise broken("it sent something that is no JSON object")
        if is_error or chunk.get("error"):
            raise read_engine_error(502, chunk)
        for event in parse_chunk(chunk):
            if isinstance(event, Usage):
                # Some engines count along in every chunk; the last count is the one.
                self.usage = event
                continue
            self._has_choice = True
            if isinstance(event, Done):
                self._open.discard(event.index)
            else:
                self._open.add(event.index)
            yield event


def parse_chunk(chunk: Mapping[str, Any]) -> Iterator[ChatEvent]:
    """The events of one chunk of a chat completion or completion stream. Pure."""
    beside = {key: value for key, value in chunk.items() if key not in _KNOWN_ANSWER and value is not None}
    choices = chunk.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            yield from _parse_choice(choice, beside)
            beside = {}
    usage = chunk.get("usage")
    if isinstance(usage, dict):
        yield _parse_usage(usage, beside)


def _parse_usage(usage: Mapping[str, Any], beside: Mapping[str, Any]) -> Usage:
    return Usage(
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or 0),
        fields=usage,
        carried=Carried(answer=beside) if beside else None,
    )


def _parse_choice(choice: Mapping[str, Any], beside: Mapping[str, Any]) -> Iterator[ChatEvent]:
    index = choice.get("index")
    index = index if isinstance(index, int) else 0
    delta = choice.get("delta")
    delta = delta if isinstance(delta, dict) else {"content": choice.get("text")}
    carried: Carried | None = Carried(
        delta={key: value for key, value in delta.items() if key not in _KNOWN_DELTA and value is not None},
        choice={key: value for key, value in choice.items() if key not in _KNOWN_CHOICE and value is not None},
        answer=beside,
    )
    if carried is not None and not (carried.delta or carried.choice or carried.answer):
        carried = None
    if reasoning := delta.get("reasoning_content") or delta.get("reasoning"):
        yield Reasoning(str(reasoning), index=index, carried=carried)
        carried = None
    if text := delta.get("content"):
        yield Text(str(text), index=index, carried=carried)
        carried = None
    if calls := delta.get("tool_calls"):
        yield ToolCalls(tuple(call for call in calls if isinstance(call, dict)), index=index, carried=carried)
        carried = None
    if reason := choice.get("finish_reason"):
        yield Done(str(reason), index=index, carried=carried)
    elif carried is not None:
        yield Text("", index=index, carried=carried)


def _is_answer_too_long(body: bytes) -> bool:
    """Whether a 400 is about the number of tokens that the answer may have, beside a prompt that fits. Pure."""
    try:
        error = json.loads(body)["error"]
        return error.get("param") == "max_tokens" and "max_model_len" in error["message"]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return False
