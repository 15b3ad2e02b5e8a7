"""The calls of Dify's plugin for Xinference, in its order (xinference-dify.md B4), with the libraries that it uses.

The plugin itself is on no registry. Prints a JSON object last.
"""

from __future__ import annotations

import json
import os
from typing import Any

import openai
from xinference_client import RESTfulClient

root, uid, key = os.environ["ROOT"], os.environ["SERVICE"], os.environ["TOKEN"]
seen: dict[str, Any] = {}
RESTfulClient(root, api_key=key).get_model(uid)
client = openai.OpenAI(base_url=f"{root}/v1", api_key=key, max_retries=0)
call = {"name": "get_weather", "arguments": "{}"}
messages: Any = [
    {"role": "user", "content": "Weather?"},
    {"role": "assistant", "content": "", "function_call": call},
    {"role": "tool", "content": "12", "tool_call_id": "call_9", "name": None},
    {"role": "user", "content": "And in Köln?"},
]
tool: Any = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
nobody: Any = None  # as the plugin sends it
stream = client.chat.completions.create(
    model=uid,
    messages=messages,
    stream=True,
    user=nobody,
    temperature=0.7,
    top_p=0.7,
    max_tokens=512,
    presence_penalty=0,
    frequency_penalty=0,
    tools=[tool],
    extra_body={"chat_template_kwargs": {"enable_thinking": False}, "thinking": False},
)
kept = []
for chunk in stream:
    if not chunk.choices:
        continue
    choice = chunk.choices[0]
    # What has no text and is not the end is thrown away, calls of tools included.
    if choice.finish_reason is None and not choice.delta.content:
        continue
    kept.append(choice)
seen["reason"] = kept[-1].finish_reason
seen["calls"] = [
    [one.id, one.type, one.function.name, one.function.arguments]
    for choice in kept
    for one in choice.delta.tool_calls or ()
    if one.function is not None
]
print(json.dumps(seen))
