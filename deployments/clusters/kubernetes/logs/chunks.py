"""Lines in a compressed chunk, and back."""

from __future__ import annotations

import zlib
from collections.abc import Sequence


def pack(lines: Sequence[str]) -> bytes:
    """Lines hold no line feed."""
    return zlib.compress("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass"), 6)


def unpack(data: bytes | memoryview) -> list[str]:
    return zlib.decompress(data).decode("utf-8", "replace").split("\n")[:-1]
