"""Ask an engine for one token, and a program for a sign of life. Pure I/O: no models, no settings, no state.

"Running" rests on these answers (design.md, "Write path"): a language-model service runs once an instance has
generated a token, any other once its check passes or its port accepts a connection.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any

import httpx

from deployments.spec.document import Probe

TOKEN_TIMEOUT_SECONDS = 8.0
CONNECT_TIMEOUT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """``ok``, or how far it is: ``step`` is a short sentence for the operator."""

    ok: bool
    step: str


NOT_LISTENING = Answer(False, "Starting the program: it does not listen yet.")


def probe_token(host: str, port: int, *, timeout_seconds: float = TOKEN_TIMEOUT_SECONDS) -> Answer:
    """Ask an OpenAI-style engine for one token. Loading engines answer 503 or refuse; neither is an error."""
    base = f"http://{host}:{port}"
    timeout = httpx.Timeout(timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS)
    try:
        with httpx.Client(base_url=base, timeout=timeout, trust_env=False) as client:
            model = served_model(client)
            message = {"role": "user", "content": "Hi"}
            request = {
                "model": model,
                "messages": [message],
                "max_tokens": 1,
                "stream": True,
                "temperature": 0,
            }
            answer, status = first_token(client, "/v1/chat/completions", request)
            if status in (400, 404):  # a base model has no chat template
                request = {"model": model, "prompt": "Hi", "max_tokens": 1, "stream": True, "temperature": 0}
                answer, status = first_token(client, "/v1/completions", request)
            return answer
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return NOT_LISTENING
    except httpx.TimeoutException:
        return Answer(False, "Asking the model for its first token.")
    except httpx.HTTPError as error:
        return Answer(False, f"The engine broke off: {type(error).__name__}.")


def served_model(client: httpx.Client) -> str:
    """The name the engine serves its model under; "default" where it does not say."""
    response = client.get("/v1/models")
    if response.status_code != 200:
        return "default"
    try:
        return str(response.json()["data"][0]["id"])
    except (ValueError, LookupError, TypeError):
        return "default"


def first_token(client: httpx.Client, path: str, request: dict[str, Any]) -> tuple[Answer, int]:
    """Read a stream until its first token, then hang up. Returns the answer and the HTTP status."""
    with client.stream("POST", path, json=request) as response:
        if response.status_code == 503:
            return Answer(False, "Loading weights."), 503
        if response.status_code != 200:
            return Answer(
                False, f"The engine answers {response.status_code} to its first request."
            ), response.status_code
        for line in response.iter_lines():
            if line.startswith("data:") and carries_token(line[5:].strip()):
                return Answer(True, "The model answers."), 200
    return Answer(False, "The engine ended its first answer without a token."), 200


def carries_token(data: str) -> bool:
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
    url = f"{place.scheme.lower()}://{host}:{target}{place.path}"
    try:
        response = httpx.get(url, timeout=timeout, trust_env=False, verify=False)  # noqa: S501 as the kubelet does
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return NOT_LISTENING
    except httpx.HTTPError as error:
        return Answer(False, f"The check of {place.path} failed: {type(error).__name__}.")
    if 200 <= response.status_code < 400:
        return Answer(True, "The check passes.")
    return Answer(False, f"The check of {place.path} answers {response.status_code}.")


def probe_port(host: str, port: int, timeout_seconds: float) -> Answer:
    """Whether the port accepts a connection."""
    try:
        with socket.create_connection((host, port), timeout=timeout_seconds):
            return Answer(True, "The port accepts connections.")
    except OSError:
        return NOT_LISTENING
