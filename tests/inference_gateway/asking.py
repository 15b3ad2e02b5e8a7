"""What tests of faults ask of a service, and how they read what is refused."""

from __future__ import annotations

import httpx

SHORT = {"prompt": "Say hello.", "max_new_tokens": 8}
ASKED = {"model": "default", "messages": [{"role": "user", "content": "x"}]}
CHAT = "/v1/chat/completions"


def code_of(response: httpx.Response) -> str:
    """The code of an error in any dialect."""
    body = response.json()
    return str(body["error"]["code"] if "error" in body else body["code"])
