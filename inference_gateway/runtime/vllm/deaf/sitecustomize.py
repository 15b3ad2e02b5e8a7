"""Imported by every Python below vLLM's server when it starts, for this folder is on its ``PYTHONPATH``.

``keeper`` blocks SIGTERM and SIGINT. Python's multiprocessing unblocks both, without a look at what they were, as soon
as it has started its resource tracker: from then on a stop would cut off answers that are still being finished.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable

_KEPT = frozenset((signal.SIGTERM, signal.SIGINT))
_change_mask = signal.pthread_sigmask


def _keep_blocked(how: int, mask: Iterable[int]) -> set[int | signal.Signals]:
    wanted = set(mask)
    if how == signal.SIG_UNBLOCK:
        wanted -= _KEPT
    elif how == signal.SIG_SETMASK:
        wanted |= _KEPT
    return set(_change_mask(how, wanted))


if not _KEPT.difference(_change_mask(signal.SIG_BLOCK, ())):
    signal.pthread_sigmask = _keep_blocked
