"""What ``openai`` and ``langchain-openai`` see of a service. Runs in the environment of the clients alone.

Prints a JSON object last. ``PART`` is "openai", "langchain", "fields" or "langchain tools".
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import openai
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

part, uid, key = os.environ["PART"], os.environ["SERVICE"], os.environ["TOKEN"]
bases = {"below": os.environ["BELOW"] + "/v1", "flat": os.environ["ROOT"] + "/v1"}
QUESTION: Any = [{"role": "user", "content": "Say hello."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
seen: dict[str, Any] = {}


def render(answer: Any) -> dict[str, Any]:
    value: dict[str, Any] = answer.model_dump(mode="json")
    return value


def with_openai() -> None:
    for name, base in bases.items():
        client = openai.OpenAI(base_url=base, api_key=key, max_retries=0)
        asked: Any = {"model": uid, "messages": QUESTION, "max_tokens": 8, "temperature": 0}
        seen[f"{name} whole"] = render(client.chat.completions.create(**asked))
        options: Any = {"stream": True, "stream_options": {"include_usage": True}}
        seen[f"{name} chunks"] = [render(one) for one in client.chat.completions.create(**asked, **options)]
        seen[f"{name} text"] = client.completions.create(model=uid, prompt="Once upon", max_tokens=4).choices[0].text
        seen[f"{name} models"] = [model.id for model in client.models.list()]
        seen[f"{name} model"] = client.models.retrieve(uid).id

    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=bases["below"], api_key=key) as client:
            answer = await client.chat.completions.create(**asked)
            return str(answer.choices[0].message.content)

    seen["async"] = asyncio.run(ask())
    refusals: Any = {
        "wrong key": {"api_key": "wrong"},
        "no such": {"model": "no_such_service"},
        "empty": {"messages": []},
        "range": {"temperature": 9},
    }
    for name, change in refusals.items():
        given = change.pop("api_key", key)
        try:
            openai.OpenAI(base_url=bases["flat"], api_key=given, max_retries=0).chat.completions.create(
                **(asked | change)
            )
        except openai.APIStatusError as error:
            seen[name] = [type(error).__name__, error.code, error.param, error.request_id is not None]


def fields() -> None:
    for name, headers in (("relayed", {}), ("recorded", {"X-Slipway-Conversation": os.environ["CONVERSATION"]})):
        client = openai.OpenAI(base_url=bases["below"], api_key=key, max_retries=0, default_headers=headers)
        asked: Any = {
            "model": "served",
            "messages": QUESTION,
            "n": 2,
            "logprobs": True,
            "top_logprobs": 1,
            "seed": 7,
            "tools": [WEATHER],
            "tool_choice": "auto",
            "parallel_tool_calls": False,
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
            "logit_bias": {"5": -100},
            "extra_body": {"guided_choice": ["a", "b"]},
        }
        seen[f"{name} whole"] = render(client.chat.completions.create(**asked))
        options: Any = {"stream": True, "stream_options": {"include_usage": True}}
        seen[f"{name} chunks"] = [render(one) for one in client.chat.completions.create(**asked, **options)]


def with_langchain() -> None:
    for name, base in bases.items():
        model = ChatOpenAI(base_url=base, api_key=key, model=uid, max_tokens=8, temperature=0, max_retries=0)
        answer = model.invoke("Say hello.")
        seen[f"{name} whole"] = [answer.content, answer.usage_metadata]
        pieces = list(model.stream("Say hello."))
        seen[f"{name} pieces"] = "".join(str(piece.content) for piece in pieces)
        seen[f"{name} batch"] = len(model.batch(["a", "b"]))
        seen[f"{name} text"] = OpenAI(base_url=base, api_key=key, model=uid, max_tokens=4).invoke("Once upon")
    seen["async"] = asyncio.run(model.ainvoke("Say hello.")).content


def with_langchain_tools() -> None:
    for name, base in bases.items():
        model = ChatOpenAI(base_url=base, api_key=key, model=uid, max_retries=0).bind_tools([WEATHER])
        whole = None
        for piece in model.stream("Weather in Köln?"):
            whole = piece if whole is None else whole + piece
        assert whole is not None
        seen[f"{name} calls"] = whole.tool_calls


def with_langchain_embeddings() -> None:
    # The length of its texts is checked with a vocabulary that it would download.
    embeddings = OpenAIEmbeddings(base_url=bases["flat"], api_key=key, model=uid, check_embedding_ctx_length=False)
    seen["vectors"] = embeddings.embed_documents(["a", "b"])


parts = {
    "openai": with_openai,
    "fields": fields,
    "langchain": with_langchain,
    "langchain tools": with_langchain_tools,
    "langchain embeddings": with_langchain_embeddings,
}
parts[part]()
print(json.dumps(seen))
