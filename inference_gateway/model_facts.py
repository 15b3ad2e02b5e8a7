"""What a service's document says of the model that it serves: what kind it is, and what it can do. Pure.

An engine is told by its own flags what to do with a model; a program without an engine's label says it by the label
``ServiceModelType``.
"""

from __future__ import annotations

from dataclasses import dataclass

from deployments.engines.commands import Arguments, base_name, container_words, read_arguments
from deployments.spec import ServiceSpec

#: Beside the document's engine label; one of ``TYPES``, in any case.
MODEL_TYPE_LABEL = "ServiceModelType"
#: Xinference's words (xinference-dify.md A3), by their lower-case form.
TYPES = {name.lower(): name for name in ("LLM", "embedding", "rerank", "image", "audio", "video", "flexible")}
_EMBEDDING_TASKS = ("embed", "embedding")
_RERANK_TASKS = ("score", "rerank", "classify", "cross_encoding")
_AUDIO_TASKS = ("transcription", "translation")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """``type`` is one of ``TYPES``. ``context_tokens`` is what the command asks for, None where it does not."""

    type: str = "flexible"
    name: str | None = None
    abilities: tuple[str, ...] = ()
    context_tokens: int | None = None


def read_model_facts(spec: ServiceSpec) -> ModelFacts:
    words = max(container_words(spec.document["containers"][0]), key=len, default=[])
    arguments = read_arguments(words[1:], bare=())
    given = str(spec.parsed.labels.get(MODEL_TYPE_LABEL, "")).lower()
    kind = TYPES.get(given) or _read_type(arguments, has_engine=spec.engine is not None)
    return ModelFacts(kind, _read_name(arguments), _read_abilities(kind, arguments), _read_context(arguments))


def _read_type(arguments: Arguments, *, has_engine: bool) -> str:
    tasks = [arguments.find(flag) for flag in ("task", "convert")]
    flags = {flag for flag, _ in arguments.flags}
    if any(task in _RERANK_TASKS for task in tasks) or flags & {"rerank", "reranking"}:
        return "rerank"
    is_pooling = arguments.find("runner") == "pooling"
    if (
        is_pooling
        or any(task in _EMBEDDING_TASKS for task in tasks)
        or flags
        & {
            "embedding",
            "embeddings",
            "is-embedding",
        }
    ):
        return "embedding"
    if any(task in _AUDIO_TASKS for task in tasks):
        return "audio"
    return "LLM" if has_engine else "flexible"


def _read_name(arguments: Arguments) -> str | None:
    for flag in ("model-path", "model", "m", "model-id"):
        if value := arguments.find(flag):
            return base_name(value.rstrip("/"))
    if arguments.positional[:1] == ("serve",) and len(arguments.positional) > 1:
        return base_name(arguments.positional[1].rstrip("/"))
    return None


def _read_abilities(kind: str, arguments: Arguments) -> tuple[str, ...]:
    flags = {flag for flag, _ in arguments.flags}
    if kind == "audio":
        return ("audio2text",)
    if kind != "LLM":
        return ()
    told = {"tools": "enable-auto-tool-choice", "reasoning": "reasoning-parser", "vision": "limit-mm-per-prompt"}
    return ("chat", "generate", *(ability for ability, flag in told.items() if flag in flags))


def _read_context(arguments: Arguments) -> int | None:
    for flag in ("max-model-len", "context", "context-length", "ctx-size", "c"):
        value = arguments.find(flag)
        if value is not None and value.isdigit() and int(value[:9]) > 0:
            return int(value[:9])
    return None
