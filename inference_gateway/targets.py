"""Which service and which path below it an address means. Pure, on the path's bytes as they came.

Nothing is decoded and encoded again: what a program below a service sees is what its caller wrote.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

from inference_gateway.chat import ChatError

#: Paths are few and are asked for again and again. Long ones are somebody's own affair.
MOST_REMEMBERED_BYTES = 200
PREDICT = "/api/predict/"
FLAT = "/v1"
DISCOVERY = "/api/v1/servicediscovery/upstreams/"
#: What a refusal names.
FLAT_ROUTES = (
    "/v1/chat/completions, /v1/completions, /v1/messages, /v1/models, /v1/embeddings, /v1/rerank, /v1/audio/…, "
    "/v1/images/…, /v1/responses and /v1/moderations"
)
#: ``.`` and ``..`` as a whole segment, plain or escaped: each program along the way reads them differently.
MODEL_PATH = re.compile(r"/v1/models/[^/]+")
#: A name that no program below a service has.
GENERATIONS = "/.slipway/generations/"
DOT_SEGMENT = re.compile(r"(^|/)(\.|%2e){1,2}(/|$)", re.IGNORECASE)


class Kind(enum.Enum):
    """What is asked for, below a service or flat."""

    ROOT = "root"
    CHAT_COMPLETIONS = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    MODELS = "/v1/models"
    MODEL = "/v1/models/*"
    CLUSTER_AUTH = "/v1/cluster/auth"
    MESSAGES = "/v1/messages"
    COUNT_TOKENS = "/v1/messages/count_tokens"
    GENERATION = "/.slipway/generations/*"
    OTHER = "other"


#: What engines have below ``/v1`` beside chat, by the first segment: asked flat, it is carried to the service that
#: ``model`` names (xinference-dify.md A7).
CARRIED_FLAT = frozenset(
    (
        "audio",
        "classify",
        "convert_ids_to_tokens",
        "embeddings",
        "flexible",
        "images",
        "moderations",
        "pooling",
        "rerank",
        "responses",
        "score",
        "video",
        "worlds",
    )
)


#: OpenTelemetry's ``gen_ai.operation.name`` of what language models do.
OPERATIONS = {Kind.OTHER: "call", Kind.COMPLETIONS: "text_completion", Kind.COUNT_TOKENS: "count_tokens"}


@dataclass(frozen=True)
class Target:
    """``service`` is None for the flat routes, where the body's ``model`` names it.

    ``rest`` is everything after the service's name, escaped as it came: "", "/", "/v1/models", ...
    """

    service: str | None
    rest: str

    @cached_property
    def operation(self) -> str:
        """What it does, in one of few words."""
        if self.kind is not Kind.OTHER:
            return OPERATIONS.get(self.kind, "chat")
        segments = self.rest.split("/", 3)
        below = segments[2] if segments[1:2] == ["v1"] and len(segments) > 2 else ""
        return below if below in CARRIED_FLAT else OPERATIONS[Kind.OTHER]

    @cached_property
    def kind(self) -> Kind:
        path = self.rest.rstrip("/")
        if not path:
            return Kind.ROOT
        if MODEL_PATH.fullmatch(path):
            return Kind.MODEL
        if path.startswith(GENERATIONS):
            return Kind.GENERATION
        return Kind(path) if path in Kind._value2member_map_ and path.startswith("/") else Kind.OTHER

    @cached_property
    def is_carried_flat(self) -> bool:
        """Whether this is a flat route that is carried to the service that its body or its token names."""
        return self.service is None and self.rest.removeprefix(FLAT + "/").split("/")[0] in CARRIED_FLAT

    @cached_property
    def is_discovery(self) -> bool:
        """Whether a client asks where a service is, rather than the service."""
        return self.service is None and self.rest.startswith(DISCOVERY)

    @cached_property
    def is_anthropic(self) -> bool:
        """Whether this is one of Anthropic's routes: its header may have the token, and errors have its shape."""
        return self.rest == Kind.MESSAGES.value or self.rest.startswith(Kind.MESSAGES.value + "/")

    @cached_property
    def is_openai(self) -> bool:
        """Whether errors are told in OpenAI's shape (design.md, "HTTP"), where they are not in Anthropic's."""
        return self.rest == FLAT or self.rest.startswith(FLAT + "/")


def no_route(target: Target) -> ChatError:
    """What is said of a path that is none of ours, where nothing is carried."""
    return ChatError(404, "path_not_found", f"{target.rest} is not served. {FLAT_ROUTES} are.")


def owns(path: str) -> bool:
    """Whether the gateway answers this path, rather than the console."""
    return path.startswith((PREDICT, FLAT + "/", DISCOVERY)) or path in (PREDICT[:-1], FLAT)


def parse_target(raw_path: bytes) -> Target:
    """Read a path that the gateway owns. Raises ChatError 400 ``path_invalid``."""
    return _remember_target(raw_path) if len(raw_path) <= MOST_REMEMBERED_BYTES else _read_target(raw_path)


def _read_target(raw_path: bytes) -> Target:
    path = raw_path.decode("latin-1")
    if DOT_SEGMENT.search(path):
        raise ChatError(400, "path_invalid", "The path has a segment . or .. in it. Send the path it stands for.")
    if not path.startswith(PREDICT):
        return Target(None, path)
    name, slash, rest = path.removeprefix(PREDICT).partition("/")
    return Target(name, slash + rest)


_remember_target = lru_cache(maxsize=4096)(_read_target)
