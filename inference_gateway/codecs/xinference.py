"""Xinference's ways of asking, and how it describes a model (xinference-dify.md A0, A3, A7, B4). Pure.

What it calls a model's uid is the name of a service. Its clients send every field they know, mostly null; Dify's
plugin for it sends calls of tools back as ``function_call`` and throws pieces of calls away unless they come whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference_gateway.codecs.fields import refuse

#: Fields that mean something only once they are read here.
ODD_FIELDS = frozenset(("enable_thinking", "thinking", "extra_body", "functions"))
DEFAULT_CONTEXT_TOKENS = 2048
ENGINE_NAMES = {"vllm": "vLLM", "chat-llm": "llama.cpp", "bladellm": "BladeLLM"}


@dataclass(frozen=True, slots=True)
class Described:
    """One service as a model. ``model_type`` and ``abilities`` are Xinference's words."""

    uid: str
    model_type: str
    model_name: str
    abilities: tuple[str, ...]
    engine: str | None
    replicas: int
    address: str
    created: int
    context_tokens: int | None


def render_description(model: Described) -> dict[str, Any]:
    """A model for OpenAI's, Xinference's and Anthropic's clients at once: their fields do not collide."""
    name = model.model_name
    context = model.context_tokens or DEFAULT_CONTEXT_TOKENS
    of_its_type: dict[str, Any] = {"model_family": name, "model_revision": None}
    if model.model_type == "LLM":
        of_its_type = {
            "model_lang": ["en"],
            "model_description": "",
            "model_size_in_billions": None,
            "model_family": name,
            "quantization": "none",
            "multimodal_projector": None,
            "model_hub": None,
            "revision": None,
            "context_length": context,
            "strict_system_first": False,
        }
    elif model.model_type == "embedding":
        of_its_type |= {"dimensions": None, "max_tokens": context, "language": ["en"], "quantization": "none"}
    elif model.model_type == "rerank":
        of_its_type |= {"type": "unknown", "language": ["en"], "quantization": "none"}
    elif model.model_type == "image":
        of_its_type["controlnet"] = None
    return {
        "id": model.uid,
        "object": "model",
        "created": model.created,
        "owned_by": "slipway",
        "type": "model",
        "display_name": model.uid,
        "model_type": model.model_type,
        "model_name": name,
        "model_engine": None if model.engine is None else ENGINE_NAMES.get(model.engine, model.engine),
        # Dify takes a model without it for one that can do nothing, and one with ggml for another kind.
        "model_format": "ggufv2" if model.engine == "chat-llm" else "pytorch",
        "model_ability": list(model.abilities),  # never null: Dify's plugin walks through it
        "address": model.address,
        "accelerators": None,
        "replica": model.replicas,
        **of_its_type,
    }


def render_list(models: Sequence[Mapping[str, Any]]) -> bytes:
    """The answer of ``GET /v1/models``."""
    first, last = (models[0]["id"], models[-1]["id"]) if models else (None, None)
    pages = {"has_more": False, "first_id": first, "last_id": last}  # Anthropic's
    return _dump({"object": "list", "data": list(models)} | pages)


def render_model(model: Mapping[str, Any]) -> bytes:
    return _dump(model)


def is_odd(fields: Mapping[str, Any]) -> bool:
    """Whether a chat body needs ``render_plain``, by its top level, whose values are JSON as it came."""
    if not ODD_FIELDS.isdisjoint(fields):
        return True
    template = fields.get("chat_template_kwargs")
    if template is not None and bytes(memoryview(template)[:1]) == b'"':
        return True
    for value in fields.values():
        view = memoryview(value)
        if view.nbytes == 4 and bytes(view) == b"null":
            return True
    return False


def render_plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """A chat body in OpenAI's form. Raises ChatError 400 for what cannot be read."""
    plain = {name: value for name, value in values.items() if value is not None}
    more = plain.pop("extra_body", None)
    if isinstance(more, Mapping):
        plain = {**{name: value for name, value in more.items() if value is not None}, **plain}
    template = plain.get("chat_template_kwargs")
    if isinstance(template, str):
        template = _read_template(template)
        plain["chat_template_kwargs"] = template
    thinks = plain.get("enable_thinking")
    if isinstance(plain.get("thinking"), bool):
        told = plain.pop("thinking")
        thinks = told if thinks is None else thinks
    if isinstance(thinks, bool):
        plain.pop("enable_thinking", None)
        asked = template if isinstance(template, Mapping) else {}
        plain["chat_template_kwargs"] = {"enable_thinking": thinks, "thinking": thinks, **asked}
    functions = plain.pop("functions", None)
    choice = plain.pop("function_call", None)
    if isinstance(functions, list) and functions and not plain.get("tools"):
        plain["tools"] = [{"type": "function", "function": function} for function in functions]
        if choice is not None:
            plain["tool_choice"] = {"type": "function", "function": choice} if isinstance(choice, Mapping) else choice
    messages = plain.get("messages")
    if isinstance(messages, list):
        plain["messages"] = render_history(messages)
    return plain


def _read_template(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        refuse("chat_template_kwargs", "chat_template_kwargs must be an object, or one written as JSON.")
    return value


def render_history(messages: Sequence[Any]) -> list[Any]:
    """The same messages with every call of a tool and its result named alike.

    ``function_call`` becomes one of ``tool_calls``, a result without an id gets that of the call it follows.
    """
    plain: list[Any] = []
    waiting: list[str] = []
    for position, message in enumerate(messages):
        if not isinstance(message, Mapping):
            plain.append(message)
            continue
        kept = {key: value for key, value in message.items() if value is not None or key == "content"}
        role = kept.get("role")
        if role == "assistant":
            given = _find_result_id(messages[position + 1 :])
            waiting = _name_calls(kept, given or f"call_{position}")
        elif role in ("tool", "function"):
            call_id = kept.get("tool_call_id")
            if not call_id:
                call_id = waiting[0] if waiting else f"call_{position}"
            if call_id in waiting:
                waiting.remove(call_id)
            kept |= {"role": "tool", "tool_call_id": call_id}
        plain.append(kept)
    return plain


def _find_result_id(rest: Sequence[Any]) -> str | None:
    """The id that the result right behind a call has."""
    following = rest[0] if rest and isinstance(rest[0], Mapping) else {}
    given = following.get("tool_call_id")
    return given if isinstance(given, str) and given and following.get("role") in ("tool", "function") else None


def _name_calls(message: dict[str, Any], call_id: str) -> list[str]:
    """Put ``function_call`` among ``tool_calls``, each with an id; their ids."""
    single = message.get("function_call")
    calls = message.get("tool_calls")
    if isinstance(single, Mapping) and not calls:
        function = {"name": str(single.get("name") or ""), "arguments": single.get("arguments") or "{}"}
        calls = message["tool_calls"] = [{"id": call_id, "type": "function", "function": function}]
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls) or not calls:
        return []
    message.pop("function_call", None)
    message.setdefault("content", None)
    if not all(call.get("id") for call in calls):
        message["tool_calls"] = calls = [
            call if call.get("id") else {**call, "id": call_id if number == 0 else f"{call_id}_{number}"}
            for number, call in enumerate(calls)
        ]
    return [str(call["id"]) for call in calls]


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def needs_codec(fields: Mapping[str, Any], *, is_flat_stream: bool) -> bool:
    """Whether a chat body that could pass as it is must be read all the same, by its top level: for Xinference's
    clients, whose address is the flat one, fields of theirs are translated and the calls of tools come whole.
    """
    return is_odd(fields) or (is_flat_stream and "tools" in fields)
