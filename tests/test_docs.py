"""The documentation leads nowhere that is not there."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from console.environment import REPOSITORY, Environment
from console.supervisor.layout import make_part_specs
from tests.parts import documented_commands

PAGES = [REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_and_picture_of_a_page_is_there(page: Path) -> None:
    targets = [page.parent / target for target in LINK.findall(page.read_text())]
    assert [target for target in targets if not target.exists()] == []


def test_the_commands_for_several_servers_are_the_supervisor_s_own() -> None:
    in_cluster = {"SLIPWAY_CLUSTER": "kubernetes", "KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    environment = Environment.parse({"REDIS_URL": "redis://127.0.0.1:6379/0", **in_cluster})
    specs = make_part_specs(environment, {}, Path("/log"), listener=3)
    assert [spec.name for spec in specs] == ["server", "worker", "beat", "watcher"]
    # The supervisor listens itself, and has one worker, whose name it knows.
    own = {"--fd", "3", "--hostname", "slipway@localhost"}
    theirs = {"--host", "${SLIPWAY_HOST:-127.0.0.1}", "--port", "${SLIPWAY_PORT:-8000}", "slipway-$$@%h", "--hostname"}
    for spec in specs:
        documented = shlex.split(documented_commands(spec.name))[1:]
        assert [word for word in documented if word not in theirs] == [
            word for word in spec.command[1:] if word not in own
        ]


CHECKS = REPOSITORY / "docs" / "checks.md"
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_every_check_of_the_console_names_tests_that_are_there() -> None:
    rows = re.findall(r"^\| (\d+) \| .+ \| (.+) \|$", CHECKS.read_text(), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 31))
    named = {number: NAMED_TEST.findall(cell) for number, cell in rows}
    assert [number for number, tests in named.items() if not tests] == []
    missing = [
        f"{number}: {file}::{name}"
        for number, tests in named.items()
        for file, name in tests
        if name not in functions_of(REPOSITORY / file)
    ]
    assert missing == []


def functions_of(file: Path) -> set[str]:
    """The names of the module's own functions; none where there is no such file."""
    if not file.exists():
        return set()
    return {one.name for one in ast.parse(file.read_text()).body if isinstance(one, ast.FunctionDef)}
