"""The steps of an instance's start (console.md §4, "Timeline"). A step that a cluster does not have does not occur.

Scheduled → (Placing → Image → Weights →) Starting → Loading → Warming ─▶ Ready        a language model's
Scheduled → …                 → Starting → Checking ──────────▶ Ready        any other program's
                   Again → Starting → …                                      after the program ended
                   … → Ending                                                from the wish that it ends until it is gone
"""

from __future__ import annotations

import enum


class Stage(enum.StrEnum):
    """What an instance is doing on its way to its first answer."""

    SCHEDULED = "scheduled"  # wanted, and not made yet: waits for a worker, or for its turn
    PLACING = "placing"  # made; waits for a node, or is prepared there
    IMAGE = "image"  # its image is pulled
    WEIGHTS = "weights"  # its files are copied or mounted, its packages installed
    AGAIN = "again"  # its program ended, and is not started again yet
    STARTING = "starting"  # made; its program does not listen yet
    LOADING = "loading"  # it listens, and says that it loads weights
    WARMING = "warming"  # loaded, and asked for a first token
    CHECKING = "checking"  # it listens, and its check does not pass yet
    READY = "ready"
    ENDING = "ending"  # no instance's stage: it is known once the instance is gone
    NONE = ""  # nothing to wait for: it is about to end, or will not be started again
