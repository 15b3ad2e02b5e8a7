"""A kubeconfig that names no cluster is told when Slipway starts, and not only once somebody looks at the cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from console.environment import REPOSITORY, Environment, EnvironmentError_
from tests.slipway_process import process_environment


def problems_of(**variables: str) -> list[str]:
    with pytest.raises(EnvironmentError_) as caught:
        Environment.parse({"SLIPWAY_CLUSTER": "kubernetes", **variables})
    return caught.value.problems


def write(path: Path, *contexts: str, current: str = "", cluster: str = "here") -> Path:
    entries = [{"name": name, "context": {"cluster": cluster, "user": "me"}} for name in contexts]
    config: dict[str, Any] = {"clusters": [{"name": "here", "cluster": {}}], "contexts": entries}
    path.write_text(yaml.safe_dump(config | ({"current-context": current} if current else {})))
    return path


def test_a_file_that_is_not_there_is_told_with_the_setting_and_the_cure(tmp_path: Path) -> None:
    (problem,) = problems_of(KUBECONFIG=f"{tmp_path}/none")
    assert problem == f"KUBECONFIG='{tmp_path}/none' is no file. Use the path of a file that kubectl can use."
    assert "is no file" in problems_of(KUBECONFIG=str(tmp_path))[0]


def test_without_the_setting_the_usual_file_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (problem,) = problems_of()
    assert problem.startswith("KUBECONFIG is not set, and there is no ~/.kube/config")
    (tmp_path / ".kube").mkdir()
    write(tmp_path / ".kube" / "config", "a", current="a")
    assert Environment.parse({"SLIPWAY_CLUSTER": "kubernetes"}).kubernetes.kubeconfig == ""


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe\x00", "cannot be read: it is no text"),
        (b"a: [", "is no YAML"),
        (b"", "is no kubeconfig"),
        (b"- a", "is no kubeconfig"),
        (b"contexts: {}", "names no context"),
    ],
)
def test_a_file_of_something_else_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "config").write_bytes(content)
    (problem,) = problems_of(KUBECONFIG=f"{tmp_path}/config")
    assert problem.startswith(f"KUBECONFIG='{tmp_path}/config' {told}")


def test_a_context_that_the_file_lacks_is_told_with_those_it_has(tmp_path: Path) -> None:
    named = str(write(tmp_path / "config", "b", "a", current="a"))
    (problem,) = problems_of(KUBECONFIG=named, SLIPWAY_KUBE_CONTEXT="c")
    assert problem == "SLIPWAY_KUBE_CONTEXT='c' is no context of the kubeconfig. Use one of: a, b."
    write(tmp_path / "config", "b", "a")
    assert "has no current context. Set SLIPWAY_KUBE_CONTEXT to one of: a, b." in problems_of(KUBECONFIG=named)[0]
    write(tmp_path / "config", "b", "a", current="gone")
    assert "has no context 'gone', its current one." in problems_of(KUBECONFIG=named)[0]
    write(tmp_path / "config", "a", current="a", cluster="there")
    assert "has no cluster 'there', which its context 'a' names." in problems_of(KUBECONFIG=named)[0]


def test_several_files_count_as_one_and_those_that_are_not_there_do_not_count(tmp_path: Path) -> None:
    write(tmp_path / "one", "a", current="a")
    write(tmp_path / "two", "b")
    environment = {"SLIPWAY_CLUSTER": "kubernetes", "KUBECONFIG": f"{tmp_path}/one:{tmp_path}/none:{tmp_path}/two"}
    for context in ("a", "b"):
        assert Environment.parse({**environment, "SLIPWAY_KUBE_CONTEXT": context}).kubernetes.context == context


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    told = problems_of(KUBECONFIG=f"{tmp_path}/none", SLIPWAY_PORT="x")
    assert [problem.partition("=")[0] for problem in told] == ["SLIPWAY_PORT", "KUBECONFIG"]


def test_the_local_cluster_and_a_pod_need_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Environment.parse({"KUBECONFIG": f"{tmp_path}/none"})
    Environment.parse({"SLIPWAY_CLUSTER": "kubernetes", "KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBECONFIG": ""})


@pytest.mark.parametrize("command", [["-m", "console.supervisor"], ["manage.py", "check"], ["bootstrap.py", "run"]])
def test_nothing_starts_with_it_and_one_line_says_why(tmp_path: Path, command: list[str]) -> None:
    variables = {"SLIPWAY_CLUSTER": "kubernetes", "KUBECONFIG": "/no/such/file", "SLIPWAY_DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env=process_environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    (line,) = (done.stdout + done.stderr).splitlines()
    assert "KUBECONFIG='/no/such/file' is no file." in line
    assert list(tmp_path.iterdir()) == []
