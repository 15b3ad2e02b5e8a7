"""What an answer that is only carried counts: engines say it at the end, of a JSON body or in a last event."""

from __future__ import annotations

import json
from typing import Any

from inference_gateway.chat import Usage

#: So much of the end is kept.
MOST_BYTES = 16 * 1024
COUNTING_TYPES = ("application/json", "text/event-stream")
_read = json.JSONDecoder().raw_decode


class Tail:
    """The end of an answer of the media type ``content_type``. Of one that no engine counts in, nothing is kept."""

    def __init__(self, content_type: str) -> None:
        self._counts = content_type in COUNTING_TYPES
        self._kept = b""

    def feed(self, piece: bytes) -> None:
        if self._counts:
            self._kept = (self._kept + piece)[-MOST_BYTES:]

    def find_usage(self) -> Usage | None:
        """The last count in it, in OpenAI's or Anthropic's words; None where there is none."""
        _, found, rest = self._kept.rpartition(b'"usage":')
        try:
            usage = _read(rest.decode("utf-8", "replace").lstrip())[0] if found else None
        except (ValueError, RecursionError):
            return None
        if not isinstance(usage, dict):
            return None
        prompt, completion = (
            _find(usage, "prompt_tokens", "input_tokens"),
            _find(usage, "completion_tokens", "output_tokens"),
        )
        if prompt is None and completion is None:
            prompt = _find(usage, "total_tokens")
        return None if prompt is None and completion is None else Usage(prompt or 0, completion or 0)


def _find(usage: dict[str, Any], *names: str) -> int | None:
    """The first that is a count."""
    values = (usage.get(name) for name in names)
    return next((one for one in values if isinstance(one, int) and not isinstance(one, bool) and one >= 0), None)
