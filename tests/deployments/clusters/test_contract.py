"""The contract of ``deployments.clusters.base``, against every backend."""

from __future__ import annotations

import re
import signal
from datetime import datetime

import pytest

from deployments.clusters.base import Cluster, InstancePhase, LogQuery, ServiceObservation
from tests.deployments.clusters.workloads import (
    HTTP_SERVER,
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

#: Of programs whose readiness the test decides, where a platform judges by itself, or whose logs nobody keeps here:
#: ``kubernetes/test_backend`` and ``test_kept_logs`` hold the same of pods.
local_only = pytest.mark.parametrize("cluster", ["local"], indirect=True)

PATIENT = """exec python3 -u -c "
import signal, sys
def leave(*_):
    print('asked')
    print('done')
    sys.exit()
signal.signal(signal.SIGTERM, leave)
print('ready')
while True:
    signal.pause()
" """


def programs(seen: ServiceObservation) -> set[tuple[str, datetime | None]]:
    """Which instance has run since when."""
    return {(one.name, one.started_at) for one in seen.instances}


def names(cluster: Cluster, uid: str = "u1") -> set[str]:
    return {instance.name for instance in cluster.observe(uid).instances}


def test_an_unknown_service_is_an_empty_observation(cluster: Cluster) -> None:
    seen = cluster.observe("unknown")

    assert (seen.instances, seen.leftovers) == ((), False)


def test_a_program_answers_at_the_address_of_its_instance(cluster: Cluster) -> None:
    settle(cluster, workload(HTTP_SERVER))

    instance = the_one(cluster)

    wait_until(lambda: answers(instance), "an answer from the program")
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", instance.name)
    assert instance.started_at is not None
    assert instance.restart_count == 0


def test_applying_the_same_twice_does_nothing_the_second_time(cluster: Cluster) -> None:
    wanted = workload(spec_of(instances=2))
    before = programs(settle(cluster, wanted))

    cluster.apply(wanted)

    assert programs(cluster.observe("u1")) == before


def test_scaling_neither_restarts_nor_replaces_what_runs(cluster: Cluster) -> None:
    before = programs(settle(cluster, workload(spec_of(instances=2))))

    after = programs(settle(cluster, workload(spec_of(instances=4))))

    assert before < after


@local_only
def test_scaling_down_keeps_the_ready_and_the_oldest(cluster: Cluster) -> None:
    first = settle(cluster, workload(spec_of(instances=1))).instances[0].name
    everyone = {one.name for one in settle(cluster, workload(spec_of(instances=3))).instances}
    ready = frozenset({first, min(everyone - {first})})

    settle(cluster, workload(spec_of(instances=2), ready=ready))
    assert names(cluster) == ready

    settle(cluster, workload(spec_of(instances=1), ready=ready))
    assert names(cluster) == {first}


@local_only
def test_an_update_keeps_the_old_instance_until_a_new_one_is_ready(cluster: Cluster) -> None:
    old = settle(cluster, workload("exec sleep 1000")).instances[0].name
    wanted = workload("exec sleep 1001", revision=2, ready=frozenset({old}))

    cluster.apply(wanted)
    cluster.apply(wanted)
    both = {one.name: (one.revision, one.phase) for one in cluster.observe("u1").instances}
    assert len(both) == 2
    assert both[old][1] is not InstancePhase.STOPPING

    (new,) = set(both) - {old}
    settle(cluster, workload("exec sleep 1001", revision=2, ready=frozenset({old, new})))
    assert names(cluster) == {new}


@local_only
def test_an_update_that_never_answers_leaves_the_old_instances_alone(cluster: Cluster) -> None:
    old = frozenset(one.name for one in settle(cluster, workload(spec_of(instances=2))).instances)
    broken = workload(spec_of("exit 3", instances=2), revision=2, ready=old)

    def has_failed_twice() -> bool:
        cluster.apply(broken)
        return any(one.restart_count for one in cluster.observe("u1").instances)

    wait_until(has_failed_twice, "the new revision failed again")
    kept = [one for one in cluster.observe("u1").instances if one.name in old]
    assert [one.phase for one in kept] == [InstancePhase.RUNNING] * 2


@local_only
def test_another_restart_token_replaces_every_instance(cluster: Cluster) -> None:
    old = settle(cluster, workload(spec_of(instances=2))).instances
    wanted = spec_of(instances=2)

    def is_replaced() -> bool:
        running = {one.name for one in cluster.observe("u1").instances if one.phase is InstancePhase.RUNNING}
        cluster.apply(workload(wanted, restart_token="again", ready=frozenset(running)))
        seen = cluster.observe("u1").instances
        return len(seen) == 2 and all(one.restart_token == "again" for one in seen)

    wait_until(is_replaced, "two instances of the new token")
    assert not names(cluster) & {one.name for one in old}


@local_only
def test_no_instances_wanted_retires_all_and_keeps_their_logs(cluster: Cluster) -> None:
    settle(cluster, workload("echo hello; exec sleep 1000"))
    instance = the_one(cluster).name
    wait_for_line(cluster, instance, "hello")

    settle(cluster, workload("echo hello; exec sleep 1000", instances=0))

    assert cluster.list_logs("u1") == (instance,)
    assert lines_of(cluster, instance) == ["hello"]


@local_only
def test_a_retired_instance_is_stopping_at_once_and_asked_a_second_later(cluster: Cluster) -> None:
    settle(cluster, workload(PATIENT))
    instance = the_one(cluster).name
    wait_for_line(cluster, instance, "ready")

    cluster.apply(workload(PATIENT, instances=0))

    assert the_one(cluster).phase is InstancePhase.STOPPING
    assert lines_of(cluster, instance) == ["ready"]
    wait_until(lambda: not cluster.observe("u1").instances, "the end of the instance")
    assert lines_of(cluster, instance) == ["ready", "asked", "done"]


@local_only
def test_a_program_that_will_not_end_is_killed_after_the_grace_period(cluster: Cluster) -> None:
    stubborn = spec_of(
        "trap '' TERM; echo ready; while :; do sleep 0.05; done", metadata={"eas.termination_grace_period": 1}
    )
    settle(cluster, workload(stubborn))
    wait_for_line(cluster, the_one(cluster).name, "ready")

    settle(cluster, workload(stubborn, instances=0))

    assert cluster.observe("u1").instances == ()


@local_only
def test_a_program_that_fails_is_started_again_with_its_end_on_record(cluster: Cluster) -> None:
    cluster.apply(workload("echo first words; echo oh no >&2; exit 3"))

    failed = wait_for_phase(cluster, InstancePhase.BACKOFF)

    assert failed.last_exit is not None
    assert (failed.last_exit.exit_code, failed.last_exit.reason) == (3, "Error")
    assert failed.retry_at is not None
    assert failed.log_tail == ("first words", "oh no")
    wait_until(lambda: the_one(cluster).restart_count >= 1, "another start")


def test_a_service_whose_program_ends_without_error_is_started_again(cluster: Cluster) -> None:
    cluster.apply(workload("exit 0"))

    done = wait_for_phase(cluster, InstancePhase.BACKOFF)

    assert done.last_exit is not None
    assert done.last_exit.reason == "Completed"


@local_only
def test_a_signal_that_killed_the_program_is_its_negative_exit_code(cluster: Cluster) -> None:
    cluster.apply(workload("kill -USR1 $$"))

    killed = wait_for_phase(cluster, InstancePhase.BACKOFF)

    assert killed.last_exit is not None
    assert killed.last_exit.exit_code == -signal.SIGUSR1


@local_only
def test_with_crash_block_a_failed_program_stays_down(cluster: Cluster) -> None:
    wanted = workload(spec_of("exit 3", runtime={"enable_crash_block": True}))
    cluster.apply(wanted)
    failed = wait_for_phase(cluster, InstancePhase.FAILED)

    cluster.apply(wanted)

    assert the_one(cluster) == failed
    assert failed.retry_at is None


def test_a_program_that_does_not_exist_is_a_start_error(cluster: Cluster) -> None:
    cluster.apply(workload(spec_of(container={"script": None, "command": "no-such-program-here --x"})))

    failed = wait_for_phase(cluster, InstancePhase.BACKOFF)

    assert failed.last_exit is not None
    assert failed.last_exit.reason == "StartError"
    assert "no-such-program-here" in failed.last_exit.message


def test_too_much_memory_ends_the_program_as_oomkilled(cluster: Cluster) -> None:
    hungry = "exec python3 -c \"x = b'1' * (200 << 20); import time; time.sleep(1000)\""
    cluster.apply(workload(spec_of(hungry, metadata={"memory": 64})))

    killed = wait_for_phase(cluster, InstancePhase.BACKOFF)

    assert killed.last_exit is not None
    assert killed.last_exit.reason == "OOMKilled"
    assert "64 MiB" in killed.last_exit.message or killed.last_exit.values["limit_mib"] == 64


def test_deleting_removes_everything_and_twice_is_fine(cluster: Cluster) -> None:
    settle(cluster, workload(spec_of(instances=2)))

    def is_gone() -> bool:
        cluster.delete("u1")
        seen = cluster.observe("u1")
        return not seen.instances and not seen.leftovers

    wait_until(is_gone, "nothing of the service")
    cluster.delete("u1")
    assert cluster.list_logs("u1") == ()
    assert cluster.orphans([]) == ()


def test_a_service_that_nobody_knows_is_an_orphan(cluster: Cluster) -> None:
    settle(cluster, workload("exec sleep 1000", uid="known"))
    settle(cluster, workload("exec sleep 1000", uid="forgotten"))

    assert cluster.orphans(["known", "never_started"]) == ("forgotten",)


@local_only
def test_a_log_is_read_in_pages_and_followed(cluster: Cluster) -> None:
    settle(cluster, workload("for i in 0 1 2 3 4 5 6 7 8 9; do echo line $i; done; exec sleep 1000"))
    instance = the_one(cluster).name
    wait_for_line(cluster, instance, "line 9")

    last = cluster.read_log("u1", LogQuery(instance, limit=3))
    first = cluster.read_log("u1", LogQuery(instance, first_line=0, limit=4))
    rest = cluster.read_log("u1", LogQuery(instance, first_line=first.next_line))
    follow = cluster.read_log("u1", LogQuery(instance, first_line=rest.next_line))

    assert [number for number, _ in last.lines] == [7, 8, 9]
    assert [number for number, _ in first.lines] == [0, 1, 2, 3]
    assert [number for number, _ in rest.lines] == [4, 5, 6, 7, 8, 9]
    assert (follow.lines, follow.next_line, follow.total) == ((), 10, 10)


@local_only
def test_a_log_is_searched_without_regard_to_case(cluster: Cluster) -> None:
    settle(cluster, workload("echo One; echo two; echo ONE more; exec sleep 1000"))
    instance = the_one(cluster).name
    wait_for_line(cluster, instance, "ONE more")

    page = cluster.read_log("u1", LogQuery(instance, keyword="one"))

    assert [number for number, _ in page.lines] == [0, 2]
    assert page.total == 2


@local_only
def test_the_log_of_the_program_before_can_be_told_apart(cluster: Cluster) -> None:
    cluster.apply(workload("echo started; exit 1"))
    wait_until(lambda: the_one(cluster).restart_count == 1, "a second start")
    instance = wait_for_phase(cluster, InstancePhase.BACKOFF).name

    assert lines_of(cluster, instance) == ["started", "started"]
    assert lines_of(cluster, instance, previous=True) == ["started"]


def test_the_log_of_an_unknown_instance_is_an_empty_page(cluster: Cluster) -> None:
    for name in ("nobody", "../u1", ""):
        assert cluster.read_log("u1", LogQuery(name)).lines == ()


def test_capacity_tells_at_least_one_node(cluster: Cluster) -> None:
    node = cluster.capacity()[0]

    assert node.cpu_cores > 0
    assert node.memory_mib > 0


def test_restarting_one_instance_replaces_that_one_alone(cluster: Cluster) -> None:
    wanted = workload(spec_of(instances=2))
    one, other = (instance.name for instance in settle(cluster, wanted).instances)

    cluster.restart_instance("u1", one)

    phases = {instance.name: instance.phase for instance in cluster.observe("u1").instances}
    assert phases.get(one, InstancePhase.STOPPING) is InstancePhase.STOPPING
    assert phases[other] is InstancePhase.RUNNING
    after = {instance.name for instance in settle(cluster, wanted).instances}
    assert other in after
    assert one not in after


def test_restarting_an_instance_that_is_not_there_is_fine(cluster: Cluster) -> None:
    cluster.restart_instance("unknown", "nobody-1")
