"""From a document to what a shim runs: the whole launch, compared."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deployments.clusters.base import ClusterError
from deployments.clusters.local.launch import (
    LAUNCHERS,
    PROJECT,
    Place,
    find_launchers,
    render_command,
    render_launch,
)
from deployments.clusters.local.program import with_port
from deployments.clusters.programs import image_name
from deployments.spec import ServiceSpec
from tests.deployments.clusters.workloads import spec_of, workload

PLACE = Place(Path("/d/instances/u1/chat-r3-ab12"), Path("/d/oss"))
DOCUMENT: dict[str, Any] = {
    "metadata": {"name": "chat", "instance": 2, "cpu": 1.5, "memory": 2048, "eas.termination_grace_period": 7},
    "labels": {"ServiceEngineType": "chat-llm"},
    "containers": [
        {
            "image": "registry.example/pai-eas/chat-llm-webui:3.0",
            "script": "python webui/webui_server.py --port=8000 --model-path=/model_dir",
            "port": 8000,
            "env": [{"name": "CACHE", "value": "/model_dir/cache"}],
        }
    ],
    "storage": [{"mount_path": "/model_dir", "oss": {"path": "oss://models/smol/"}}],
    "runtime": {"enable_crash_block": True},
}


def test_the_whole_launch_of_a_recipe() -> None:
    launch = render_launch(
        workload(ServiceSpec.parse(DOCUMENT), revision=3, restart_token="t"), PLACE, {"PATH": "/bin", "SECRET": "x"}
    )

    assert launch.pop("created_at") > 0  # type: ignore[misc]
    assert launch.pop("ports_folder").endswith(f"slipway-ports-{os.getuid()}")  # type: ignore[misc]
    folder = str(PLACE.folder)
    assert launch == {
        "service_uid": "u1",
        "service_name": "chat",
        "revision": 3,
        "restart_token": "t",
        "argv": ["/bin/sh", "-c", "python webui/webui_server.py --port=$PORT --model-path=/d/oss/models/smol", "sh"],
        "port_from": 4,
        "env": {
            "PATH": f"{LAUNCHERS}/chat-llm-webui:/bin",
            "HOME": f"{folder}/work",
            "PWD": f"{folder}/work",
            "TMPDIR": f"{folder}/tmp",
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "2",
            "CACHE": "/d/oss/models/smol/cache",
            "SLIPWAY_INSTANCE": folder,
            "SLIPWAY_PYTHON": sys.executable,
            "SLIPWAY_PROJECT": str(PROJECT),
        },
        "folders": [{"path": "/d/oss/models/smol", "mount_path": "/model_dir", "source": "oss://models/smol/"}],
        "memory_mib": 2048,
        "cpu_cores": 1.5,
        "crash_block": True,
        "grace_seconds": 7,
    }


@pytest.mark.parametrize(
    ("container", "argv", "port_from"),
    [
        ({"script": "a --port 8000; b --port=8001"}, ["/bin/sh", "-c", "a --port $PORT; b --port=8001", "sh"], 4),
        ({"script": "a --port '8000' --port 80000"}, ["/bin/sh", "-c", "a --port $PORT --port 80000", "sh"], 4),
        ({"script": "a $1", "args": ["--port=8000"]}, ["/bin/sh", "-c", "a $1", "sh", "--port=$PORT"], 4),
        ({"command": "a --port 8000 'b c'"}, ["a", "--port", "$PORT", "b c"], 0),
        ({"command": ["a", "b c"], "args": ["--port", "8000"]}, ["a", "b c", "--port", "$PORT"], 0),
        ({"command": "a 8000"}, ["a", "8000"], 0),
    ],
)
def test_commands(container: dict[str, Any], argv: list[str], port_from: int) -> None:
    spec = spec_of(container={"script": None, "port": 8000} | container)

    assert render_command(spec.container, ()) == (argv, port_from)


@pytest.mark.parametrize("command", ["a 'b", "   "])
def test_an_incomplete_command_is_an_error(command: str) -> None:
    spec = spec_of(container={"script": None, "command": command})

    with pytest.raises(ClusterError) as problem:
        render_command(spec.container, ())

    assert problem.value.code == "command_invalid"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$PORT", "7"),
        ("${PORT}", "7"),
        ("$LISTENING_PORT", "7"),
        ("http://h:$PORT/${LISTENING_PORT}x", "http://h:7/7x"),
        ("$PORTAL $PORT_2 ${PORTS}", "$PORTAL $PORT_2 ${PORTS}"),
        ("$PORT$PORT", "77"),
    ],
)
def test_the_port_in_arguments_without_a_shell(text: str, expected: str) -> None:
    assert with_port(text, 7) == expected


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("vllm", "vllm"),
        ("vllm:0.14.0-gpu", "vllm"),
        ("host:5000/a/chat-llm-webui:3.0", "chat-llm-webui"),
        ("a/b@sha256:0123", "b"),
    ],
)
def test_an_image_is_known_by_the_last_part_of_its_repository(image: str, name: str) -> None:
    assert image_name(image) == name


def test_images_without_launchers_run_with_the_path_of_the_system() -> None:
    assert find_launchers("python:3.11") is None
    assert find_launchers("common.sh:1") is None


def run_launcher(tmp_path: Path, *words: str, lacks_metadata: bool = False) -> subprocess.CompletedProcess[str]:
    """The launcher as an instance would, with an interpreter that tells what it was asked."""
    told = tmp_path / "python"
    fails = '[ "${2#from importlib}" = "$2" ] || exit 1; ' if lacks_metadata else ""
    told.write_text(f'#!/bin/sh\n{fails}echo "$@"; echo "$PYTHONPATH"\n')
    told.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin", "SLIPWAY_PYTHON": str(told), "SLIPWAY_PROJECT": "/project"}
    return subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["python", "webui/webui_server.py", "--a", "b c"], "-P -m inference_gateway.runtime.webui_server --a b c"),
        (["python3", "api/api_server.py"], "-P -m inference_gateway.runtime.api_server"),
        (["python", "-c", "print(1)"], "-c print(1)"),
        (["python"], ""),
    ],
)
def test_launchers_of_chat_llm(tmp_path: Path, words: list[str], said: str) -> None:
    answer = run_launcher(tmp_path, str(LAUNCHERS / "chat-llm-webui" / words[0]), *words[1:])

    assert answer.stdout.splitlines() == [said, "/project" if "-P" in said else ""]


def test_launchers_of_vllm(tmp_path: Path) -> None:
    answer = run_launcher(tmp_path, str(LAUNCHERS / "vllm" / "vllm"), "serve", "m")

    assert answer.stdout.splitlines()[0] == "-m vllm.entrypoints.cli.main serve m"


def test_a_build_of_vllm_by_another_name_is_served_by_its_module(tmp_path: Path) -> None:
    words = (str(LAUNCHERS / "vllm" / "vllm"), "serve", "m", "--port", "1")
    answer = run_launcher(tmp_path, *words, lacks_metadata=True)
    assert answer.stdout.splitlines()[0] == "-m vllm.entrypoints.openai.api_server --model m --port 1"
    flag_first = run_launcher(tmp_path, words[0], "serve", "--port", "1", "m", lacks_metadata=True)
    assert flag_first.stdout.splitlines()[0] == "-m vllm.entrypoints.cli.main serve --port 1 m"
