"""What ``xinference-client`` sees, its calls as its users write them. Runs in the environment of the clients alone.

Prints a JSON object last. ``PART`` is "chat", "pooling" or "refused".
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from xinference_client import AsyncRESTfulClient, RESTfulClient

root, uid, key = os.environ["ROOT"], os.environ["SERVICE"], os.environ["TOKEN"]
QUESTION: Any = [{"role": "user", "content": "Say hello."}]
seen: dict[str, Any] = {}


def chat() -> None:
    client = RESTfulClient(root, api_key=key)
    seen["models"] = client.list_models()
    seen["description"] = client.describe_model(uid)
    model = client.get_model(uid)
    seen["handle"] = type(model).__name__
    settings: Any = {"max_tokens": 8, "temperature": 0, "stop": None, "top_k": None}
    seen["chat"] = model.chat(QUESTION, generate_config=settings)
    seen["chunks"] = list(model.chat(QUESTION, generate_config={**settings, "stream": True}))
    seen["text"] = model.generate("Once upon", generate_config=settings)
    seen["pieces"] = list(model.generate("Once upon", generate_config={**settings, "stream": True}))
    thought = {"chat_template_kwargs": '{"enable_thinking": false}', "enable_thinking": False, "max_tokens": 4}
    seen["thought"] = model.chat(QUESTION, generate_config=thought)
    below = RESTfulClient(os.environ["BELOW"], api_key=key)
    seen["below"] = below.get_model(uid).chat(QUESTION, generate_config=settings)

    async def ask() -> None:
        client = AsyncRESTfulClient(root, api_key=key)
        try:
            model = await client.get_model(uid)
            seen["async handle"] = type(model).__name__
            seen["async chat"] = await model.chat(QUESTION, generate_config=settings)
            stream = await model.chat(QUESTION, generate_config={**settings, "stream": True})
            seen["async chunks"] = [chunk async for chunk in stream]
            await model.close()
        finally:
            await client.close()

    asyncio.run(ask())


def pooling() -> None:
    client = RESTfulClient(root, api_key=key)
    model = client.get_model(uid)
    seen["handle"] = type(model).__name__
    if seen["handle"] == "RESTfulEmbeddingModelHandle":
        seen["answer"] = model.create_embedding(["a", "b"])
    else:
        seen["answer"] = model.rerank(["d1", "d2"], "q", top_n=1, return_documents=True)

    async def ask() -> None:
        client = AsyncRESTfulClient(root, api_key=key)
        try:
            model = await client.get_model(uid)
            if seen["handle"] == "RESTfulEmbeddingModelHandle":
                seen["async"] = await model.create_embedding("a")
            else:
                seen["async"] = await model.rerank(["d1", "d2"], "q")
            await model.close()
        finally:
            await client.close()

    asyncio.run(ask())


def refused() -> None:
    def say(name: str, ask: Any) -> None:
        try:
            ask()
        except Exception as error:
            seen[name] = [type(error).__name__, str(error)]

    client = RESTfulClient(root, api_key=key)
    say("no such model", lambda: client.get_model("no_such_model"))
    say("wrong key", lambda: RESTfulClient(root, api_key="sk-wrong").get_model(uid))
    say("no key", lambda: RESTfulClient(root).get_model(uid))
    say("no messages", lambda: client.get_model(uid).chat([]))
    say("launch", lambda: client.launch_model("m", "LLM", model_engine="vllm"))


{"chat": chat, "pooling": pooling, "refused": refused}[os.environ["PART"]]()
print(json.dumps(seen))
