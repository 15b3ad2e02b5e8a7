"""Bytes done of all, from a program's log to a sentence. Pure.

Who copies or loads (the copier of an init container, the chat-llm runtime) writes a line now and then; who keeps its
log reads it, because a pod that is not ready yet is asked nothing. Programs import this: nothing of Django is loaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from deployments.words import Sentence, figure, say

MIB, GIB = 2**20, 2**30
#: Stands at the line's end, so that a line that is none costs a look at its last letters.
_END = "bytes)"
_LINE = re.compile(r"\((?P<done>[0-9]{1,18}) of (?P<total>[0-9]{1,18}) bytes\)$")
#: A slower copy is not foretold: it stands still.
LEAST_RATE = MIB / 20


@dataclass(frozen=True, slots=True)
class BytesDone:
    """``done`` is never more than ``total``."""

    done: int
    total: int

    def line(self, verb: str) -> str:
        """For people and for ``read_line``: "1.2 of 7.4 GiB copied (1288490189 of 7945689498 bytes)"."""
        unit, name = (GIB, "GiB") if self.total >= GIB else (MIB, "MiB")
        amount = f"{self.done / unit:,.1f} of {self.total / unit:,.1f} {name}"
        return f"{amount} {verb} ({self.done} of {self.total} {_END}"


def read_line(text: str) -> BytesDone | None:
    """What a line of a log says; None where it is about something else."""
    if not text.endswith(_END):
        return None
    match = _LINE.search(text)
    if match is None:
        return None
    found = BytesDone(int(match["done"]), int(match["total"]))
    return found if found.done <= found.total else None


def pause_seconds(elapsed_seconds: float) -> float:
    """From one line to the next: a second at first, and of what takes long a twentieth of its time, five at most."""
    return min(5.0, max(1.0, elapsed_seconds / 20))


def loading_words(found: BytesDone | None = None) -> Sentence:
    """The step of an engine that loads."""
    if found is None:
        return say("Loading weights.")
    if found.total >= GIB:
        done, total = figure(found.done / GIB, 1), figure(found.total / GIB, 1)
        return say("Loading weights: %(done)s of %(total)s GiB.", done=done, total=total)
    done, total = figure(found.done / MIB), figure(found.total / MIB)
    return say("Loading weights: %(done)s of %(total)s MiB.", done=done, total=total)


def copying_words(source: str, found: BytesDone | None = None, bytes_per_second: float | None = None) -> Sentence:
    """The step of a copy, with what is left where its rate is known (console.md §7, "pulling").

    The source comes last: a row of the list has room for some words only.
    """
    if found is None:
        return say("Copying the files of %(source)s.", source=source)
    is_large = found.total >= GIB
    unit, decimals = (GIB, 1) if is_large else (MIB, 0)
    done, total = figure(found.done / unit, decimals), figure(found.total / unit, decimals)
    if bytes_per_second is None or bytes_per_second < LEAST_RATE:
        if is_large:
            return say("Copying files: %(done)s of %(total)s GiB (%(source)s).", source=source, done=done, total=total)
        return say("Copying files: %(done)s of %(total)s MiB (%(source)s).", source=source, done=done, total=total)
    rate = figure(bytes_per_second / MIB, 0 if bytes_per_second >= 10 * MIB else 1)
    left = about((found.total - found.done) / bytes_per_second)
    if is_large:
        return say(
            "Copying files: %(done)s of %(total)s GiB, %(rate)s MiB/s, about %(left)s left (%(source)s).",
            source=source, done=done, total=total, rate=rate, left=left,
        )  # fmt: skip
    return say(
        "Copying files: %(done)s of %(total)s MiB, %(rate)s MiB/s, about %(left)s left (%(source)s).",
        source=source, done=done, total=total, rate=rate, left=left,
    )  # fmt: skip


def about(seconds: float) -> Sentence:
    """An estimated time, no more exact than it is: in steps of 5 s above 10 s, in whole minutes above two."""
    if seconds < 120:
        step = 5 if seconds >= 10 else 1
        return say("%(count)s s", count=max(1, round(seconds / step) * step))
    minutes = round(seconds / 60)
    if minutes < 60:
        return say("%(count)s min", count=minutes)
    return say("%(hours)s h %(minutes)s min", hours=minutes // 60, minutes=minutes % 60)
