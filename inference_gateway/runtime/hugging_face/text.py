"""From token ids to pieces of text: whole characters only, and nothing from a stop text on. Without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

#: Tokens of the prompt that are decoded with the answer: some tokenizers write the blank before a word only
#: where something stands before it.
_CONTEXT_TOKENS = 6

_BROKEN = "\N{REPLACEMENT CHARACTER}"


class TextMaker:
    """One answer. Feed it each token; it returns the text that has become certain."""

    def __init__(self, decode: Callable[[list[int]], str], prompt: Sequence[int], stops: Sequence[str]) -> None:
        self._decode = decode
        self._ids = list(prompt[-_CONTEXT_TOKENS:])
        self._begin = 0
        self._told = len(self._ids)
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.has_stopped = False

    def feed(self, token: int) -> str:
        self._ids.append(token)
        before, after = self._decode(self._ids[self._begin : self._told]), self._decode(self._ids[self._begin :])
        if after.endswith(_BROKEN) or len(after) <= len(before):
            return ""  # A character of several tokens, so far; or a token without text.
        self._begin, self._told = self._told, len(self._ids)
        return self._release(after[len(before) :])

    def finish(self) -> str:
        """What was held back, at an end that is no stop text."""
        before, after = self._decode(self._ids[self._begin : self._told]), self._decode(self._ids[self._begin :])
        self._told = len(self._ids)
        text = self._release(after[len(before) :])
        if self.has_stopped:
            return text
        text, self._held = text + self._held, ""
        return text

    def _release(self, text: str) -> str:
        text = self._held + text
        found = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if found:
            self._held, self.has_stopped = "", True
            return text[: min(found)]
        length = max((_count_begun(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - length :]
        return text[: len(text) - length]


def _count_begun(text: str, stop: str) -> int:
    """Characters at the end of ``text`` that may be the beginning of ``stop``."""
    longest = min(len(text), len(stop) - 1)
    return next((length for length in range(longest, 0, -1) if stop.startswith(text[-length:])), 0)
