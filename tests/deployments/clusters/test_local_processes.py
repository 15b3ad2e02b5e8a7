"""What the local cluster leaves alive, and what it brings back, however its processes are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from deployments.clusters.base import InstancePhase
from deployments.clusters.local import folder as files
from deployments.clusters.local import stop_all
from deployments.clusters.local.backend import LocalCluster, start_shim
from deployments.clusters.local.processes import boot_id, find_process, is_alive
from tests.deployments.clusters.conftest import environment_of, processes_of
from tests.deployments.clusters.workloads import (
    HTTP_SERVER,
    accepts,
    answers,
    lines_of,
    settle,
    spec_of,
    the_one,
    wait_for_line,
    wait_for_phase,
    workload,
)
from tests.waiting import wait_until

#: A program with a child in its group, and one that left it and says nothing any more.
FAMILY = "sleep 1000 & setsid sleep 1000 >/dev/null 2>&1 & setsid -f sleep 1000; echo ready; wait"
BACKGROUND = sys.platform == "linux"
pytestmark = pytest.mark.skipif(not BACKGROUND, reason="these tests read /proc")


def folder_of(cluster: LocalCluster, name: str, uid: str = "u1") -> Path:
    return cluster.root / uid / name


def state_of(cluster: LocalCluster, name: str, uid: str = "u1") -> files.State:
    return files.find_state(str(folder_of(cluster, name, uid)))


def programs_of(data_dir: Path) -> list[str]:
    return [line for line in processes_of(data_dir) if "shim.py" not in line]


def shims_of(data_dir: Path) -> list[str]:
    return [line for line in processes_of(data_dir) if "shim.py" in line]


def kill_shim(cluster: LocalCluster, name: str) -> None:
    """Returns when the cluster has noticed."""
    os.kill(state_of(cluster, name)["shim_pid"], signal.SIGKILL)
    wait_until(lambda: not files.is_locked(str(folder_of(cluster, name))), "the end of the shim")


def test_a_killed_shim_takes_its_program_along_and_apply_brings_both_back(local: LocalCluster, data_dir: Path) -> None:
    wanted = workload(HTTP_SERVER)
    name = settle(local, wanted).instances[0].name
    before = state_of(local, name)

    kill_shim(local, name)
    wait_until(lambda: not is_alive(before["program_pid"], before["program_start"]), "the end of the program")
    assert the_one(local).phase is InstancePhase.PENDING
    assert the_one(local).host == ""

    after = settle(local, wanted).instances[0]
    assert after.name == name
    assert after.restart_count == 1
    assert after.port == before["port"]
    wait_until(lambda: answers(the_one(local)), "an answer from the new program")
    assert len(processes_of(data_dir)) == 2


def test_what_a_killed_shim_leaves_is_killed_before_the_next_start(local: LocalCluster, data_dir: Path) -> None:
    wanted = workload(FAMILY)
    name = settle(local, wanted).instances[0].name
    wait_for_line(local, name, "ready")
    wait_until(lambda: len(programs_of(data_dir)) == 4, "the whole family")
    old = {int(line.split()[0]) for line in programs_of(data_dir)}

    kill_shim(local, name)
    settle(local, wanted)

    wait_until(lambda: len(programs_of(data_dir)) == 4, "the new family alone")
    assert not old & {int(line.split()[0]) for line in programs_of(data_dir)}


def test_a_killed_program_is_started_again_by_its_shim(local: LocalCluster) -> None:
    name = settle(local, workload(HTTP_SERVER)).instances[0].name
    before = state_of(local, name)

    os.kill(before["program_pid"], signal.SIGKILL)

    backoff = wait_for_phase(local, InstancePhase.BACKOFF)
    assert backoff.last_exit is not None
    assert backoff.last_exit.exit_code == -signal.SIGKILL
    again = wait_for_phase(local, InstancePhase.RUNNING)
    assert (again.restart_count, again.port) == (1, before["port"])
    assert state_of(local, name)["shim_pid"] == before["shim_pid"]


def has_ended(cluster: LocalCluster, run: int) -> bool:
    seen = the_one(cluster)
    return (seen.restart_count, seen.phase) == (run, InstancePhase.BACKOFF)


def test_delays_between_restarts_double(local: LocalCluster) -> None:
    local.apply(workload("exit 1"))
    name = the_one(local).name

    delays = []
    for run in range(3):
        wait_until(partial(has_ended, local, run), f"the end of run {run}")
        delays.append(state_of(local, name)["delay_seconds"])

    assert delays == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("ending", ["exit 1", "kill -9 $$", "exec sleep 1000"], ids=["fails", "killed", "retired"])
def test_grandchildren_that_left_the_group_do_not_survive(local: LocalCluster, data_dir: Path, ending: str) -> None:
    script = f"setsid sleep 1000 & setsid -f sh -c 'trap \"\" TERM; sleep 1000'; echo ready; {ending}"
    wanted = spec_of(script, metadata={"eas.termination_grace_period": 1}, runtime={"enable_crash_block": True})
    local.apply(workload(wanted))
    name = the_one(local).name
    wait_for_line(local, name, "ready")
    if ending.startswith("exec"):
        settle(local, workload(wanted, instances=0))
    else:
        wait_for_phase(local, InstancePhase.FAILED)

    wait_until(lambda: not programs_of(data_dir), "nothing of the program")


def test_a_retired_instance_with_a_dead_shim_is_cleared_up(local: LocalCluster, data_dir: Path) -> None:
    name = settle(local, workload(FAMILY)).instances[0].name
    wait_for_line(local, name, "ready")
    kill_shim(local, name)

    settle(local, workload(FAMILY, instances=0))

    assert processes_of(data_dir) == []


def test_a_shim_killed_while_its_instance_stops_holds_nothing_up(local: LocalCluster, data_dir: Path) -> None:
    slow = spec_of("trap '' TERM; echo ready; sleep 1000", metadata={"eas.termination_grace_period": 600})
    name = settle(local, workload(slow)).instances[0].name
    wait_for_line(local, name, "ready")
    local.apply(workload(slow, instances=0))

    kill_shim(local, name)

    settle(local, workload(slow, instances=0))
    assert processes_of(data_dir) == []


def test_another_object_adopts_what_runs(local: LocalCluster, data_dir: Path) -> None:
    wanted = workload(HTTP_SERVER)
    before = settle(local, wanted)

    other = LocalCluster(data_dir)
    other.apply(wanted)

    assert other.observe("u1") == before
    assert len(shims_of(data_dir)) == 1


def test_processes_that_apply_at_the_same_time_start_no_twins(local: LocalCluster, data_dir: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from deployments.clusters.local.backend import LocalCluster;"
        "from tests.deployments.clusters.workloads import spec_of, workload; sys.stdin.readline();"
        "LocalCluster(Path(sys.argv[1])).apply(workload(spec_of(instances=3)))"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", code, str(data_dir)], stdin=subprocess.PIPE, cwd=Path.cwd())
        for _ in range(3)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write(b"go\n")
        racer.stdin.flush()
    assert [racer.wait(60) for racer in racers] == [0, 0, 0]

    assert len(local.observe("u1").instances) == 3
    assert len(shims_of(data_dir)) == 3


def test_a_second_shim_for_a_folder_leaves_at_once(local: LocalCluster, data_dir: Path) -> None:
    name = settle(local, workload("exec sleep 1000")).instances[0].name

    assert start_shim(folder_of(local, name)).wait(30) == 3
    assert len(shims_of(data_dir)) == 1


def test_an_ended_instance_is_never_started_again(local: LocalCluster, data_dir: Path) -> None:
    name = settle(local, workload("exec sleep 1000")).instances[0].name
    settle(local, workload("exec sleep 1000", instances=0))

    assert start_shim(folder_of(local, name)).wait(30) == 4
    assert processes_of(data_dir) == []


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


def test_stop_all_leaves_nothing_and_the_next_apply_starts_anew(local: LocalCluster, data_dir: Path) -> None:
    wanted = workload(spec_of(FAMILY, 2))
    old = {one.name for one in settle(local, wanted).instances}
    settle(local, workload(spec_of("trap '' TERM; while :; do sleep 0.05; done"), uid="u2"))

    assert stop_all(data_dir, grace_seconds=1.0) == 3

    assert processes_of(data_dir) == []
    assert local.observe("u1").instances == ()
    assert stop_all(data_dir, grace_seconds=1.0) == 0
    assert not old & {one.name for one in settle(local, wanted).instances}


def test_stop_all_kills_shims_that_do_not_react(local: LocalCluster, data_dir: Path) -> None:
    name = settle(local, workload(FAMILY)).instances[0].name
    os.kill(state_of(local, name)["shim_pid"], signal.SIGSTOP)

    stop_all(data_dir, grace_seconds=0.1)

    assert processes_of(data_dir) == []


def test_stop_all_needs_no_django(data_dir: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from deployments.clusters.local import stop_all;"
        "assert stop_all(Path(sys.argv[1]), 1.0) == 0; assert 'django' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code, str(data_dir)], check=True)


def test_a_shim_that_gets_sigterm_alone_ends_its_program_and_is_brought_back(
    local: LocalCluster, data_dir: Path
) -> None:
    wanted = workload("exec sleep 1000")
    name = settle(local, wanted).instances[0].name

    os.kill(state_of(local, name)["shim_pid"], signal.SIGTERM)
    wait_until(lambda: not processes_of(data_dir), "the end of shim and program")

    assert settle(local, wanted).instances[0].name == name


def test_a_wish_to_end_counts_even_if_its_signal_is_lost(local: LocalCluster, data_dir: Path) -> None:
    name = settle(local, workload("exec sleep 1000")).instances[0].name

    files.request_stop(str(folder_of(local, name)), 0.0, 1.0)

    wait_until(lambda: not local.observe("u1").instances, "the end of the instance")
    assert processes_of(data_dir) == []


def test_a_state_from_before_a_reboot_confuses_nobody(local: LocalCluster, data_dir: Path) -> None:
    """After a reboot a stranger may have every number that the folder remembers."""
    wanted = workload("exec sleep 1000")
    name = settle(local, wanted).instances[0].name
    state = state_of(local, name)
    kill_shim(local, name)
    wait_until(lambda: not processes_of(data_dir), "the end of shim and program")
    stranger = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    row = find_process(stranger.pid)
    assert row is not None
    try:
        state.update(
            {"boot_id": "another", "shim_pid": stranger.pid, "program_pid": stranger.pid, "program_start": row.start}
        )
        files.write_json(str(folder_of(local, name) / files.STATE), state)

        after = settle(local, wanted).instances[0]

        assert after.name == name
        assert stranger.poll() is None
        assert state_of(local, name)["boot_id"] == boot_id()
    finally:
        stranger.kill()
        stranger.wait()


def test_an_instance_whose_launch_file_was_lost_is_replaced(local: LocalCluster, data_dir: Path) -> None:
    wanted = workload("exec sleep 1000")
    name = settle(local, wanted).instances[0].name
    kill_shim(local, name)
    wait_until(lambda: not processes_of(data_dir), "the end of shim and program")
    (folder_of(local, name) / files.LAUNCH).write_bytes(b"")

    assert settle(local, wanted).instances[0].name != name
    assert len(shims_of(data_dir)) == 1


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
    assert str(data_dir / "oss/models/qwen") in failed.last_exit.message

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


def test_the_shim_needs_the_standard_library_only(local: LocalCluster) -> None:
    shim = Path(sys.modules["deployments.clusters.local.backend"].__file__ or "").with_name("shim.py")
    code = f"import runpy, sys, json; runpy.run_path({str(shim)!r}); print(json.dumps(sorted(sys.modules)))"

    answer = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)

    ours = {name for name in json.loads(answer.stdout) if name.startswith("deployments")}
    strangers = (
        {name.partition(".")[0] for name in json.loads(answer.stdout)}
        - set(sys.stdlib_module_names)
        - {"deployments", "__main__"}
    )
    assert not strangers
    assert "deployments.spec" not in ours
