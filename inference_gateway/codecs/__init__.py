"""Protocols around the chat core: bytes in, events out, each with its own shape of error.

An exchange is one decoded question together with the way its answer is written. Codecs are pure.
"""

from __future__ import annotations

from typing import Protocol

from inference_gateway.chat import Answer, ChatError, ChatEvent, ChatRequest

JSON_TYPE = "application/json"


class StreamEncoder(Protocol):
    """Writes one streamed answer. Every method returns what to send as one chunk; empty means nothing."""

    def encode(self, event: ChatEvent) -> bytes:
        """One event, as one frame."""

    def finish(self) -> bytes:
        """What closes a whole answer."""

    def fail(self, error: ChatError) -> bytes:
        """What closes an answer that broke off after its first byte."""


class Exchange(Protocol):
    """One question of one protocol: what to ask, and how to write what comes back."""

    @property
    def request(self) -> ChatRequest: ...

    @property
    def is_stream(self) -> bool: ...

    @property
    def stream_type(self) -> str:
        """Media type of a streamed answer."""

    @property
    def whole_type(self) -> str:
        """Media type of an answer that is not streamed."""

    def encoder(self) -> StreamEncoder: ...

    def fold(self, answer: Answer) -> bytes:
        """The body of a non-streamed answer."""

    def encode_error(self, error: ChatError) -> bytes:
        """The body of an error that comes instead of an answer, as JSON."""
