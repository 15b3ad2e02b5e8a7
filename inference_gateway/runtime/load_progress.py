"""How much of its weights an engine has in memory while it loads, as the system tells it; nothing is estimated.

Engines map the files of weights, and Linux says how many pages of a mapping a process has (``/proc/<pid>/smaps``).
llama.cpp takes in all of a file before it answers. Transformers does so on its way to a GPU; on a processor it answers
before it has, and says little or nothing until then. Of a file that is read instead of mapped nothing is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

#: A mapping's first line: address, rights, offset, device, inode, path. Its facts follow as ``Name: …``.
_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S{4} [0-9a-f]+ \S+ \d+ *(?P<path>.*)")
_PART = re.compile(r"-00001-of-(\d{5})\.gguf$")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Bytes of the files of weights that are in memory, and of the files."""

    bytes: int
    of_bytes: int


class LoadProgress:
    """Looks at one engine's process. What was seen once stays: an engine may let go of what it has copied."""

    def __init__(self, weights: Iterable[Path]) -> None:
        self._sizes = {str(file.resolve()): file.stat().st_size for file in weights}
        self._most = 0

    def look(self, pid: int) -> Loaded | None:
        """None where the system does not say, and before the first byte."""
        try:
            lines = Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return None
        resident: dict[str, int] = {}
        for path, kibibytes in read_resident(lines):
            if path in self._sizes:
                resident[path] = resident.get(path, 0) + kibibytes * 1024
        seen = sum(min(self._sizes[path], count) for path, count in resident.items())
        self._most = max(self._most, seen)
        return Loaded(self._most, sum(self._sizes.values())) if self._most else None


def read_resident(lines: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Path and resident KiB of every mapping of a file, as ``smaps`` has them. Pure."""
    path = ""
    for line in lines:
        mapping = _MAPPING.fullmatch(line)
        if mapping is not None:
            path = mapping["path"]
        elif path and line.startswith("Rss:"):
            yield path, int(line.split()[1])


def list_weights(model: Path) -> list[Path]:
    """The files that an engine loads of a GGUF file, with its other parts, or of a Hugging Face folder."""
    if model.is_dir():
        safe = sorted(model.glob("*.safetensors"))
        return safe or sorted(model.glob("*.bin"))  # with both, Transformers takes the former
    part = _PART.search(model.name)
    if part is None:
        return [model]
    stem = model.name[: part.start()]
    parts = (model.with_name(f"{stem}-{number:05d}-of-{part[1]}.gguf") for number in range(1, int(part[1]) + 1))
    return [file for file in parts if file.is_file()]
