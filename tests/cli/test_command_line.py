"""The command line without a Slipway: what is wrong is one line on stderr, and a code for scripts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from console.cli import profiles
from console.cli.__main__ import main
from console.cli.app import slipway
from console.cli.profiles import Profile, Profiles
from console.environment import CLIENT_VARIABLES, REPOSITORY, SETTINGS, Environment
from tests.ports import free_port

VERBS = (
    "create", "modify", "ls", "desc", "stop", "start", "restart", "release", "delete", "logs", "events", "version",
    "chat", "invoke", "w",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _nobody_elses_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in CLIENT_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def commands(group: click.Group, path: str = "slipway") -> Iterator[tuple[str, click.Command]]:
    yield path, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def options_of(command: click.Command) -> list[click.Option]:
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["ls", "--nonsense"], 2),
        (["nonsense"], 2),
        (["desc"], 2),
        (["create"], 2),
        (["create", "/nowhere.json"], 2),
        (["modify", "chat"], 2),
        (["release", "chat"], 2),
        (["release", "chat", "--weight", "1001"], 2),
        (["release", "chat", "--state", "on"], 2),
        (["ls"], 2),
        (["ls", "-o", "xml"], 2),
        (["--profile", "none", "ls"], 2),
        (["ls", "--profile", "none"], 2),
        (["--url", "nonsense", "--token", "x", "ls"], 2),
        (["--token", "a b", "ls"], 2),
        (["logs", "chat", "-f", "--previous"], 2),
        (["config"], 2),
        (["config", "rm", "none"], 2),
    ],
)
def test_what_is_wrong_is_one_line_and_a_code(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert line.startswith("slipway: ")


def test_an_address_where_nobody_answers_has_its_own_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", f"http://127.0.0.1:{free_port()}", "--token", "x", "ls"]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("(unreachable)")


def test_a_profile_may_be_named_behind_the_verb_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here, there = (Profile(f"http://127.0.0.1:{free_port()}", "x") for _ in range(2))
    known = Profiles().with_profile("there", there).with_profile("here", here)
    profiles.save(tmp_path / "slipway" / "profiles.ini", known)
    main(["ls"])
    assert here.url in capsys.readouterr().err
    main(["--profile", "here", "ls", "--profile", "there"])
    assert there.url in capsys.readouterr().err


@pytest.mark.parametrize("verb", [*VERBS, "list", "describe", "showworkers"])
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert "Usage: slipway" in capsys.readouterr().out


def test_the_server_knows_the_variables_of_the_command_line() -> None:
    read = {str(option.envvar) for _, command in commands(slipway) for option in options_of(command) if option.envvar}
    settings = {setting.name for setting in SETTINGS}
    assert read - settings == CLIENT_VARIABLES
    Environment.parse(dict.fromkeys(CLIENT_VARIABLES, "x"))


def test_the_documentation_has_every_verb_and_option() -> None:
    text = (REPOSITORY / "docs" / "cli.md").read_text()
    missing = [
        f"{path} {option.opts[-1]}"
        for path, command in commands(slipway)
        for option in options_of(command)
        if f"`{option.opts[-1]}" not in text and not set(option.opts) & {"--help"}
    ]
    assert missing == []
    assert [path for path, command in commands(slipway) if path not in text] == []


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_completion_script_is_valid_for_its_shell(shell: str) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "console.cli", "completion", shell], cwd=REPOSITORY, capture_output=True, check=True
    ).stdout
    assert b"_SLIPWAY_COMPLETE" in printed
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=printed, check=True)


def test_completing_without_a_server_completes_nothing_and_says_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "console.cli"],
        cwd=REPOSITORY,
        env={
            "_SLIPWAY_COMPLETE": "bash_complete",
            "COMP_WORDS": "slipway desc ",
            "COMP_CWORD": "2",
            "HOME": "/nowhere",
        },
        capture_output=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == (b"", b"")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    script = f"{sys.executable} -m console.cli completion bash | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stderr == ""
