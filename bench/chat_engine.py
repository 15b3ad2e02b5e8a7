"""An engine for measuring pages: OpenAI's API, an answer of Markdown at a steady pace. Standard library only.

    PORT=8000 python bench/chat_engine.py

A question ``tokens=20000 rate=100`` gets so many tokens, so many a second; any other gets one.
"""

from __future__ import annotations

import json
import os
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle, islice

PARAGRAPH = (
    "The lens bends every ray that leaves the lamp into **one flat beam**, which `turns` with its "
    "[frame](https://example.org/a). "
)
LIST = "\n\n- glass in rings, each steeper than the last\n- a frame of bronze\n- a clockwork below\n\n"
CODE = '\n\n```python\ndef beam(angle: float) -> float:\n    """Where it goes."""\n    return angle * 2 + 1\n```\n\n'
TABLE = "\n\n| ring | angle |\n| --- | --- |\n| first | 12 |\n| second | 24 |\n\n## Next\n\n"
TOKENS = re.findall(r"\s*\S+\s?", PARAGRAPH * 4 + LIST + PARAGRAPH * 3 + CODE + PARAGRAPH + TABLE)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send({"object": "list", "data": [{"id": "bench", "object": "model"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        told = re.search(r"tokens=(\d+) rate=(\d+)", str(asked.get("messages", [{}])[-1].get("content", "")))
        count, rate = (int(told[1]), int(told[2])) if told else (1, 1000)
        if not asked.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": "Yes"}, "finish_reason": "stop"}
            self._send({"object": "chat.completion", "choices": [choice]})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        began = time.monotonic()
        for number, token in enumerate(islice(cycle(TOKENS), count)):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            self._event({"choices": [{"index": 0, "delta": {"content": token}}]})
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self._event({"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": count}})
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a line for each request would be measured too."""

    def _event(self, value: object) -> None:
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")
        self.wfile.flush()

    def _send(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Handler).serve_forever()
