"""Reading command lines that people wrote: which program they start, and with which flags.

Nothing is run and nothing is judged here; ``deployments.engines`` decides what a command means.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PYTHON = re.compile(r"python(3(\.\d+)?)?")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
_PREFIXES = ("exec", "env", "nohup", "time")
_SHELLS = ("sh", "bash", "dash", "ash")
_SEPARATORS = re.compile(r"[;&|()]+")


@dataclass(frozen=True, slots=True)
class Arguments:
    """What follows a program's name. ``flags`` keeps order and repetition; a bare flag has the value ""."""

    flags: tuple[tuple[str, str], ...]
    positional: tuple[str, ...]

    def find(self, name: str) -> str | None:
        """The last value given for a flag, as programs take it; None where it is absent."""
        values = [value for flag, value in self.flags if flag == name]
        return values[-1] if values else None


def container_words(container: Mapping[str, Any]) -> list[list[str]]:
    """Every simple command of a container, as words: its ``script`` or ``command``, then ``args``."""
    extra = [str(word) for word in container.get("args") or ()]
    command = container.get("command")
    if isinstance(command, Sequence) and not isinstance(command, str):
        return unwrap([*map(str, command), *extra])
    text = container.get("script") or command
    commands = split_commands(text) if isinstance(text, str) else []
    if extra and commands:
        commands[-1] = [*commands[-1], *extra]
    return commands


def split_commands(script: str) -> list[list[str]]:
    """Shell text as simple commands. Text that is no valid shell is split at blanks instead."""
    commands: list[list[str]] = []
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|()")
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:
            words = line.split()
        current: list[str] = []
        for word in [*words, ";"]:
            if _SEPARATORS.fullmatch(word):
                commands += unwrap(current)
                current = []
            else:
                current.append(word)
    return commands


def unwrap(words: list[str]) -> list[list[str]]:
    """Take a command out of ``exec``, ``env A=b`` and ``sh -c "…"``."""
    while words and (words[0] in _PREFIXES or _ASSIGNMENT.fullmatch(words[0])):
        words = words[1:]
    if len(words) > 2 and base_name(words[0]) in _SHELLS and words[1] == "-c":
        return split_commands(words[2])
    return [words] if words else []


def base_name(word: str) -> str:
    return word.rsplit("/", 1)[-1]


def match_program(words: Sequence[str], program: Sequence[str]) -> int:
    """How many words of a command name ``program`` (0: it is another one).

    Programs are given as people write them, ``("python", "webui/webui_server.py")``; folders in front of
    either word, the version in ``python3.11`` and Python's own ``-u`` make no difference.
    """
    if not words:
        return 0
    first = base_name(words[0])
    rest = list(words[1:])
    skipped = 1
    if _PYTHON.fullmatch(first):
        first = "python"
        while rest and rest[0] in ("-u", "-B", "-O"):
            rest, skipped = rest[1:], skipped + 1
    wanted = list(program[1:])
    given = rest[: len(wanted)]
    same = len(given) == len(wanted) and all(
        word == name or (name.endswith(".py") and word.endswith("/" + name))
        for word, name in zip(given, wanted, strict=True)
    )
    return skipped + len(wanted) if first == program[0] and same else 0


def read_arguments(words: Iterable[str], bare: Collection[str]) -> Arguments:
    """Flags and positional words: ``--a=b``, ``--a b``, ``-a``, with ``-`` or ``_`` inside names.

    ``bare`` names the flags that take no value, without which ``--cpu model`` could not be told apart.
    """
    flags: list[tuple[str, str]] = []
    positional: list[str] = []
    pending = list(words)
    while pending:
        word = pending.pop(0)
        if not word.startswith("-") or word in ("-", "--"):
            positional.append(word)
            continue
        name, has_value, value = word.partition("=")
        name = name.lstrip("-").replace("_", "-")
        if not has_value and name not in bare and pending and not pending[0].startswith("-"):
            value = pending.pop(0)
        flags.append((name, value))
    return Arguments(tuple(flags), tuple(positional))
