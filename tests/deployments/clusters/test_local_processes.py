"""What the local cluster leaves alive, and what it brings back, however its processes are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from deployments.clusters.base import InstancePhase
from deployments.clusters.local import folder as files
from deployments.clusters.local import stop_all
from deployments.clusters.local.backend import LocalCluster, start_shim
from deployments.clusters.local.processes import boot_id, find_process, is_alive
from tests.deployments.clusters.looking import (
    folder_of,
    kill_shim,
    processes_of,
    programs_of,
    shims_of,
    state_of,
)
from tests.deployments.clusters.workloads import (
    HTTP_SERVER,
    answers,
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
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these tests read /proc")


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
