"""Which services are told of when their programs say how far they are: each soon, and none with every line."""

from __future__ import annotations

#: A service is looked at no more often than this for what its programs say, whatever they say.
TELL_SECONDS = 1.0


class Telling:
    """One thread's. Times are ``time.monotonic``."""

    def __init__(self) -> None:
        self._news: set[str] = set()
        self._told_at: dict[str, float] = {}

    def note(self, service_uid: str) -> None:
        self._news.add(service_uid)

    def due(self, now: float) -> set[str]:
        """Those to tell of now; who was told of a moment ago has its turn later."""
        self._told_at = {uid: at for uid, at in self._told_at.items() if now - at < TELL_SECONDS}
        found = self._news - self._told_at.keys()
        self._news -= found
        self._told_at |= dict.fromkeys(found, now)
        return found
