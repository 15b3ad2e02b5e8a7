"""Requests to the API server: paced, bounded in time, and repeated until they are answered or patience ends.

Every request here can be sent twice: reads, server-side applies, patches with absolute values, and deletions of one
UID. So a broken connection, a restart of the API server and "too many requests" are waited out alike.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError

from deployments.clusters.base import ClusterError
from deployments.clusters.kubernetes.answers import PASSING, Asked, error_of, retry_after_seconds, throttled
from deployments.clusters.kubernetes.credentials import Client, load_client
from deployments.clusters.kubernetes.pacing import Pacer
from deployments.clusters.kubernetes.settings import KubernetesSettings
from deployments.words import say

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
READ_SECONDS = 15.0  # of one object: the lease on a service lasts 30 s
LIST_READ_SECONDS = 30.0
#: A request is not repeated once this has passed since its first try.
PATIENCE_SECONDS = 10.0
MOST_TRIES = 6
FIRST_PAUSE_SECONDS = 0.1
#: The longest that an answer's Retry-After keeps this process from asking.
MOST_CLOSED_SECONDS = 60.0
#: Credentials are read anew at most this often.
RELOAD_SECONDS = 5.0

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Request:
    """``counted_as`` is the verb that ``Sender.counts`` knows it by."""

    asked: Asked
    counted_as: str
    path: str
    method: str = "GET"
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    read_seconds: float = READ_SECONDS
    again: frozenset[int] = PASSING  # statuses after which it is sent again


class Passing(Exception):
    """A try that came to nothing, where another may not. ``pause_seconds`` is what the server asked for."""

    def __init__(self, error: ClusterError, pause_seconds: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.pause_seconds = pause_seconds


class Sender:
    """One process's requests to one cluster. Safe for threads."""

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings
        self._pacer = Pacer(settings.requests_a_second, settings.burst)
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._client: Client | None = None
        self._loaded_at = 0.0

    @property
    def counts(self) -> Mapping[str, int]:
        with self._lock:
            return dict(self._counts)

    @property
    def client(self) -> Client:
        """Raises ``ClusterError`` where there are no credentials."""
        with self._lock:
            if self._client is None:
                self._client, self._loaded_at = load_client(self._settings), time.monotonic()
            return self._client

    def fetch(self, request: Request, read: Callable[[bytes], Read | None]) -> Read:
        """Send until it is answered well. ``read`` makes the answer of its body, None of one that broke off."""
        began = time.monotonic()
        for tries in range(1, MOST_TRIES + 1):
            self._take_turn(request, PATIENCE_SECONDS - (time.monotonic() - began))
            try:
                with self._open(request) as response:
                    answer = read(response.data)
                if answer is not None:
                    return answer
                raise Passing(broken_off())
            except Passing as passing:
                doubling = FIRST_PAUSE_SECONDS * 2 ** (tries - 1) * random.uniform(0.5, 1.0)  # noqa: S311
                pause = max(doubling, passing.pause_seconds or 0.0)
                if tries == MOST_TRIES or pause > PATIENCE_SECONDS - (time.monotonic() - began):
                    raise passing.error from passing
                time.sleep(pause)
        raise AssertionError("the last try raises")

    @contextmanager
    def stream(self, request: Request) -> Iterator[Iterator[bytes]]:
        """The lines of an answer as they come, for watches and logs; asked for once. Raises ``ClusterError``."""
        self._take_turn(request, PATIENCE_SECONDS)
        try:
            with self._open(request, is_stream=True) as response:
                yield lines_of(response)
        except Passing as passing:
            raise passing.error from passing

    def _take_turn(self, request: Request, most_seconds: float) -> None:
        if not self._pacer.wait(max(most_seconds, 0.0)):
            raise throttled()
        with self._lock:
            self._counts[request.counted_as] += 1

    @contextmanager
    def _open(self, request: Request, *, is_stream: bool = False) -> Iterator[urllib3.BaseHTTPResponse]:
        """A good answer, whole or still coming. Raises ``Passing``, or ``ClusterError`` for what would not pass."""
        client = self.client
        response = self._send(client, request, is_stream=is_stream)
        if response.status == 401 and self.reload(client):
            response.close()
            client = self.client
            response = self._send(client, request, is_stream=is_stream)
        try:
            if not 200 <= response.status < 300:
                raise self._refusal(request, response)
            yield response
        except HTTPError as error:
            raise Passing(not_reachable(error, client.server)) from error
        finally:
            if is_stream:  # cut where it was left in its midst; any other was read whole and is back in the pool
                response.close()
                response.release_conn()

    def _send(self, client: Client, request: Request, *, is_stream: bool) -> urllib3.BaseHTTPResponse:
        query = urlencode({name: value for name, value in request.query.items() if value})
        try:
            return client.pool.request(
                request.method,
                f"{client.server}{request.path}" + (f"?{query}" if query else ""),
                body=None if request.body is None else json.dumps(request.body, separators=(",", ":")).encode(),
                headers=client.headers() | dict(request.headers),
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=request.read_seconds),
                redirect=False,
                retries=False,
                preload_content=not is_stream,
            )
        except HTTPError as error:
            # Others of its connections may lead to the same dead peer, and each would be waited for.
            client.pool.clear()
            raise Passing(not_reachable(error, client.server)) from error

    def _refusal(self, request: Request, response: urllib3.BaseHTTPResponse) -> Exception:
        body = response.data if response.data is not None else b""
        error = error_of(response.status, body, request.asked)
        if response.status not in request.again or error.needs_person:
            return error
        pause = retry_after_seconds(response.headers.get("Retry-After"))
        if pause is not None and response.status in {429, 503}:
            self._pacer.close_for(min(pause, MOST_CLOSED_SECONDS))
        return Passing(error, pause)

    def reload(self, used: Client) -> bool:
        """After a 401: whether there may be other credentials now than those that were used."""
        with self._lock:
            if self._client is not used:
                return True
            if time.monotonic() - self._loaded_at < RELOAD_SECONDS:
                return False
            logger.info("the API server answers 401: the credentials are read anew")
            self._client, self._loaded_at = load_client(self._settings), time.monotonic()
            return True


def lines_of(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    for part in response.stream(amt=None):
        *whole, rest = (rest + part).split(b"\n")
        yield from whole
    if rest:
        yield rest


def broken_off() -> ClusterError:
    return ClusterError(
        "answer_broken",
        say("An answer of the API server broke off or was not its own."),
        say("Slipway tries again by itself. See what stands between Slipway and the API server if it lasts."),
    )


def not_reachable(error: HTTPError, server: str) -> ClusterError:
    reason = getattr(error, "reason", None) or error
    if isinstance(error, SSLError) or isinstance(reason, SSLError):
        return ClusterError(
            "certificate_invalid",
            say("Slipway cannot trust %(server)s: %(text)s", server=server, text=str(reason)[:300]),
            say("Give the right certificate authority in the kubeconfig."),
        )
    text = "connection refused" if isinstance(reason, NewConnectionError) and "refused" in str(reason) else str(reason)
    return ClusterError(
        "not_reachable",
        say("The API server at %(server)s does not answer: %(text)s", server=server, text=text[:300]),
        say("Services go on as they are. Slipway tries again by itself; see whether the API server runs."),
    )
