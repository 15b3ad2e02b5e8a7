"""What a request to an instance carries on its way there: nothing where the way is direct.

A cluster may be reachable only through a server of its own, which wants credentials, changes what it carries, and has
answers of its own. A ``Passage`` knows all that, so that whoever asks an instance something need not. The chat-llm
runtime loads this module, too: it stays without Django and without any cluster's client.
"""

from __future__ import annotations

import enum
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from deployments.words import Sentence

RawHeaders = Sequence[tuple[bytes, bytes]]


class ClientOptions(TypedDict):
    """Of a request with aiohttp."""

    ssl: ssl.SSLContext | bool
    server_hostname: str | None
    proxy: str | None


class Lost(enum.Enum):
    """How far a request came that the server on the way answered by itself."""

    REFUSED = "refused"  # it does not take our credentials, whatever the instance
    UNREACHED = "unreached"  # the instance has got nothing of it, so another may be asked
    BROKEN = "broken"  # the instance may have got it, and has not answered


@dataclass(frozen=True, slots=True)
class Failure:
    """What the server on the way answered, instead of the instance."""

    lost: Lost
    message: Sentence


class Restorer:
    """Changes a body back to what the instance sent. This one has nothing to change."""

    def feed(self, piece: bytes) -> bytes:
        return piece

    def end(self) -> bytes:
        """What is left once the body has come to its end."""
        return b""


@dataclass(frozen=True, slots=True)
class Passage:
    """The direct way. ``headers`` are credentials: they go to this passage's base URL alone, and into no log."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    server_name: str | None = None  # that its certificate has, where the address has another
    proxy: str | None = field(default=None, repr=False)  # an HTTP proxy on the way, which may have a password

    @property
    def client_options(self) -> ClientOptions:
        return {"ssl": self.tls or True, "server_hostname": self.server_name, "proxy": self.proxy}

    @property
    def body_headers(self) -> Mapping[str, str]:
        """``headers`` of a request with a body whose answer is a stream."""
        return self.headers

    def refuse_path(self, path: str, *, is_upgrade: bool = False) -> Sentence | None:
        """Why a path (escaped, with its query) cannot be carried as it is, or None. ``is_upgrade``: to a WebSocket."""
        return None

    def takes_header(self, name: str) -> bool:
        """Whether a caller's own header of that name (lower case) may go along."""
        return True

    def takes_subprotocol(self, name: str) -> bool:
        """The same of a protocol that a WebSocket's caller offers."""
        return True

    def restore(self, headers: RawHeaders) -> tuple[RawHeaders, Restorer]:
        """An answer's headers (names in lower case) as the instance sent them, and what does the same to its body."""
        return headers, Restorer()

    def may_be_failure(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether it takes the body to tell who answered."""
        return False

    def read_failure(self, status: int, body: bytes) -> Failure | None:
        """What the server on the way said with this answer, or None where the instance itself answered."""
        return None

    def read_refused_upgrade(self, status: int, headers: Mapping[str, str]) -> Failure | None:
        """The same of a WebSocket's handshake, whose answer has no body to look at."""
        return None


DIRECT = Passage()
