"""The interface of everything that answers a ``ChatRequest``."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from inference_gateway.chat import ChatEvent, ChatRequest


class Engine(Protocol):
    """Something that answers, for example a model's server, or a decorator that routes, records or limits.

    ``generate`` is an asynchronous generator:

    - It yields events as they are made; ``Done`` once for each choice, then at most one ``Usage``.
    - It raises ``ChatError`` and no other exception for whatever a caller should be told. Before its first
      event that becomes a status, after it a frame in the caller's dialect.
    - Closing it (``aclose``) or cancelling the task that iterates stops the engine within a second. It
      releases what it holds in ``finally``.
    - Who iterates it wraps it in ``contextlib.aclosing``: a generator left to the garbage collector keeps
      its engine busy. This goes for decorators too.
    - It may be called any number of times, also at the same time.
    """

    def generate(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]: ...
