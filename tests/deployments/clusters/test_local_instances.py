"""What the program of a local instance finds: environment, port, folders, limits; and what is kept of it."""

from __future__ import annotations

import os
import socket
import sys
import threading
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deployments.clusters import get_cluster
from deployments.clusters.base import ClusterError, InstancePhase, LogQuery
from deployments.clusters.local import folder as files
from deployments.clusters.local import stop_all
from deployments.clusters.local.backend import DRAIN_SECONDS, LocalCluster
from tests.deployments.clusters.looking import (
    environment_of,
    folder_of,
    state_of,
)
from tests.deployments.clusters.workloads import (
    HTTP_SERVER,
    accepts,
    lines_of,
    settle,
    spec_of,
    the_one,
    wait_for_line,
    wait_for_phase,
    workload,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these tests read /proc")


def test_an_instance_has_a_clean_environment_and_no_open_descriptors(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLIPWAY_SECRET_KEY", "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "PYTHONPATH", "MY_TOKEN"):
        monkeypatch.setenv(name, "secret")
    local = LocalCluster(data_dir)
    script = "ls /proc/self/fd; echo cwd $(pwd); echo home $HOME tmp $TMPDIR lang $LANG; exec sleep 1000"
    variables = {"env": [{"name": "GREETING", "value": "good morning"}, {"name": "PORT", "value": "1"}]}
    instance = settle(local, workload(spec_of(script, container=variables))).instances[0]
    wait_until(lambda: len(lines_of(local, instance.name)) == 6, "six lines")
    folder = folder_of(local, instance.name)

    environment = dict(
        part.split("=", 1) for part in environment_of(state_of(local, instance.name)["program_pid"]).split("\0") if part
    )

    lines = lines_of(local, instance.name)
    assert lines[:4] == ["0", "1", "2", "3"]  # 3 is the folder that ls reads
    assert lines[4:] == [f"cwd {folder}/work", f"home {folder}/work tmp {folder}/tmp lang C.UTF-8"]
    assert environment["PORT"] == environment["LISTENING_PORT"] == str(instance.port)
    assert environment["GREETING"] == "good morning"
    assert "secret" not in environment.values()
    assert {name for name in environment if name.startswith("SLIPWAY_")} == {
        "SLIPWAY_INSTANCE", "SLIPWAY_PYTHON", "SLIPWAY_PROJECT",
    }  # fmt: skip


def test_a_mounted_folder_that_is_not_there_is_named_and_waited_for(local: LocalCluster, data_dir: Path) -> None:
    storage = [{"mount_path": "/model_dir", "oss": {"path": "oss://models/qwen/"}}]
    local.apply(workload(spec_of("cat /model_dir/name; exec sleep 1000", storage=storage)))

    failed = wait_for_phase(local, InstancePhase.BACKOFF)
    assert failed.last_exit is not None
    assert failed.last_exit.reason == "StartError"
    assert "oss://models/qwen/" in failed.last_exit.message
    assert failed.last_exit.cause == "FolderMissing"
    # Everybody who may see the service reads the message; where the folder lies is for those who may read the log.
    assert str(data_dir) not in failed.last_exit.message
    assert any(str(data_dir / "oss/models/qwen") in line for line in failed.log_tail)

    (data_dir / "oss/models/qwen").mkdir(parents=True)
    (data_dir / "oss/models/qwen/name").write_text("found\n")
    wait_for_line(local, failed.name, "found")


def test_an_empty_folder_belongs_to_the_instance_and_goes_with_it(local: LocalCluster) -> None:
    storage = [{"mount_path": "/scratch", "empty_dir": {"medium": "memory"}}]
    spec = spec_of("echo kept > /scratch/file; cat /scratch/file; exec sleep 1000", storage=storage)
    name = settle(local, workload(spec)).instances[0].name
    wait_for_line(local, name, "kept")

    settle(local, workload(spec, instances=0))

    assert sorted(path.name for path in folder_of(local, name).iterdir()) == [
        "launch.json", "lock", "log", "shim.log", "state.json", "stop.json",
    ]  # fmt: skip


def test_a_command_without_a_shell_gets_its_port(local: LocalCluster) -> None:
    command = ["python3", "-c", "import sys, time; print(sys.argv[1:], flush=True); time.sleep(1000)"]
    words = {
        "script": None,
        "command": command,
        "args": ["--port", "8000", "${PORT}", "$PORTAL", "$HOME"],
        "port": 8000,
    }
    instance = settle(local, workload(spec_of(container=words))).instances[0]

    wait_for_line(local, instance.name, f"['--port', '{instance.port}', '{instance.port}', '$PORTAL', '$HOME']")


def test_cores_are_a_ceiling(local: LocalCluster) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this machine has one core")
    instance = settle(local, workload(spec_of(metadata={"cpu": 0.5}))).instances[0]

    program = state_of(local, instance.name)["program_pid"]

    assert len(os.sched_getaffinity(program)) == 1


def test_memory_shared_by_forks_is_counted_once(local: LocalCluster) -> None:
    """A parent of 60 MiB with three forks that share its pages is far from 200 MiB."""
    code = (
        "import os, time; x = b'1' * (60 << 20); [os.fork() or time.sleep(1000) for _ in range(3)];"
        "print('ready', flush=True); time.sleep(1000)"
    )
    wanted = workload(spec_of(f'exec python3 -c "{code}"', metadata={"memory": 200}))
    name = settle(local, wanted).instances[0].name
    wait_for_line(local, name, "ready")

    looked_at = wait_until(lambda: cpu_ticks(state_of(local, name)["shim_pid"]), "the shim's ticks")
    wait_until(lambda: cpu_ticks(state_of(local, name)["shim_pid"]) > looked_at, "looks at the memory")
    assert the_one(local).phase is InstancePhase.RUNNING


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_only_the_last_ended_instances_are_kept(local: LocalCluster) -> None:
    wanted = workload("exec sleep 1000")
    started = []
    for _ in range(12):
        started.append(settle(local, wanted).instances[0].name)
        stop_all(local.root.parent, 0.5)
    last = settle(local, wanted).instances[0].name

    assert local.list_logs("u1") == (last, *reversed(started[2:]))


def test_a_port_that_a_stranger_took_between_two_programs_is_given_up(local: LocalCluster) -> None:
    local.apply(workload("exit 1"))
    before = wait_for_phase(local, InstancePhase.BACKOFF)

    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", before.port))
        stranger.listen()
        wait_until(lambda: the_one(local).port != before.port, "another port")


def test_what_is_refused_is_not_started_either(data_dir: Path) -> None:
    """A service from a time with looser settings keeps being wanted."""
    wanted = workload("exec sleep 1000")
    strict = LocalCluster(data_dir, commands_policy="recipes")

    with pytest.raises(ClusterError) as problem:
        strict.apply(wanted)

    assert problem.value.code == "command_not_allowed"
    assert strict.observe("u1").instances == ()


def test_many_instances_start_in_several_steps(local: LocalCluster) -> None:
    wanted = workload(spec_of(instances=25))

    local.apply(wanted)
    assert len(local.observe("u1").instances) == 20
    local.apply(wanted)
    assert len(local.observe("u1").instances) == 25


def test_a_second_lies_between_the_wish_to_end_and_sigterm(local: LocalCluster) -> None:
    """In it gateways drop the instance from routing."""
    code = "import signal; signal.signal(15, print); print('ready'); signal.pause(); print('asked')"
    script = f'exec python3 -u -c "{code}"'
    name = settle(local, workload(script)).instances[0].name
    wait_for_line(local, name, "ready")

    settle(local, workload(script, instances=0))

    wish = files.find_stop(str(folder_of(local, name)))
    assert wish is not None
    stamps = [text.partition(" ")[0] for _, text in local.read_log("u1", LogQuery(name)).lines]
    asked_at = datetime.fromisoformat(stamps[-1]).timestamp()
    assert asked_at - wish["requested_at"] >= DRAIN_SECONDS - 0.001  # the log's times are cut to milliseconds


def test_the_settings_build_the_backend(settings: Any, data_dir: Path) -> None:
    settings.SLIPWAY_CLUSTER = "local"
    settings.SLIPWAY_DATA_DIR = data_dir
    settings.SLIPWAY_LOCAL_COMMANDS = "recipes"

    cluster = get_cluster()

    assert isinstance(cluster, LocalCluster)
    recipe = {
        "image": "chat-llm-webui:3.0",
        "script": "python api/api_server.py --port=8000 --model-path=SmolLM2-135M-Instruct",
        "port": 8000,
    }
    assert cluster.refuse(spec_of(container=recipe)) is None
    refusal = cluster.refuse(spec_of("sleep 1"))
    assert refusal is not None
    assert refusal.code == "command_not_allowed"


def test_thirty_instances_at_once_get_thirty_ports(local: LocalCluster) -> None:
    wanted = [workload(spec_of(HTTP_SERVER, 3), uid=f"u{number}") for number in range(10)]
    threads = [threading.Thread(target=local.apply, args=(each,)) for each in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    seen = [one for each in wanted for one in local.observe(each.service_uid).instances]
    wait_until(
        lambda: all(one.port for each in wanted for one in local.observe(each.service_uid).instances), "a port for each"
    )
    ports = {one.port for each in wanted for one in local.observe(each.service_uid).instances}
    assert len(seen) == len(ports) == 30
    for port in ports:
        wait_until(partial(accepts, port), f"a program on port {port}")
