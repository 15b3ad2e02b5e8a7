"""Which Python has the optional libraries of an engine: Slipway's own, or one that a setting names.

Transformers and vLLM want versions of their own of large libraries, so each may live in an environment apart from
Slipway's. Imports little: the runtime starts with it.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deployments.words import say

_PROBE = """
import importlib.util, json, sys
from importlib import metadata
builds = []
for name in ("torch", "vllm"):
    try:
        builds.append(metadata.version(name))
    except metadata.PackageNotFoundError:
        pass
found = [name for name in sys.argv[1:] if importlib.util.find_spec(name)]
print(json.dumps([found, list(sys.version_info[:2]), any("+cpu" in build for build in builds)]))
"""
_PROBE_SECONDS = 20
_OWN_VERSION = sys.version_info[:2]


@dataclass(frozen=True, slots=True)
class Extra:
    """Optional libraries: ``modules`` have to be there, ``packages`` is what pip is given for them."""

    title: str
    variable: str  # the setting that names an interpreter which has them
    modules: tuple[str, ...]
    packages: str
    program: str = ""  # beside which, on the PATH, an interpreter is taken too
    #: Slipway's own modules run in that interpreter as well: it has to be of Slipway's version of Python.
    shares_modules: bool = False

    @property
    def environment_name(self) -> str:
        return self.title.lower()


TRANSFORMERS = Extra(
    "Transformers",
    "SLIPWAY_TRANSFORMERS_PYTHON",
    ("torch", "transformers"),
    "torch transformers safetensors",
    shares_modules=True,
)
VLLM = Extra("vLLM", "SLIPWAY_VLLM_PYTHON", ("vllm",), "vllm", program="vllm")


@dataclass(frozen=True, slots=True)
class _Found:
    """What an interpreter answered. ``version`` is () where it did not; ``lacks`` are modules."""

    lacks: tuple[str, ...] = ()
    version: tuple[int, ...] = ()
    is_for_processors: bool = False

    def can_run(self, extra: Extra) -> bool:
        return bool(self.version) and not self.lacks and (not extra.shares_modules or self.version == _OWN_VERSION)


def find_python(extra: Extra, environment: Mapping[str, str]) -> str | None:
    """The interpreter that has ``extra``: the one of the setting, or else Slipway's own, or the PATH's."""
    if named := environment.get(extra.variable):
        path = os.path.abspath(os.path.expanduser(named))
        return path if _ask(path, extra).can_run(extra) else None
    if all(importlib.util.find_spec(name) is not None for name in extra.modules):
        return sys.executable
    program = shutil.which(extra.program, path=environment.get("PATH")) if extra.program else None
    python = str(Path(program).resolve().parent / "python") if program else ""
    return python if python and _ask(python, extra).can_run(extra) else None


def is_built_for_processors(python: str, extra: Extra) -> bool:
    """Whether what is installed there computes without a GPU only, as its version says (``+cpu``)."""
    return _ask(python, extra).is_for_processors


def explain_missing(extra: Extra, environment: Mapping[str, str]) -> tuple[str, str]:
    """Why ``find_python`` found none, and the cure with the line to type."""
    named = environment.get(extra.variable)
    folder = f"~/slipway-{extra.environment_name}"
    cure = say(
        "Install it: %(command)s. Then set %(setting)s and start Slipway again.",
        command=f"{Path(sys.executable).name} -m venv {folder} && {folder}/bin/pip install {extra.packages}",
        setting=f"{extra.variable}={folder}/bin/python",
    )
    if not named:
        return say("%(library)s is not installed.", library=extra.title), cure
    found, python = _ask(os.path.abspath(os.path.expanduser(named)), extra), f"{extra.variable}={named}"
    if not found.version:
        return say("%(setting)s is no Python of at least 3.11 that can be run.", setting=python), cure
    if found.lacks:
        return say("%(setting)s is a Python without %(modules)s.", setting=python, modules=", ".join(found.lacks)), cure
    version, own = (".".join(map(str, one)) for one in (found.version, _OWN_VERSION))
    return (
        say(
            "%(setting)s is Python %(version)s, and Slipway's own version, %(own)s, is needed.",
            setting=python,
            version=version,
            own=own,
        ),
        cure,
    )


@functools.cache
def _ask(python: str, extra: Extra) -> _Found:
    """Looks without importing, which takes seconds; asked once in a process's life."""
    try:
        answer = subprocess.run(
            [python, "-P", "-c", _PROBE, *extra.modules],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=True,
        ).stdout
        found, version, is_for_processors = json.loads(answer)
    except (OSError, ValueError, subprocess.SubprocessError):
        return _Found()
    return _Found(tuple(name for name in extra.modules if name not in found), tuple(version), is_for_processors)
