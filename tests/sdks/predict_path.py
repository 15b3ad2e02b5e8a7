"""Questions to a service through ``eas-prediction``, as its users ask. Runs in the environment of Alibaba's SDKs alone.

ENDPOINT SERVICE TOKEN. Prints a JSON object of what each client got as its last line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from eas_prediction import ENDPOINT_TYPE_DIRECT, PredictClient, PredictException, StringRequest

endpoint, service, token = sys.argv[1:]
seen: dict[str, Any] = {}
CHAT = json.dumps({"prompt": "Say größe 世界.", "use_stream_chat": False, "max_new_tokens": 6})
OPENAI = json.dumps({"model": "default", "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 6})


def ask(name: str, body: str, settings: Mapping[str, str], headers: Mapping[str, str] | None = None) -> None:
    """Keep what the client returned, or the code and text that it raised."""
    client = PredictClient(
        settings.get("endpoint", endpoint), settings.get("service", service), settings.get("url", "")
    )
    client.set_endpoint_type(settings.get("type", ""))
    client.set_token(settings.get("token", token))
    client.set_timeout(60_000)
    client.set_retry_count(2)
    if headers:
        client.add_extra_headers(dict(headers))
    client.init()
    try:
        response = client.predict(StringRequest(body))
        seen[name] = response.response_data.decode("utf-8")
    except PredictException as error:
        seen[name] = [error.code, str(error.message)]
    finally:
        client.destroy()


json_type = {"Content-Type": "application/json"}
bare = endpoint.removeprefix("http://")
for mode, settings in {
    "default": {},
    "direct": {"type": ENDPOINT_TYPE_DIRECT},
    "direct, without a scheme": {"type": ENDPOINT_TYPE_DIRECT, "endpoint": bare},
    "custom": {"url": f"{endpoint}/api/predict/{service}"},
}.items():
    ask(f"{mode}: chat", CHAT, settings)
    ask(f"{mode}: text", "Say größe 世界.", settings)
    ask(f"{mode}: wrong token", CHAT, {**settings, "token": "wrong"})
    ask(f"{mode}: no token", CHAT, {**settings, "token": ""})
for mode, settings in {"default": {}, "direct": {"type": ENDPOINT_TYPE_DIRECT}}.items():
    ask(f"{mode}: openai", OPENAI, {**settings, "service": f"{service}/v1/chat/completions"}, json_type)
    ask(f"{mode}: unknown", CHAT, {**settings, "service": f"{service}_not_there"})
print(json.dumps(seen))
sys.stdout.flush()
