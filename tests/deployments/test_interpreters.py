"""Which Python has an engine's libraries. The interpreters are real; what they have is made for the test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deployments.interpreters import (
    TRANSFORMERS,
    VLLM,
    Extra,
    explain_missing,
    find_python,
    is_built_for_processors,
)


def make_python(folder: Path, *modules: str, version: str = "") -> str:
    """A program that starts this very Python with ``modules`` to be found, and of one distribution's version."""
    packages = folder / "packages"
    packages.mkdir(parents=True)
    for module in modules:
        (packages / f"{module}.py").touch()
    if version:
        info = packages / f"{modules[0]}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {modules[0]}\nVersion: {version}\n")
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={packages} exec {sys.executable} "$@"\n')
    program.chmod(0o755)
    return str(program)


def test_a_python_that_a_setting_names_is_taken_where_it_has_the_libraries(tmp_path: Path) -> None:
    python = make_python(tmp_path, "torch", "transformers")
    assert find_python(TRANSFORMERS, {TRANSFORMERS.variable: python}) == python


@pytest.mark.parametrize(
    ("modules", "trouble"), [(("torch",), "without transformers"), ((), "without torch, transformers")]
)
def test_a_python_without_the_libraries_is_named_with_what_it_lacks(
    tmp_path: Path, modules: tuple[str, ...], trouble: str
) -> None:
    python = make_python(tmp_path, *modules)
    environment = {TRANSFORMERS.variable: python}
    assert find_python(TRANSFORMERS, environment) is None
    message, cure = explain_missing(TRANSFORMERS, environment)
    assert message == f"SLIPWAY_TRANSFORMERS_PYTHON={python} is a Python {trouble}."
    assert "pip install torch transformers safetensors" in cure


def test_a_python_that_cannot_be_run_is_said(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    assert "that can be run" in explain_missing(VLLM, {VLLM.variable: str(python)})[0]


def test_a_python_of_another_version_cannot_share_slipway_s_modules(tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.write_text('#!/bin/sh\necho \'[["torch", "transformers", "vllm"], [3, 9], false]\'\n')
    other.chmod(0o755)
    assert find_python(TRANSFORMERS, {TRANSFORMERS.variable: str(other)}) is None
    assert "is Python 3.9" in explain_missing(TRANSFORMERS, {TRANSFORMERS.variable: str(other)})[0]
    assert find_python(VLLM, {VLLM.variable: str(other)}) == str(other)


def test_a_library_of_slipway_s_own_environment_needs_no_setting() -> None:
    extra = Extra("Django", "SLIPWAY_NO_PYTHON", ("django",), "django")
    assert find_python(extra, {}) == sys.executable


def test_the_python_beside_a_program_on_the_path_is_taken(tmp_path: Path) -> None:
    python = make_python(tmp_path, "no_library_of_slipway_s")
    (tmp_path / "engine").write_text("#!/bin/sh\n")
    (tmp_path / "engine").chmod(0o755)
    extra = Extra("Engine", "SLIPWAY_NO_PYTHON", ("no_library_of_slipway_s",), "engine", program="engine")
    assert find_python(extra, {"PATH": str(tmp_path)}) == python
    assert find_python(extra, {"PATH": "/nowhere"}) is None


@pytest.mark.parametrize(("version", "is_one"), [("0.32.0+cpu", True), ("0.32.0", False)])
def test_a_build_for_processors_says_so_in_its_version(tmp_path: Path, version: str, is_one: bool) -> None:
    python = make_python(tmp_path, "vllm", version=version)
    assert is_built_for_processors(python, VLLM) is is_one
