"""``make run`` before there is anything to run: what is missing is told in one line, and nothing is made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from bootstrap import PYTHON, Step, command_step, locked_lines
from console.environment import REPOSITORY
from tests.slipway_process import process_environment


def run_bootstrap(**variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "bootstrap.py", "run"],
        cwd=REPOSITORY,
        env=process_environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(("present", "missing"), [((), "Node.js"), (("node",), "npm")])
def test_a_missing_program_is_told_in_one_line(tmp_path: Path, present: tuple[str, ...], missing: str) -> None:
    for name in present:
        (tmp_path / name).symlink_to("/bin/true")
    done = run_bootstrap(PATH=str(tmp_path))
    assert done.returncode != 0
    (line,) = (done.stdout + done.stderr).splitlines()
    assert f"{missing} is missing" in line


def test_a_wrong_setting_is_told_before_anything_is_installed() -> None:
    done = run_bootstrap(SLIPWAY_PORT="x")
    assert done.returncode != 0
    (line,) = (done.stdout + done.stderr).splitlines()
    assert "SLIPWAY_PORT" in line


def test_a_python_with_nothing_installed_is_enough_to_begin() -> None:
    """-S: without site-packages."""
    command = [sys.executable, "-S", "-c", "import bootstrap; bootstrap.Environment.parse({})"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_missing_python_is_told_by_make_in_one_line() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "run", "PYTHON="], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    told = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(told) == 1
    assert "Python 3.11" in told[0]


def test_a_step_is_done_once_until_what_it_is_made_from_changes(tmp_path: Path) -> None:
    source = REPOSITORY / "requirements-model.lock"
    log = tmp_path / "log"
    step = Step(
        says="testing",
        stamp=tmp_path / "made" / "stamp",
        made_from=(source,),
        commands=(("sh", "-c", f"echo done >> {log}"),),
        cure="",
    )
    step.do_if_needed()
    step.do_if_needed()
    assert log.read_text() == "done\n"
    step.stamp.write_text("made from something else")
    step.do_if_needed()
    assert log.read_text() == "done\ndone\n"


def test_the_installer_itself_is_installed_by_hash() -> None:
    lines = locked_lines("uv").splitlines()
    assert lines[0].startswith("uv==")
    assert all("--hash=sha256:" in line for line in lines[1:])
    assert len(lines) > 1


def test_the_set_up_gives_the_command_without_fetching_anything(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    (command,) = command_step().commands
    own = [str(python) if part == str(PYTHON) else part for part in command]
    subprocess.run([*own, "--offline"], cwd=REPOSITORY, check=True, capture_output=True)
    done = subprocess.run(
        [python.with_name("slipway"), "--version"],
        cwd=tmp_path,
        env={"PYTHONPATH": sysconfig.get_path("purelib")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("slipway 0.1.0\n", "")
