"""What ``anthropic`` sees of a service. Runs in the environment of the clients alone; prints a JSON object last.

``PART`` says which part: "real" against a model, and one for each script of the scripted engine.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import anthropic

part, service, key = os.environ["PART"], os.environ["SERVICE"], os.environ["TOKEN"]
seen: dict[str, Any] = {}
TOOLS: Any = [
    {
        "name": "get_weather",
        "description": "The weather of a city.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
]
QUESTION: Any = [{"role": "user", "content": "Say hello."}]


def client_of(base: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=base, api_key=key, max_retries=0)


def render(message: Any) -> dict[str, Any]:
    value: dict[str, Any] = message.model_dump(mode="json")
    return value


def real() -> None:
    for name, base in (("below", os.environ["BELOW"]), ("flat", os.environ["ROOT"])):
        client = client_of(base)
        seen[f"{name} whole"] = render(client.messages.create(model=service, max_tokens=8, messages=QUESTION))
        with client.messages.stream(
            model=service, max_tokens=8, messages=QUESTION, system="You are kind.", extra_body={"temperature": 0}
        ) as stream:
            seen[f"{name} text"] = "".join(stream.text_stream)
            seen[f"{name} streamed"] = render(stream.get_final_message())
        seen[f"{name} models"] = [one.id for one in client.models.list()]
        seen[f"{name} model"] = client.models.retrieve(service).display_name
        seen[f"{name} count"] = client.messages.count_tokens(model=service, messages=QUESTION).input_tokens
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    asked = client_of(os.environ["BELOW"]).messages.create(
        model="any", max_tokens=4, messages=QUESTION, thinking=thinking
    )
    seen["thinks"] = asked.stop_reason
    bearer = anthropic.Anthropic(base_url=os.environ["BELOW"], auth_token=key, api_key=None, max_retries=0)
    seen["bearer"] = bearer.messages.create(model="any", max_tokens=2, messages=QUESTION).stop_reason

    async def ask() -> str:
        async with anthropic.AsyncAnthropic(base_url=os.environ["BELOW"], api_key=key) as client:
            answer = await client.messages.create(model="any", max_tokens=4, messages=QUESTION)
            return str(answer.type)

    seen["async"] = asyncio.run(ask())
    for name, given, model in (("wrong key", "wrong", service), ("no such", key, "no_such_service")):
        try:
            anthropic.Anthropic(base_url=os.environ["ROOT"], api_key=given, max_retries=0).messages.create(
                model=model, max_tokens=2, messages=QUESTION
            )
        except anthropic.APIStatusError as error:
            seen[name] = [type(error).__name__, error.body, error.request_id is not None]
    try:
        list(anthropic.Anthropic(base_url=os.environ["ROOT"], api_key="wrong", max_retries=0).models.list())
    except anthropic.APIStatusError as error:
        body: Any = error.body
        seen["no list"] = [type(error).__name__, body["error"]["type"]]
    try:
        client_of(os.environ["BELOW"]).messages.create(model="any", max_tokens=2, messages=[])
    except anthropic.APIStatusError as error:
        seen["empty"] = [type(error).__name__, error.body]


def scripted() -> None:
    client = client_of(os.environ["BELOW"])
    asked: dict[str, Any] = {"model": "claude", "max_tokens": 99, "messages": QUESTION, "tools": TOOLS}
    if part == "stops":
        asked["stop_sequences"] = ["END"]
    if part == "thinks":
        asked["thinking"] = {"type": "enabled", "budget_tokens": 1024}
    seen["whole"] = render(client.messages.create(**asked))
    events: list[str] = []
    try:
        with client.messages.stream(**asked) as stream:
            events += [event.type for event in stream]
            seen["streamed"] = render(stream.get_final_message())
    except anthropic.APIStatusError as error:
        seen["error"] = [type(error).__name__, error.body]
    seen["events"] = events


def goes_on() -> None:
    """A turn after tools were used, with all that a question may have."""
    messages: Any = [
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I look.", "signature": "x"},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Köln"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "12 °C"}]},
                {"type": "text", "text": "And this?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
            ],
        },
    ]
    answer = client_of(os.environ["BELOW"]).messages.create(
        model="claude",
        max_tokens=50,
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        messages=messages,
        tools=TOOLS,
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        extra_body={"top_k": 5},
        metadata={"user_id": "u1"},
    )
    seen["answer"] = render(answer)


{"real": real, "goes on": goes_on}.get(part, scripted)()
print(json.dumps(seen))
