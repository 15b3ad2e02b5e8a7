"""A question that the bundled model can answer, asked of a service of a whole Slipway in every protocol."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import websocket

from tests.inference_gateway.runtime_process import receive_round
from tests.slipway_client import RestClient

CAPITAL = "What is the capital of France?"


def address_of(client: RestClient, name: str) -> tuple[str, str]:
    """The service's address and token."""
    described = client.describe(name)
    return f"{client.address}/api/predict/{name}", str(described["AccessToken"])


def ask_over_everything(client: RestClient, name: str) -> None:
    address, token = address_of(client, name)
    asked = {"prompt": CAPITAL, "temperature": 0, "max_new_tokens": 12}
    whole = httpx.post(address, json={**asked, "use_stream_chat": False}, headers={"Authorization": token}, timeout=120)
    assert whole.status_code == 200, whole.text
    assert "Paris" in whole.json()["response"]
    streamed = httpx.post(address, json=asked, headers={"Authorization": token}, timeout=120)
    frames = [json.loads(frame) for frame in streamed.content.split(b"\0") if frame]
    assert frames[-1]["history"] == [[CAPITAL, whole.json()["response"]]]
    with openai.OpenAI(base_url=f"{address}/v1", api_key=token, timeout=120) as sdk:
        messages: Any = [{"role": "user", "content": CAPITAL}]
        answer = sdk.chat.completions.create(model="default", messages=messages, temperature=0, max_tokens=12)
        assert "Paris" in (answer.choices[0].message.content or "")
    dialogue = websocket.create_connection(
        address.replace("http", "ws", 1), header={"Authorization": token}, timeout=120
    )
    dialogue.send(json.dumps(asked))
    assert "Paris" in receive_round(dialogue)
    dialogue.close()
