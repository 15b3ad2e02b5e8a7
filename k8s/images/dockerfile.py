"""Reads Dockerfiles. Pure.

Just what ours are written in: ARG, FROM … AS, RUN, COPY (also ``--from``), ENV, WORKDIR, USER, EXPOSE, STOPSIGNAL,
ENTRYPOINT and CMD as JSON. Anything else is refused by name, so that nothing is left out of an image in silence.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


class DockerfileInvalid(ValueError):
    """A line that this reader does not follow. The text names it."""


@dataclass(frozen=True, slots=True)
class Run:
    """``command`` is for ``/bin/sh -c``, in ``folder``, with ``environment`` besides the builder's own."""

    command: str
    folder: str
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class Copy:
    """Files of the context, or of the stage ``origin``, to ``target`` (absolute; a folder where it ends in ``/``)."""

    sources: tuple[str, ...]
    target: str
    origin: str | None = None


@dataclass(slots=True)
class Stage:
    """One FROM and what follows. ``base`` is a stage's name or an image's; ``config`` is OCI's, of this stage alone."""

    name: str
    base: str
    steps: list[Run | Copy] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def needs(self) -> set[str]:
        """Names of stages and images that this one is made from."""
        return {self.base} | {step.origin for step in self.steps if isinstance(step, Copy) and step.origin}


def parse(text: str, arguments: dict[str, str] | None = None) -> list[Stage]:
    """The stages, in order; the last one is the image. ``arguments`` replace the defaults of ARG.

    Raises DockerfileInvalid.
    """
    return _Reader(arguments or {}).read(text)


class _Reader:
    def __init__(self, given: dict[str, str]) -> None:
        self._given = given
        self._global: dict[str, str] = {}
        self._stages: list[Stage] = []
        # Of the stage being read:
        self._arguments: dict[str, str] = {}
        self._folder = "/"

    def read(self, text: str) -> list[Stage]:
        for instruction, rest in _instructions(text):
            if instruction == "FROM":
                self._begin(rest)
            elif instruction == "ARG":
                name, _, default = rest.partition("=")
                place = self._arguments if self._stages else self._global
                place[name] = self._given.get(name, "".join(shlex.split(default)))
            elif not self._stages:
                raise DockerfileInvalid(f"{instruction} comes before the first FROM.")
            else:
                self._follow(self._stages[-1], instruction, rest)
        if not self._stages:
            raise DockerfileInvalid("It has no FROM.")
        return self._stages

    def _begin(self, rest: str) -> None:
        words = _expand(rest, self._global).split()
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
            raise DockerfileInvalid(f"FROM {rest} is neither FROM image nor FROM image AS name.")
        known = {stage.name: stage for stage in self._stages}
        base = known.get(words[0])
        name = words[2] if len(words) == 3 else f"stage-{len(self._stages)}"
        config = {} if base is None else {**base.config, "Env": list(base.config.get("Env", []))}
        self._stages.append(Stage(name, words[0], config=config))
        self._arguments, self._folder = {}, config.get("WorkingDir", "/")

    def _follow(self, stage: Stage, instruction: str, rest: str) -> None:
        config = stage.config
        if instruction == "RUN":
            environment = self._arguments | dict(pair.split("=", 1) for pair in config.get("Env", []))
            stage.steps.append(Run(rest, self._folder, environment))
        elif instruction == "COPY":
            stage.steps.append(self._copy(rest))
        elif instruction == "ENV":
            pairs = dict(pair.split("=", 1) for pair in config.get("Env", []) + shlex.split(rest))
            config["Env"] = [f"{name}={value}" for name, value in pairs.items()]
        elif instruction == "WORKDIR":
            self._folder = config["WorkingDir"] = _absolute(rest, self._folder)
        elif instruction == "USER":
            config["User"] = rest
        elif instruction == "EXPOSE":
            config["ExposedPorts"] = {f"{port}/tcp": {} for port in rest.split()}
        elif instruction == "STOPSIGNAL":
            config["StopSignal"] = rest
        elif instruction in ("ENTRYPOINT", "CMD"):
            config["Entrypoint" if instruction == "ENTRYPOINT" else "Cmd"] = _words(instruction, rest)
        else:
            raise DockerfileInvalid(f"{instruction} is not understood here.")

    def _copy(self, rest: str) -> Copy:
        words = rest.split()
        options = [word for word in words if word.startswith("--")]
        paths = [word for word in words if not word.startswith("--")]
        origin = options[0].removeprefix("--from=") if options else None
        if len(options) > 1 or (options and not options[0].startswith("--from=")) or len(paths) < 2:
            raise DockerfileInvalid(f"COPY {rest} is neither COPY paths to nor COPY --from=stage paths to.")
        return Copy(tuple(paths[:-1]), _absolute(paths[-1], self._folder), origin)


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Name and rest of each, continued lines joined and comments gone."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield name.upper(), rest.strip()


def _expand(text: str, values: dict[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise DockerfileInvalid(f"${{{match[1]}}} has no ARG.")
        return values[match[1]]

    return re.sub(r"\$\{(\w+)\}", value, text)


def _absolute(path: str, folder: str) -> str:
    return path if path.startswith("/") else f"{folder.rstrip('/')}/{path.removeprefix('./')}"


def _words(instruction: str, rest: str) -> list[str]:
    try:
        words = json.loads(rest)
    except ValueError:
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise DockerfileInvalid(f"{instruction} {rest} is not a list of words in JSON.")
    return words
