"""Which service and which path below it an address means. Pure, on the path's bytes as they came.

Nothing is decoded and encoded again: what a program below a service sees is what its caller wrote.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from inference_gateway.chat import ChatError

PREDICT = "/api/predict/"
FLAT = "/v1"
#: ``.`` and ``..`` as a whole segment, plain or escaped: each program along the way reads them differently.
DOT_SEGMENT = re.compile(r"(^|/)(\.|%2e){1,2}(/|$)", re.IGNORECASE)


class Kind(enum.Enum):
    """What is asked for, below a service or flat."""

    ROOT = "root"
    CHAT_COMPLETIONS = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    MODELS = "/v1/models"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Target:
    """``service`` is None for the flat routes, where the body's ``model`` names it.

    ``rest`` is everything after the service's name, escaped as it came: "", "/", "/v1/models", ...
    """

    service: str | None
    rest: str

    @property
    def kind(self) -> Kind:
        path = self.rest.rstrip("/")
        if not path:
            return Kind.ROOT
        return Kind(path) if path in Kind._value2member_map_ and path.startswith("/") else Kind.OTHER

    @property
    def is_openai(self) -> bool:
        """Whether errors are told in OpenAI's shape (design.md, "HTTP")."""
        return self.rest == FLAT or self.rest.startswith(FLAT + "/")


def owns(path: str) -> bool:
    """Whether the gateway answers this path, rather than the console."""
    return path.startswith((PREDICT, FLAT + "/")) or path in (PREDICT[:-1], FLAT)


def parse_target(raw_path: bytes) -> Target:
    """Read a path that the gateway owns. Raises ChatError 400 ``path_invalid``."""
    path = raw_path.decode("latin-1")
    if DOT_SEGMENT.search(path):
        raise ChatError(400, "path_invalid", "The path has a segment . or .. in it. Send the path it stands for.")
    if not path.startswith(PREDICT):
        return Target(None, path)
    name, slash, rest = path.removeprefix(PREDICT).partition("/")
    return Target(name, slash + rest)
