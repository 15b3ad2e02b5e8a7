"""The counters of all gateway processes of one machine, so that whichever is scraped answers for all.

Each process takes a slot in ``<data folder>/metrics``: the lock on ``<n>.lock`` says that it lives, ``<n>.json`` has
its counters, written every second. Who takes a slot that another one left goes on from its numbers, so counters never
fall when a process is killed or the server restarts; what a killed process counted in its last second is lost. The
number of files is that of processes at once. Blocking.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from inference_gateway.histograms import Histogram
from inference_gateway.monitoring.traffic import Tally, Traffic

MOST_SLOTS = 256
HISTOGRAMS = ("prompt_sizes", "completion_sizes", "first_token", "each_token", "duration")


class Told(msgspec.Struct):
    """A tally as a file has it. ``queued`` is of a service, told beside each of its operations' first."""

    uid: str
    name: str
    operation: str
    codes: dict[int, int]
    errors: dict[str, int]
    endings: dict[str, int]
    prompt_tokens: int
    completion_tokens: int
    histograms: dict[str, list[float]]
    in_flight: int = 0
    queued: int = 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Told]).decode


def tell(traffic: Traffic, queued: dict[str, int]) -> bytes:
    """Every tally, as a file's content. ``queued`` is by uid."""
    waiting = dict(queued)
    return _encode([_tell(tally, waiting.pop(tally.uid, 0)) for tally in traffic.tallies.values()])


def _tell(tally: Tally, queued: int) -> Told:
    histograms: dict[str, list[float]] = {}
    for name in HISTOGRAMS:
        histogram: Histogram = getattr(tally, name)
        histograms[name] = [*histogram.counts, histogram.total]
    return Told(
        uid=tally.uid,
        name=tally.name,
        operation=tally.operation,
        codes=tally.codes,
        errors=tally.errors,
        endings=tally.endings,
        prompt_tokens=tally.prompt_tokens,
        completion_tokens=tally.completion_tokens,
        histograms=histograms,
        in_flight=tally.in_flight,
        queued=queued,
    )


class Slot:
    """The place of this process. Raises OSError where the folder cannot be written."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        for number in range(MOST_SLOTS):
            descriptor = os.open(folder / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            self._descriptor = descriptor
            self.path = folder / f"{number}.json"
            return
        raise OSError(f"all {MOST_SLOTS} slots in {folder} are taken")

    def go_on(self, traffic: Traffic) -> None:
        """Count on from what the last holder wrote. Numbers of another version's form begin anew."""
        for told in read_file(self.path):
            if any(len(told.histograms.get(name, ())) < 2 for name in HISTOGRAMS):
                continue
            tally = traffic.find(told.uid, told.name, told.operation)
            tally.prompt_tokens += told.prompt_tokens
            tally.completion_tokens += told.completion_tokens
            for mine, theirs in ((tally.errors, told.errors), (tally.endings, told.endings)):
                for key, count in theirs.items():
                    mine[key] = mine.get(key, 0) + count
            for status, count in told.codes.items():
                tally.codes[status] = tally.codes.get(status, 0) + count
            for name in HISTOGRAMS:
                histogram: Histogram = getattr(tally, name)
                *counts, total = told.histograms[name]
                if len(counts) == len(histogram.counts):
                    histogram.counts = [one + int(other) for one, other in zip(histogram.counts, counts, strict=True)]
                    histogram.total += total

    def write(self, content: bytes) -> None:
        """Put it in place whole."""
        draft = self.path.with_suffix(".new")
        draft.write_bytes(content)
        draft.replace(self.path)

    def close(self) -> None:
        os.close(self._descriptor)


def read_file(path: Path) -> list[Told]:
    """Nothing where it is not there or cannot be read."""
    try:
        return _decode(path.read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return []


def read_all(folder: Path) -> Iterator[Told]:
    """Of every process, and of those that ended what they counted. What is under way in these is nothing any more."""
    for path in sorted(folder.glob("*.json")):
        lives = _is_locked(path.with_suffix(".lock"))
        for told in read_file(path):
            if not lives:
                told.in_flight = told.queued = 0
            yield told


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
