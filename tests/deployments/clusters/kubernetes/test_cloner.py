"""The program that clones a repository, against git's own server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.environment import REPOSITORY
from tests.deployments.clusters.kubernetes.git_server import PASSWORD, Repository, git_server


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    with git_server(tmp_path_factory.mktemp("git")) as found:
        yield found


def clone(url: str, target: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deployments.clusters.kubernetes.cloner", f"--repo={url}", f"--target={target}"]
    environment = {"PATH": os.environ["PATH"], "TMPDIR": str(target.parent), **variables}
    return subprocess.run(
        [*command, *words], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_newest_commit_of_the_main_branch_is_there(repository: Repository, tmp_path: Path) -> None:
    done = clone(repository.url, tmp_path / "in")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "in/model.txt").read_text() == "two"
    assert (tmp_path / "in/model.txt").stat().st_mode & 0o777 == 0o666


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--branch=other",), "aside"),
        (("--branch=v1",), "one"),
        (("--commit={first}",), "one"),
        (("--commit={short}",), "one"),
        (("--branch=other", "--commit={short}"), "one"),
        (("--commit={aside_short}",), "aside"),
    ],
)
def test_a_branch_a_tag_and_a_commit_are_found(
    repository: Repository, tmp_path: Path, words: tuple[str, ...], text: str
) -> None:
    known = {"first": repository.first, "short": repository.first[:8], "aside_short": repository.aside[:8]}
    done = clone(repository.url, tmp_path / "in", *(word.format(**known) for word in words))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "in/model.txt").read_text() == text


def test_running_it_again_brings_the_folder_to_what_is_wanted(repository: Repository, tmp_path: Path) -> None:
    clone(repository.url, tmp_path / "in")
    (tmp_path / "in/model.txt").write_text("changed by hand")
    (tmp_path / "in/extra").write_text("left behind")
    assert clone(repository.url, tmp_path / "in", "--branch=other").returncode == 0
    assert (tmp_path / "in/model.txt").read_text() == "aside"
    assert not (tmp_path / "in/extra").exists()


def test_a_private_repository_takes_the_password_and_shows_it_nowhere(repository: Repository, tmp_path: Path) -> None:
    refused = clone(repository.private_url, tmp_path / "in", GIT_USERNAME="robot", GIT_PASSWORD="wrong")
    assert refused.returncode == 1
    assert "Authentication failed" in refused.stderr
    done = clone(repository.private_url, tmp_path / "in", GIT_USERNAME="robot", GIT_PASSWORD=PASSWORD)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "in/model.txt").read_text() == "two"
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert PASSWORD.encode() not in b"".join(kept)
    assert PASSWORD not in done.stdout + done.stderr


def test_a_repository_and_a_branch_that_are_not_there_are_told(repository: Repository, tmp_path: Path) -> None:
    assert "not found" in clone(repository.url.replace("model", "absent"), tmp_path / "a").stderr
    failed = clone(repository.url, tmp_path / "b", "--branch=absent")
    assert failed.returncode == 1
    assert "couldn't find remote ref absent" in failed.stderr
    assert failed.stdout.splitlines()[-1] == "slipway: the repository could not be cloned."


def test_an_address_that_runs_programs_is_refused(tmp_path: Path) -> None:
    failed = clone("ext::sh -c touch% " + str(tmp_path / "ran"), tmp_path / "in")
    assert failed.returncode == 1
    assert not (tmp_path / "ran").exists()
