"""Which instances are passed over for a while because they fail, decided so that no caller can put a sound one out.

Of an instance count against it: a connection that it refuses, one that it drops before it answers, and 502, 503 and
504. What a caller's own question brings about, a 4xx or a 500, shows that the instance is there, and ends the count.

::

    sound ──refused, or 3 others in a row──► passed over ──its time is up──► one request tries it ──answered──► sound
                                                  ▲                                   │
                                                  └───────twice the time, at most 10 s┘

The last instance is never passed over. Those that accept connections but fail are passed over only while they are at
most half of a service's: with more of them, something else is wrong than an instance.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from inference_gateway.directory import Route

FAILURES_IN_A_ROW = 3
SHORTEST_SECONDS = 2.0
LONGEST_SECONDS = 10.0
#: What is not heard of for so long is forgotten: its instance is most likely gone.
FORGOTTEN_SECONDS = 300.0
FAILED_STATUSES = frozenset((502, 503, 504))


@dataclass(slots=True)
class _Trouble:
    """``until`` is 0 while there are too few failures; ``seconds`` is how long it was passed over last."""

    failures: int = 0
    seconds: float = 0.0
    until: float = 0.0
    noted_at: float = 0.0
    is_refusing: bool = False
    is_tried: bool = False


class Breaker:
    """For one process, by the addresses of instances. While all is well it costs the look whether it is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.troubles: dict[str, _Trouble] = {}

    def note_answer(self, address: str) -> None:
        """The instance has answered, whatever it said."""
        if self.troubles:
            self.troubles.pop(address, None)

    def note_status(self, address: str, status: int) -> None:
        if status in FAILED_STATUSES:
            self.note_failure(address)
        else:
            self.note_answer(address)

    def note_failure(self, address: str) -> None:
        """It has taken a question and not answered it."""
        trouble = self._note(address)
        trouble.failures += 1
        if trouble.failures >= FAILURES_IN_A_ROW:
            self._pass_over(trouble)

    def note_refusal(self, address: str) -> None:
        """Nobody listens there."""
        trouble = self._note(address)
        trouble.is_refusing = True
        trouble.failures = FAILURES_IN_A_ROW
        self._pass_over(trouble)

    def choose(self, routes: Sequence[Route]) -> Sequence[Route]:
        """Those that may be asked now, at least one: a single one where it is to be tried again."""
        if not self.troubles:
            return routes
        now = self._clock()
        sound, doubtful = [], []
        for route in routes:
            trouble = self.troubles.get(route.address)
            if trouble is None or not trouble.until:
                sound.append(route)
            elif trouble.until <= now and not trouble.is_tried:
                return (route,)
            elif not trouble.is_refusing:
                doubtful.append(route)
        if 2 * len(doubtful) > len(routes):
            sound += doubtful
        return sound or routes

    def knows_any(self, routes: Sequence[Route]) -> bool:
        """Whether any of these has failed lately."""
        return bool(self.troubles) and any(route.address in self.troubles for route in routes)

    def begin(self, address: str) -> bool:
        """A request goes there. Whether it is the one that tries an instance again; then ``end`` is called."""
        trouble = self.troubles.get(address)
        if trouble is None or not trouble.until or trouble.is_tried or trouble.until > self._clock():
            return False
        trouble.is_tried = True
        return True

    def end(self, address: str) -> None:
        """The request that tried it has ended; where it showed nothing, as when its caller left, the next one tries."""
        if (trouble := self.troubles.get(address)) is not None:
            trouble.is_tried = False

    def _note(self, address: str) -> _Trouble:
        now = self._clock()
        self._forget(address for address, one in self.troubles.items() if one.noted_at < now - FORGOTTEN_SECONDS)
        trouble = self.troubles.setdefault(address, _Trouble())
        trouble.noted_at = now
        return trouble

    def _forget(self, addresses: Iterable[str]) -> None:
        for address in tuple(addresses):
            del self.troubles[address]

    def _pass_over(self, trouble: _Trouble) -> None:
        if trouble.until > trouble.noted_at:
            return  # one of those that were under way when it failed
        trouble.seconds = min(max(2 * trouble.seconds, SHORTEST_SECONDS), LONGEST_SECONDS)
        trouble.until = trouble.noted_at + trouble.seconds
        trouble.is_tried = False
