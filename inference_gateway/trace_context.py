"""W3C's trace context of the request that is being answered: what its caller said, and what its engine is told.

Both are empty where nothing is traced, so that reading them is all that it costs then.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

NOTHING: Mapping[str, str] = MappingProxyType({})
NAMES = ("traceparent", "tracestate")
#: As it came, by the headers' names.
incoming: ContextVar[Mapping[str, str]] = ContextVar("incoming", default=NOTHING)
#: Headers for the engine.
outgoing: ContextVar[Mapping[str, str]] = ContextVar("outgoing", default=NOTHING)
