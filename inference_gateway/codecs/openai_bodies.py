"""OpenAI's bodies as a relay reads them: the few fields that it looks at, each in its usual form.

Anything else is a ``msgspec.ValidationError``, and for ``codecs.openai``, which knows every form.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from inference_gateway.codecs.eas import MOST_TOKENS

MOST_STOPS = 64

Fields = dict[str, msgspec.Raw]
read_fields = msgspec.json.Decoder(Fields).decode
encode = msgspec.json.Encoder().encode

Count = Annotated[int, msgspec.Meta(ge=1, le=MOST_TOKENS)]


class _Part(msgspec.Struct):
    type: Literal["text"]
    text: str


class AskedMessage(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    tool_calls: list[msgspec.Raw] | None = None
    function_call: msgspec.Raw | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class _Options(msgspec.Struct):
    include_usage: bool = False


class Asked(msgspec.Struct):
    """The fields as nearly every caller sends them."""

    messages: list[AskedMessage] | None = None
    prompt: str | None = None
    model: str | None = None
    stream: bool | None = None
    stream_options: _Options | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=-1, le=MOST_TOKENS)] | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None
    stop: str | Annotated[list[str], msgspec.Meta(max_length=MOST_STOPS)] | None = None
    tools: list[dict[str, msgspec.Raw]] | None = None
    seed: int | None = None


read_asked = msgspec.json.Decoder(Asked).decode


class Counts(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Counted(msgspec.Struct):
    usage: Counts | None = None


read_counted = msgspec.json.Decoder(_Counted).decode


class Chunk(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    usage: Counts | None = None
    error: msgspec.Raw | None = None


read_chunk = msgspec.json.Decoder(Chunk).decode
