"""Imports go one way: console → inference_gateway → deployments. And what must not load Django does not."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.environment import REPOSITORY

MAY_IMPORT = {
    "deployments": {"deployments"},
    "inference_gateway": {"inference_gateway", "deployments"},
    "console": {"console", "inference_gateway", "deployments"},
}


def imported_modules(file: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute module name) of every import in a file, wherever it stands."""
    package = file.relative_to(REPOSITORY).parent.parts
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            yield node.lineno, ".".join(filter(None, (above, node.module or "")))


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_go_one_way(package: str) -> None:
    files = sorted((REPOSITORY / package).rglob("*.py"))
    assert files
    wrong = [
        f"{file.relative_to(REPOSITORY)}:{line} imports {name}"
        for file in files
        for line, name in imported_modules(file)
        if (top := name.split(".")[0]) in (*MAY_IMPORT, "tests", "bench") and top not in MAY_IMPORT[package]
    ]
    assert wrong == []


def test_the_command_line_imports_nothing_of_the_server() -> None:
    files = sorted((REPOSITORY / "console" / "cli").rglob("*.py"))
    assert files
    own = (*MAY_IMPORT, "django", "rest_framework", "celery", "channels")
    wrong = [
        f"{file.relative_to(REPOSITORY)}:{line} imports {name}"
        for file in files
        for line, name in imported_modules(file)
        if name.split(".")[0] in own and not f"{name}.".startswith("console.cli.")
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "module",
    [
        "inference_gateway.runtime.webui_server",
        "inference_gateway.runtime.api_server",
        "deployments.clusters.local.shim",
        "deployments.clusters.local.stopping",
        "console.supervisor.supervisor",
        "console.cli.__main__",
    ],
)
def test_a_process_that_runs_without_the_console_loads_no_django(module: str) -> None:
    program = (
        f"import sys, {module}\n"
        "print(*sorted(name for name in sys.modules if name.split('.')[0] in ('django', 'celery', 'channels')))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_the_shim_needs_nothing_but_the_standard_library() -> None:
    program = (
        "import sys, deployments.clusters.local.shim\n"
        "known = sys.stdlib_module_names | {'deployments', '__main__'}\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules} - known))"
    )
    # -I -S: no site-packages, and the repository by its path alone.
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n{program}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
