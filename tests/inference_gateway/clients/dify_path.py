"""What Dify's OpenAI-compatible classes make of a service. A process of its own: importing them patches sockets.

Prints a JSON object last. ``PART`` is "chat", "tools" or "others".
"""

from __future__ import annotations

import json
import os
from typing import Any

import dify_plugin  # noqa: F401  # first: gevent patches here
from dify_plugin import (
    OAICompatEmbeddingModel,
    OAICompatLargeLanguageModel,
    OAICompatRerankModel,
    OAICompatSpeech2TextModel,
    OAICompatText2SpeechModel,
)
from dify_plugin.entities.model.message import (
    AssistantPromptMessage,
    PromptMessageTool,
    ToolPromptMessage,
    UserPromptMessage,
)
from dify_plugin.interfaces.model.ai_model import AIModel

# Its counting of tokens would download a vocabulary; what is counted here is not looked at.
AIModel._get_num_tokens_by_gpt2 = lambda self, text: max(1, len(text) // 4)

uid = os.environ["SERVICE"]
seen: dict[str, Any] = {}


def credentials(base: str) -> dict[str, Any]:
    return {
        "endpoint_url": base + "/v1",
        "api_key": os.environ["TOKEN"],
        "mode": "chat",
        "context_size": "4096",
        "function_calling_type": "tool_call",
        "stream_function_calling": "supported",
        "stream_mode_delimiter": r"\n\n",
    }


def chat() -> None:
    for name, base in (("below", os.environ["BELOW"]), ("flat", os.environ["ROOT"])):
        llm = OAICompatLargeLanguageModel(model_schemas=[])
        llm.validate_credentials(uid, credentials(base))
        asked = [UserPromptMessage(content="Say hello.")]
        chunks = list(llm.invoke(uid, credentials(base), asked, {"max_tokens": 8, "temperature": 0.0}, stream=True))
        seen[f"{name} text"] = "".join(str(chunk.delta.message.content or "") for chunk in chunks)
        seen[f"{name} reason"] = chunks[-1].delta.finish_reason
        parameters = {"max_tokens": 8, "stream_options": {"include_usage": True}}
        told = list(llm._invoke(uid, credentials(base), asked, parameters, stream=True))
        seen[f"{name} usage"] = told[-1].delta.usage.completion_tokens
        whole = llm._invoke(uid, credentials(base), asked, {"max_tokens": 8, "temperature": 0.0}, stream=False)
        seen[f"{name} whole"] = whole.message.content


def tools() -> None:
    llm = OAICompatLargeLanguageModel(model_schemas=[])
    tool = PromptMessageTool(name="get_weather", description="d", parameters={"type": "object", "properties": {}})
    call = AssistantPromptMessage.ToolCall(
        id="call_9",
        type="function",
        function=AssistantPromptMessage.ToolCall.ToolCallFunction(name="get_weather", arguments="{}"),
    )
    asked = [
        UserPromptMessage(content="Weather?"),
        AssistantPromptMessage(content="", tool_calls=[call]),
        ToolPromptMessage(content="12", tool_call_id="call_9"),
        UserPromptMessage(content="And in Köln?"),
    ]
    for name, base in (("below", os.environ["BELOW"]), ("flat", os.environ["ROOT"])):
        for kind in ("tool_call", "function_call"):
            given = credentials(base) | {"function_calling_type": kind}
            chunks = list(llm._invoke(uid, given, list(asked), {"max_tokens": 50}, tools=[tool], stream=True))
            calls = [one for chunk in chunks for one in chunk.delta.message.tool_calls]
            seen[f"{name} {kind}"] = [[one.id, one.function.name, one.function.arguments] for one in calls]


def others() -> None:
    base = os.environ["ROOT"]
    embedded = OAICompatEmbeddingModel(model_schemas=[]).invoke(uid, credentials(base), ["a", "b"])
    seen["embeddings"] = embedded.embeddings
    ranked = OAICompatRerankModel(model_schemas=[]).invoke(uid, credentials(base), "q", ["d1", "d2"], top_n=2)
    seen["rerank"] = [[one.index, one.text] for one in ranked.docs]
    with open(os.environ["SOUND"], "rb") as sound:
        seen["heard"] = OAICompatSpeech2TextModel(model_schemas=[]).invoke(uid, credentials(base), sound)
    given = credentials(base) | {"voices": "v", "audio_type": "mp3", "word_limit": "100", "max_workers": "1"}
    spoken = OAICompatText2SpeechModel(model_schemas=[])._invoke(uid, "t", given, "Hello.", "v")
    seen["spoken"] = len(spoken if isinstance(spoken, bytes) else b"".join(spoken))


{"chat": chat, "tools": tools, "others": others}[os.environ["PART"]]()
print(json.dumps(seen))
