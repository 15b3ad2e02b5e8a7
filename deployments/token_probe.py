"""Ask an engine for one token, and a program for a sign of life. Pure I/O: no models, no settings, no state.

"Running" rests on these answers (design.md, "Write path"): a language-model service runs once an instance has
generated a token, any other once its check passes or its port accepts a connection.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx

from deployments.addresses import render_host
from deployments.bytes_done import BytesDone, loading_words
from deployments.clusters.passage import DIRECT, Lost, Passage
from deployments.spec.document import Probe
from deployments.stages import Stage
from deployments.words import Sentence, say

TOKEN_TIMEOUT_SECONDS = 8.0
#: A program may trickle for ever, with each pause short enough, and would hold a worker's thread.
PATIENCE_SECONDS = 60.0
MAX_ANSWER_BYTES = 1024 * 1024
CONNECT_TIMEOUT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """``ok``, or how far it is: ``step`` is a short sentence for the operator, ``stage`` the same for the timeline."""

    ok: bool
    step: Sentence
    stage: Stage = Stage.READY
    #: How long the request took that ended well: what came before it was loading, the request itself is warming up.
    seconds: float = 0.0


NOT_LISTENING = Answer(False, say("Starting the program: it does not listen yet."), Stage.STARTING)


def probe_token(
    base_url: str,
    passage: Passage = DIRECT,
    *,
    timeout_seconds: float = TOKEN_TIMEOUT_SECONDS,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Answer:
    """Ask an OpenAI-style engine for one token. Loading engines answer 503 or refuse; neither is an error.

    ``timeout_seconds`` bounds each pause, ``patience_seconds`` the whole.
    """
    try:
        with open_client(base_url, passage, timeout_seconds) as client:
            deadline = time.monotonic() + patience_seconds
            model = served_model(client, deadline)
            message = {"role": "user", "content": "Hi"}
            request = {
                "model": model,
                "messages": [message],
                "max_tokens": 1,
                "stream": True,
                "temperature": 0,
            }
            answer, status = first_token(client, passage, "/v1/chat/completions", request, deadline)
            if answer.stage is Stage.LOADING:
                return replace(answer, step=loading_words(loaded_of(client, deadline)))
            if status in (400, 404):  # a base model has no chat template
                request = {"model": model, "prompt": "Hi", "max_tokens": 1, "stream": True, "temperature": 0}
                answer, status = first_token(client, passage, "/v1/completions", request, deadline)
            return answer
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return NOT_LISTENING
    except httpx.TimeoutException:
        return Answer(False, say("Asking the model for its first token."), Stage.WARMING)
    except httpx.HTTPError as error:
        step = say("The engine broke off: %(error)s.", error=type(error).__name__)
        return Answer(False, step, Stage.WARMING)


def open_client(base_url: str, passage: Passage, timeout_seconds: float) -> httpx.Client:
    """A client for one instance, whatever lies on the way there."""

    def name_server(request: httpx.Request) -> None:
        if passage.server_name is not None:
            request.extensions["sni_hostname"] = passage.server_name

    return httpx.Client(
        base_url=base_url,
        headers=dict(passage.headers),
        verify=passage.tls or True,
        proxy=passage.proxy,
        timeout=httpx.Timeout(timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS),
        event_hooks={"request": [name_server]},
        trust_env=False,
    )


def served_model(client: httpx.Client, deadline: float) -> str:
    """The name the engine serves its model under; "default" where it does not say."""
    with client.stream("GET", "/v1/models") as response:
        if response.status_code != 200:
            return "default"
        body = b"".join(pieces(response, deadline))
    try:
        return str(json.loads(body)["data"][0]["id"])
    except (ValueError, LookupError, TypeError):
        return "default"


def loaded_of(client: httpx.Client, deadline: float) -> BytesDone | None:
    """How much of the weights is loaded, where the engine says so at ``/health`` as the chat-llm runtime does."""
    try:
        with client.stream("GET", "/health") as response:
            told = json.loads(b"".join(pieces(response, deadline)))
        loaded, whole = int(told["loaded_bytes"]), int(told["weights_bytes"])
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return None
    return BytesDone(loaded, whole) if 0 <= loaded <= whole else None


def pieces(response: httpx.Response, deadline: float) -> Iterator[bytes]:
    """A body piece by piece. Raises ``httpx.ReadTimeout`` after ``deadline`` (monotonic), and for too much of it."""
    size = 0
    for piece in response.iter_bytes():
        size += len(piece)
        if size > MAX_ANSWER_BYTES or time.monotonic() > deadline:
            raise httpx.ReadTimeout("the answer has no end", request=response.request)
        yield piece


def first_token(
    client: httpx.Client, passage: Passage, path: str, request: dict[str, Any], deadline: float
) -> tuple[Answer, int]:
    """Read a stream until its first token, then hang up. Returns the answer and the engine's HTTP status, 0 where it
    was not the engine that answered.
    """
    began = time.monotonic()
    with client.stream("POST", path, json=request, headers=dict(passage.body_headers)) as response:
        status = response.status_code
        if passage.may_be_failure(status, response.headers):
            failure = passage.read_failure(status, b"".join(pieces(response, deadline)))
            if failure is not None:
                return (
                    Answer(False, failure.message, Stage.WARMING) if failure.lost is Lost.REFUSED else NOT_LISTENING
                ), 0
        if status == 503:
            return Answer(False, loading_words(), Stage.LOADING), status
        if status != 200:
            step = say("The engine answers %(status)s to its first request.", status=str(status))
            return Answer(False, step, Stage.WARMING), status
        lines = whole_lines(pieces(response, deadline))
        if any(line.startswith(b"data:") and carries_token(line[5:].strip()) for line in lines):
            return Answer(True, say("The model answers."), seconds=time.monotonic() - began), status
    return Answer(False, say("The engine ended its first answer without a token."), Stage.WARMING), 200


def whole_lines(stream: Iterable[bytes]) -> Iterator[bytes]:
    """Each line as soon as it has come, the last one too where nothing ends it."""
    rest = b""
    for piece in stream:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    yield rest


def carries_token(data: bytes) -> bool:
    """Whether one SSE payload shows that a token was generated: text, or an end after exactly one token."""
    try:
        choice = json.loads(data)["choices"][0]
    except (ValueError, LookupError, TypeError):
        return False
    delta = choice.get("delta") or {}
    text = delta.get("content") or delta.get("reasoning_content") or delta.get("reasoning") or choice.get("text")
    return bool(text) or choice.get("finish_reason") in {"length", "stop"}


def probe_check(host: str, port: int, container_port: int, check: Probe | None) -> Answer:
    """Run a container's check; a check on the container's port goes to where that port really is.

    No check: the port must accept a connection. ``exec`` checks run inside the instance, which only the
    cluster can do: here they count as a port check.
    """
    timeout = check.timeout_seconds if check else CONNECT_TIMEOUT_SECONDS
    if check is None or check.http_get is None:
        return probe_port(host, port, timeout)
    place = check.http_get
    target = port if place.port in (None, container_port) else int(place.port or port)
    url = f"{place.scheme.lower()}://{render_host(host)}:{target}{place.path}"
    try:
        # As the kubelet does: any certificate. The status is all that counts, so no body is read.
        with httpx.stream("GET", url, timeout=timeout, trust_env=False, verify=False) as response:  # noqa: S501
            status = response.status_code
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return NOT_LISTENING
    except httpx.HTTPError as error:
        step = say("The check of %(path)s failed: %(error)s.", path=place.path, error=type(error).__name__)
        return Answer(False, step, Stage.CHECKING)
    if 200 <= status < 400:
        return Answer(True, say("The check passes."))
    step = say("The check of %(path)s answers %(status)s.", path=place.path, status=str(status))
    return Answer(False, step, Stage.CHECKING)


def probe_port(host: str, port: int, timeout_seconds: float) -> Answer:
    """Whether the port accepts a connection."""
    try:
        with socket.create_connection((host, port), timeout=timeout_seconds):
            return Answer(True, say("The port accepts connections."))
    except OSError:
        return NOT_LISTENING
