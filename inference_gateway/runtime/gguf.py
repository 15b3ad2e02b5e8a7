"""Reads the few facts of a GGUF file's header that are needed before an engine loads it.

Format: "GGUF", version, number of tensors, number of keys, then keys with typed values; little-endian. Only
the scalars before the tokenizer's long lists are read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LONGEST_TEXT = 1 << 20


class GgufInvalid(ValueError):
    """The file is no GGUF file, or is cut off; the text says which."""


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """``context_tokens`` is what the model was trained for; None where the file does not say."""

    architecture: str | None
    name: str | None
    context_tokens: int | None


def read_header(path: Path) -> GgufHeader:
    """Raises GgufInvalid, and OSError where the file cannot be read."""
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise GgufInvalid(f"{path} is no GGUF file. Give the path of a .gguf model.")
        try:
            values = _read_values(file)
        except (struct.error, KeyError, UnicodeDecodeError, MemoryError) as error:
            raise GgufInvalid(f"{path} is a damaged or cut-off GGUF file. Copy it again.") from error
    architecture = values.get("general.architecture")
    context = values.get(f"{architecture}.context_length")
    name = values.get("general.name")
    return GgufHeader(
        architecture=architecture if isinstance(architecture, str) else None,
        name=name if isinstance(name, str) else None,
        context_tokens=context if isinstance(context, int) else None,
    )


def _read_values(file: BinaryIO) -> dict[str, object]:
    """Scalars and texts up to the tokenizer's, which come last and are long."""
    version, _tensors, count = _unpack(file, "IQQ")
    if version not in (2, 3):
        raise KeyError(version)
    values: dict[str, object] = {}
    for _ in range(count):
        key = _read_text(file)
        if key.startswith("tokenizer."):
            break
        values[key] = _read_value(file, _unpack(file, "I")[0])
    return values


def _read_value(file: BinaryIO, kind: int) -> object:
    if kind == _STRING:
        return _read_text(file)
    if kind == _ARRAY:
        item_kind, length = _unpack(file, "IQ")
        if item_kind in _SCALARS:
            file.seek(struct.calcsize("<" + _SCALARS[item_kind]) * length, 1)
        else:
            for _ in range(length):
                _read_value(file, item_kind)
        return None
    return _unpack(file, _SCALARS[kind])[0]


def _read_text(file: BinaryIO) -> str:
    length = _unpack(file, "Q")[0]
    if length > _LONGEST_TEXT:
        raise KeyError(length)
    return file.read(length).decode("utf-8")


def _unpack(file: BinaryIO, layout: str) -> tuple[int, ...]:
    size = struct.calcsize("<" + layout)
    return struct.unpack("<" + layout, file.read(size))
