"""A dialogue with a service over its OpenAI address, streamed (docs/gateway.md).

The dialogue is kept here and sent whole with each question, so nothing of it is recorded by the server.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from console.cli.client import Client, open_http, unreachable
from console.cli.errors import CliError, ExitCode

#: Longer than the gateway lets a request run (``metadata.rpc.keepalive``): it is the one to say so.
READ_SECONDS = 3700.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a service answers, and the token that opens it."""

    url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer as it comes: ``text``, or ``thought`` where the model thinks aloud."""

    text: str = ""
    thought: str = ""


@dataclass
class Statistics:
    """Of one answer. ``tokens`` is None where the engine did not count them."""

    first_piece_seconds: float | None = None
    seconds: float = 0.0
    tokens: int | None = None
    finish_reason: str = ""

    def line(self) -> str:
        """In words."""
        parts = [f"{self.tokens} tokens" if self.tokens is not None else ""]
        if self.tokens and self.first_piece_seconds is not None and self.seconds > self.first_piece_seconds:
            parts.append(f"{self.tokens / (self.seconds - self.first_piece_seconds):.1f} tokens/s")
        if self.first_piece_seconds is not None:
            parts.append(f"first after {self.first_piece_seconds:.1f} s")
        if self.finish_reason == "length":
            parts.append("cut off at its longest length")
        return ", ".join(filter(None, parts))


def endpoint_of(client: Client, service: str, token: str | None) -> tuple[Endpoint, dict[str, Any]]:
    """Where the service answers, and its description. Raises ``CliError`` for who may not see its token."""
    found = client.describe(service)
    own = token or found["AccessToken"]
    if not own:
        raise CliError(
            f"You may not see the token of {found['ServiceName']}. Ask an operator, and set SLIPWAY_SERVICE_TOKEN.",
            "no_service_token",
        )
    # The path below the address that is known to work from here: the server may know itself by another one.
    return Endpoint(client.profile.url + urlsplit(found["InternetEndpoint"]).path, own), found


class Dialogue:
    """Questions and answers so far. ``statistics`` are those of the last answer; ``renew`` looks the endpoint up again,
    for a token that was rotated while people talked.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        system: str = "",
        parameters: Mapping[str, Any] | None = None,
        renew: Callable[[], Endpoint] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._renew = renew
        self.system = system
        self.parameters = dict(parameters or {})
        self.rounds: list[tuple[str, str]] = []
        self.statistics = Statistics()
        self.left_out = 0  # rounds that the last question had to leave out, oldest first
        self._http = open_http(endpoint.url, READ_SECONDS)

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def ask(self, question: str) -> Generator[Piece, None, None]:
        """The answer as it comes; closing the iterator stops the engine. What was said is kept either way."""
        self.left_out = 0
        said: list[str] = []
        try:
            while True:
                try:
                    for piece in self._stream(question):
                        said.append(piece.text)
                        yield piece
                except CliError as error:
                    if said or not self._can_try_again(error):
                        raise
                else:
                    return
        finally:
            if said:
                self.rounds.append((question, "".join(said)))

    def _can_try_again(self, error: CliError) -> bool:
        """Whether something could be done about a refusal: one round less, or the service's new token."""
        if error.code == "context_length_exceeded" and self.left_out < len(self.rounds):
            self.left_out += 1
            return True
        if error.code == "Unauthorized" and self._renew is not None:
            before, self.endpoint = self.endpoint, self._renew()
            return before != self.endpoint
        return False

    def messages(self, question: str) -> list[dict[str, str]]:
        """What is sent: the system prompt, the rounds that fit, and the question."""
        found = [{"role": "system", "content": self.system}] if self.system else []
        for asked, answered in self.rounds[self.left_out :]:
            found += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        return [*found, {"role": "user", "content": question}]

    def _stream(self, question: str) -> Iterator[Piece]:
        began = time.monotonic()
        self.statistics = Statistics()
        body = {
            "model": "default",
            "messages": self.messages(question),
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.parameters,
        }
        headers = {"Authorization": f"Bearer {self.endpoint.token}"}
        url = f"{self.endpoint.url}/v1/chat/completions"
        try:
            with self._http.stream("POST", url, json=body, headers=headers) as answer:
                if not answer.is_success:
                    raise refusal(answer.status_code, answer.read())
                for piece in read_pieces(answer.iter_lines(), self.statistics):
                    if self.statistics.first_piece_seconds is None:
                        self.statistics.first_piece_seconds = time.monotonic() - began
                    yield piece
        except httpx.ConnectError as error:
            raise unreachable(self.endpoint.url, error) from error
        except httpx.TransportError as error:
            raise CliError(
                f"The answer broke off: {error or type(error).__name__}. Ask again.", "broken_off", ExitCode.UNREACHABLE
            ) from error
        finally:
            self.statistics.seconds = time.monotonic() - began


def read_pieces(lines: Iterable[str], statistics: Statistics) -> Iterator[Piece]:
    """The pieces in a stream of server-sent events. Raises ``CliError`` for an error's frame, and without an end."""
    for line in lines:
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        frame = json.loads(data)
        if "error" in frame:
            raise refusal(200, data.encode())
        usage = frame.get("usage") or {}
        statistics.tokens = usage.get("completion_tokens", statistics.tokens)
        for choice in frame.get("choices", []):
            delta = choice.get("delta", {})
            statistics.finish_reason = choice.get("finish_reason") or statistics.finish_reason
            piece = Piece(delta.get("content") or "", delta.get("reasoning_content") or "")
            if piece.text or piece.thought:
                yield piece
    raise CliError("The answer broke off before its end. Ask again.", "broken_off", ExitCode.UNREACHABLE)


def refusal(status: int, body: bytes) -> CliError:
    """A service's error in OpenAI's shape or EAS's (docs/gateway.md), as a sentence and a code."""
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    error = found.get("error", found) if isinstance(found, dict) else None
    if not isinstance(error, dict):
        said = error if isinstance(error, str) else body.decode(errors="replace").strip()
        return CliError(f"The service answers {status}: {said[:500] or 'nothing'}", str(status))
    message = error.get("message") or f"The service answers {status}."
    return CliError(str(message), str(error.get("code") or error.get("type") or status))
