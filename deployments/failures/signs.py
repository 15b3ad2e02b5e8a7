"""What the last lines of a log say about an end: patterns of the programs that people run. Pure.

A sign carries names only: a flag, a module, a file. Never the line itself, for a log is not for everybody who may
read the sentence that is made of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sign:
    """A cause's code and the name it is about: "" where there is none."""

    code: str
    name: str = ""


_NAME = r"[\"'`‘]?(?P<name>[^\s\"'`’,;:]+)"
_FLAG = r"[^-]*?(?P<name>--?[A-Za-z][\w.-]*)"
_PATH = r"[\"'`‘](?P<name>[^\"'`’]+)"

#: Looked for in this order, each in all lines from the last one up: a traceback ends in what matters.
PATTERNS: Sequence[tuple[str, str]] = (
    ("GpuOutOfMemory", r"(CUDA|HIP|GPU) out of memory|torch\.(cuda\.)?OutOfMemoryError|CUDA_ERROR_OUT_OF_MEMORY"),
    ("GpuMissing", r"No CUDA GPUs are available|Found no NVIDIA driver|not compiled with CUDA|no CUDA-capable device"
                   r"|CUDA_ERROR_NO_DEVICE|Failed to infer device type|libcuda\.so\S*: cannot open|no GPU (was )?found"
                   r"|needs a GPU"),
    ("PortTaken", r"[Aa]ddress already in use|EADDRINUSE|Errno 98\b|port \d+ is (already )?in use"),
    ("UnknownFlag", r"unrecogni[sz]ed (arguments?|options?|flags?)\b:?\s*" + _FLAG),
    ("UnknownFlag", r"(unknown|invalid|no such|illegal|unexpected|bad) (command.line )?"
                    r"(options?|flags?|arguments?|switch)\b:?\s*(--\s+)?" + _FLAG),
    ("UnknownFlag", r"flag provided but not defined:\s*" + _FLAG),
    ("FlagValueWrong", r"\bargument (?P<name>-{0,2}[\w./-]+): (invalid|expected|not allowed|'[^']*' is|its value)"),
    ("FlagValueWrong", r"Invalid value for [\"'](?P<name>-{0,2}[\w-]+)"),
    ("ModelFolderWrong", r"(?P<name>\S+) (has|holds) no (GGUF file|config\.json)"),
    ("ModelFolderWrong", r"(?P<name>\S+) (has a config\.json but no weights|has no tokenizer)"),
    ("ModelFolderWrong", r"(?P<name>\S+)/config\.json (names no model_type|is no JSON|cannot be read)"),
    ("ModelFolderWrong", r"(?P<name>\S+) does not appear to have (a file named|files? named) \S+"),
    ("ModelFolderWrong", r"(?P<name>\S+) (is no GGUF file|is not a GGUF file)"),
    ("ModelMissing", r"Model path (?P<name>\S+) does not exist"),
    ("ModelMissing", r"(Invalid repository ID or local directory specified|Repo id must (be|use)\b[^'\"]*):? *"
                      + _PATH),
    ("ModelMissing", r"(?P<name>\S+) is not a local folder and is not a valid model identifier"),
    ("ModuleMissing", r"No module named " + _NAME),
    ("ModuleMissing", r"Cannot find (module|package) " + _PATH),
    ("LibraryMissing", r"(?P<name>\S+\.so\S*): cannot open shared object file"),
    ("DiskFull", r"No space left on device"),
    ("MachineOutOfMemory", r"MemoryError|std::bad_alloc|Cannot allocate memory|not enough memory"),
    ("ProgramMissing", r"(?:sh|bash|dash): (?:\d+: |line \d+: )?(?P<name>[^:\s]+): (?:command )?not found"),
    ("ProgramMissing", r"env: " + _NAME + r".*: No such file or directory"),
    ("PermissionDenied", r"Permission denied: " + _PATH),
    ("PermissionDenied", r"(?:\d+: |line \d+: |: )(?:cannot (?:open|create|access) )?" + _NAME
                         + r".?: Permission denied"),
    ("PermissionDenied", r"Permission denied|Operation not permitted"),
    ("FileMissing", r"can't open file " + _PATH),
    ("FileMissing", r"No such file or directory: " + _PATH),
    ("FileMissing", r"ENOENT: no such file or directory, \w+ " + _PATH),
    ("FileMissing", r"(?:\d+: |line \d+: |: |^)(?:cannot (?:open|access|stat) )?" + _NAME + r".?: No such file"),
    ("FileMissing", r"No such file or directory"),
)  # fmt: skip

_COMPILED: Sequence[tuple[str, re.Pattern[str]]] = tuple(
    (code, re.compile(text, re.IGNORECASE)) for code, text in PATTERNS
)
#: Longer lines hold data, and matching them costs time.
_LONGEST_LINE = 2_000


def find_sign(lines: Iterable[str]) -> Sign | None:
    """The most telling sign of the lines, or None."""
    newest_first = [line[:_LONGEST_LINE] for line in reversed(list(lines)) if line.strip()]
    for code, pattern in _COMPILED:
        for line in newest_first:
            match = pattern.search(line)
            if match is not None:
                return Sign(code, (match.groupdict().get("name") or "").strip().rstrip("."))
    return None


def public_name(path: str, folders: Iterable[tuple[str, str]]) -> str:
    """A path as the document names it; of any other only its last part, for where it lies is the server's affair."""
    for folder, name in folders:
        if path == folder or path.startswith(folder.rstrip("/") + "/"):
            rest = path[len(folder) :].strip("/")
            return f"{name.rstrip('/')}/{rest}" if rest else name
    return path.rstrip("/").rsplit("/", 1)[-1] or path
