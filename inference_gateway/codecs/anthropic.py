"""Anthropic's Messages API: questions in, whole answers and errors out. Streams are in ``anthropic_stream``.

A question becomes one of OpenAI's, which is what engines understand: blocks of text and pictures are parts of a
message, ``tool_use`` is a tool call of the assistant's, ``tool_result`` a message of the tool. Signatures of
thinking are neither made nor checked: what is sent back of it is told to the engine as the reasoning it was.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from inference_gateway.chat import Answer, ChatError, ChatRequest, Choice, Usage
from inference_gateway.codecs import JSON_TYPE
from inference_gateway.codecs.anthropic_stream import AnthropicStream, choose_tool_id, dump, render_error, render_usage
from inference_gateway.codecs.fields import Fields, decode_text, parse_object, refuse
from inference_gateway.codecs.harm import check_fields, check_part
from inference_gateway.codecs.openai import MOST_TOKENS, STREAM_TYPE

#: Read here; other fields (``top_k`` is one of ours) reach the engine as they came.
_OWN_FIELDS = frozenset(
    (
        "model",
        "messages",
        "system",
        "max_tokens",
        "stop_sequences",
        "stream",
        "temperature",
        "top_p",
        "top_k",
        "tools",
        "tool_choice",
        "thinking",
        "metadata",
        "output_config",
        "output_format",
        # About Anthropic's own service.
        "service_tier",
        "container",
        "context_management",
        "cache_control",
        "inference_geo",
        "betas",
        "mcp_servers",
        "speed",
    )
)
_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


@dataclass(frozen=True, slots=True)
class AnthropicExchange:
    """A decoded question of this dialect; an ``Exchange``. ``model`` is what answers call themselves."""

    request: ChatRequest
    is_stream: bool
    model: str
    shows_thinking: bool = True
    answer_id: str = field(default_factory=lambda: "msg_" + secrets.token_hex(12))
    stream_type: str = STREAM_TYPE
    whole_type: str = JSON_TYPE

    def encoder(self) -> AnthropicStream:
        return AnthropicStream(self.render_head(), self.shows_thinking, self.choose_stop)

    def fold(self, answer: Answer) -> bytes:
        choice = answer.choices[0]
        reason, sequence = self.choose_stop(choice.finish_reason, choice.extra, bool(choice.tool_calls))
        return dump(
            self.render_head()
            | {
                "content": list(self._render_blocks(choice)),
                "stop_reason": reason,
                "stop_sequence": sequence,
                "usage": render_usage(answer.usage),
            }
        )

    def encode_error(self, error: ChatError) -> bytes:
        return encode_error(error)

    def render_head(self) -> dict[str, Any]:
        """The answer before anything is in it."""
        return {
            "id": self.answer_id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": render_usage(None),
        }

    def choose_stop(
        self, finish_reason: str | None, beside: Mapping[str, Any], has_tools: bool
    ) -> tuple[str, str | None]:
        """``stop_reason`` and ``stop_sequence``. vLLM says beside which of the sequences it met."""
        met = beside.get("stop_reason")
        if finish_reason == "stop" and isinstance(met, str) and met in self.request.stop:
            return "stop_sequence", met
        if has_tools and finish_reason == "stop":
            return "tool_use", None
        return _STOP_REASONS.get(finish_reason or "stop", "end_turn"), None

    def _render_blocks(self, choice: Choice) -> Iterable[dict[str, Any]]:
        if choice.reasoning and self.shows_thinking:
            yield {"type": "thinking", "thinking": choice.reasoning, "signature": ""}
        if choice.text:
            yield {"type": "text", "text": choice.text}
        for call in choice.tool_calls:
            function = call.get("function") or {}
            yield {
                "type": "tool_use",
                "id": choose_tool_id(call.get("id")),
                "name": str(function.get("name") or ""),
                "input": _read_arguments(function.get("arguments")),
            }


def encode_error(error: ChatError) -> bytes:
    return dump(render_error(error))


def encode_count(usage: Usage) -> bytes:
    """The answer of ``count_tokens``."""
    return dump({"input_tokens": usage.prompt_tokens})


def decode(body: bytes) -> AnthropicExchange:
    """A body of ``/v1/messages``. Raises ChatError 400 that names the field."""
    values = parse_object(decode_text(body))
    fields = Fields(values)
    max_tokens = fields.read_integer("max_tokens", 1, MOST_TOKENS)
    if max_tokens is None:
        refuse("max_tokens", "max_tokens is missing. Say how many tokens the answer may have at most.")
    return replace_limit(_decode(values, fields), max_tokens)


def decode_count(body: bytes) -> ChatRequest:
    """A body of ``/v1/messages/count_tokens`` as the shortest question that makes an engine count it."""
    values = parse_object(decode_text(body))
    return replace_limit(_decode(values, Fields(values)), 1).request


def replace_limit(exchange: AnthropicExchange, max_tokens: int) -> AnthropicExchange:
    return replace(exchange, request=replace(exchange.request, max_tokens=max_tokens))


def _decode(values: Mapping[str, Any], fields: Fields) -> AnthropicExchange:
    check_fields(values)
    model = fields.read_text("model")
    if not model:
        refuse("model", "model is missing. Give the service's name.", "model_missing")
    thinking = _read_kind(values, "thinking")
    extra = {name: value for name, value in values.items() if name not in _OWN_FIELDS and value is not None}
    extra |= _read_tools(values)
    if thinking is not None:
        # Templates of models that may think or not look at the one or the other (xinference-dify.md A7).
        wanted = thinking != "disabled"
        extra["chat_template_kwargs"] = {"enable_thinking": wanted, "thinking": wanted}
    metadata = values.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(metadata.get("user_id"), str):
        extra["user"] = metadata["user_id"]
    if (wanted_format := _read_format(values)) is not None:
        extra["response_format"] = wanted_format
    return AnthropicExchange(
        request=ChatRequest(
            messages=tuple(_join_turns(_read_messages(values))),
            model=model,
            temperature=fields.read_number("temperature", 0, 2),
            top_p=fields.read_number("top_p", 0, 1),
            top_k=fields.read_integer("top_k", -1, MOST_TOKENS),
            stop=fields.read_texts("stop_sequences"),
            extra=extra,
        ),
        is_stream=fields.read_boolean("stream", default=False),
        model=model,
        shows_thinking=thinking != "disabled",
    )


def _read_kind(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is None:
        return None
    kind = value.get("type") if isinstance(value, Mapping) else None
    if not isinstance(kind, str):
        refuse(name, f"{name} must be an object that has a type.")
    return kind


def _read_format(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The form that the answer must have, as OpenAI's ``response_format``."""
    config = values.get("output_config")
    wanted = config.get("format") if isinstance(config, Mapping) else None
    wanted = wanted or values.get("output_format")
    if not isinstance(wanted, Mapping) or wanted.get("type") != "json_schema":
        return None
    schema = {"name": "output", "schema": wanted.get("schema") or {}, "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def _read_tools(values: Mapping[str, Any]) -> dict[str, Any]:
    tools = values.get("tools")
    if tools is None:
        return {}
    if not isinstance(tools, list):
        refuse("tools", "tools must be a list of objects that have a name and an input_schema.")
    read: dict[str, Any] = {"tools": [_read_tool(f"tools[{number}]", tool) for number, tool in enumerate(tools)]}
    kind = _read_kind(values, "tool_choice")
    choice = values.get("tool_choice") or {}
    if kind == "tool":
        if not isinstance(choice.get("name"), str):
            refuse("tool_choice.name", "tool_choice.name must name one of the tools.")
        read["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    elif kind is not None:
        known = {"auto": "auto", "any": "required", "none": "none"}
        if kind not in known:
            refuse("tool_choice.type", "tool_choice.type must be auto, any, tool or none.")
        read["tool_choice"] = known[kind]
    if choice.get("disable_parallel_tool_use"):
        read["parallel_tool_calls"] = False
    return read if read["tools"] else {}


def _read_tool(where: str, tool: Any) -> dict[str, Any]:
    if not isinstance(tool, Mapping) or not isinstance(tool.get("name"), str):
        refuse(where, f"{where} must be an object with a name and an input_schema.")
    if tool.get("type") not in (None, "custom"):
        refuse(where, f"{where}.type {tool.get('type')} is run by Anthropic's own service. Describe a tool of yours.")
    schema = tool.get("input_schema")
    if not isinstance(schema, Mapping):
        refuse(f"{where}.input_schema", f"{where}.input_schema must be a JSON Schema.")
    function = {"name": tool["name"], "description": tool.get("description"), "parameters": schema}
    function["strict"] = tool.get("strict")
    return {"type": "function", "function": {key: value for key, value in function.items() if value is not None}}


def _read_messages(values: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """OpenAI's messages, the system prompt first."""
    system = values.get("system")
    if system is not None and (text := _read_texts("system", system)):
        yield {"role": "system", "content": text}
    messages = values.get("messages")
    if not isinstance(messages, list) or not messages:
        refuse("messages", 'messages must be a non-empty list: [{"role": "user", "content": "Hello"}].')
    for position, message in enumerate(messages):
        where = f"messages[{position}]"
        if not isinstance(message, Mapping):
            refuse(where, f"{where} must be an object with role and content.")
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant", "system"):
            refuse(f"{where}.role", f"{where}.role must be user or assistant.", "unknown_role")
        where = f"{where}.content"
        if isinstance(content, str):
            yield {"role": role, "content": content}
        elif not isinstance(content, list) or not all(isinstance(block, Mapping) for block in content):
            refuse(where, f"{where} must be a string or a list of blocks that have a type.")
        elif role == "assistant":
            yield _read_assistant(where, content)
        elif role == "system":
            yield {"role": role, "content": _read_texts(where, content)}
        else:
            yield from _read_user(where, content)


def _join_turns(messages: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Turns of one side that follow each other are one, as Anthropic has it: templates may want them by turns."""
    last: dict[str, Any] | None = None
    for message in messages:
        if last is None or not _can_join(last, message):
            if last is not None:
                yield last
            last = message
        elif isinstance(last["content"], str) and isinstance(message["content"], str):
            last = last | {"content": f"{last['content']}\n{message['content']}"}
        else:
            last = last | {"content": _as_parts(last["content"]) + _as_parts(message["content"])}
    if last is not None:
        yield last


def _can_join(last: Mapping[str, Any], message: Mapping[str, Any]) -> bool:
    return last["role"] == message["role"] in ("user", "assistant") and last.keys() == message.keys() == {
        "role",
        "content",
    }


def _as_parts(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _read_texts(where: str, content: Any) -> str:
    """Text, or blocks of nothing but text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(
        isinstance(block, Mapping) and isinstance(block.get("text"), str) for block in content
    ):
        refuse(where, f"{where} must be a string or a list of blocks of text.")
    return "\n".join(block["text"] for block in content)


def _read_user(where: str, content: list[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    """Results of tools first, each a message of its own, as OpenAI wants them behind the calls."""
    parts: list[dict[str, Any]] = []
    if not content:
        refuse(where, f"{where} is empty. Give at least one block.")
    for number, block in enumerate(content):
        place = f"{where}[{number}]"
        if block.get("type") == "tool_result":
            told = block.get("content")
            inner = told if isinstance(told, list) else [{"type": "text", "text": told or ""}]
            read = [_read_part(f"{place}.content", one) for one in inner]
            text = "\n".join(part["text"] for part in read if part["type"] == "text")
            yield {"role": "tool", "tool_call_id": str(block.get("tool_use_id") or ""), "content": text}
            parts += [part for part in read if part["type"] != "text"]  # a tool's message holds text alone
        else:
            parts.append(_read_part(place, block))
    if parts and all(part["type"] == "text" for part in parts):
        yield {"role": "user", "content": "\n".join(part["text"] for part in parts)}
    elif parts:
        yield {"role": "user", "content": parts}


def _read_part(where: str, block: Any) -> dict[str, Any]:
    """A block as a part of OpenAI's message."""
    kind = block.get("type") if isinstance(block, Mapping) else None
    if kind == "text" and isinstance(block.get("text"), str):
        return {"type": "text", "text": block["text"]}
    if kind in ("image", "document") and isinstance(source := block.get("source"), Mapping):
        if source.get("type") == "text" and isinstance(source.get("data"), str):
            return {"type": "text", "text": source["data"]}
        address = source.get("url")
        if source.get("type") == "base64" and isinstance(source.get("data"), str):
            address = f"data:{source.get('media_type')};base64,{source['data']}"
        if isinstance(address, str) and kind == "image":
            part = {"type": "image_url", "image_url": {"url": address}}
            check_part(where, part)
            return part
        if isinstance(address, str) and address.startswith("data:"):
            name = str(block.get("title") or "document.pdf")
            return {"type": "file", "file": {"filename": name, "file_data": address}}
    return refuse(where, f"{where} is a block that is not understood here. Send text, or an image with its source.")


def _read_assistant(where: str, content: list[Mapping[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant"}
    texts, thoughts, calls = [], [], []
    for number, block in enumerate(content):
        kind = block.get("type")
        if kind == "text" and isinstance(block.get("text"), str):
            texts.append(block["text"])
        elif kind == "thinking" and isinstance(block.get("thinking"), str):
            thoughts.append(block["thinking"])
        elif kind == "tool_use" and isinstance(block.get("name"), str):
            arguments = json.dumps(block.get("input") or {}, ensure_ascii=False)
            function = {"name": block["name"], "arguments": arguments}
            calls.append({"id": choose_tool_id(block.get("id")), "type": "function", "function": function})
        elif kind != "redacted_thinking":
            place = f"{where}[{number}]"
            refuse(place, f"{place} is a block that an assistant's turn cannot have here.")
    message["content"] = "".join(texts) if texts or not calls else None
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message


def _read_arguments(text: Any) -> dict[str, Any]:
    """A tool's arguments as the object that ``input`` must be."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError, TypeError):
        value = {"arguments": text}
    return value if isinstance(value, dict) else {"arguments": value}
