"""What a pod's JSON means, state by state."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from deployments.bytes_done import GIB, MIB
from deployments.clusters.base import InstanceObservation, InstancePhase
from deployments.clusters.kubernetes.logs.counting import Counted
from deployments.clusters.kubernetes.pods import View, observe_pod, observe_service
from deployments.clusters.kubernetes.preparing import preparation_words
from deployments.clusters.kubernetes.reaching import Way
from deployments.clusters.kubernetes.rendering.storage import COPIER as COPIER_MODULE
from deployments.stages import Stage
from tests.deployments.clusters.kubernetes.pod_json import ended, event, pod

NOW = datetime(2026, 1, 1, 12, 1, tzinfo=UTC)
RUNNING = {"state": {"running": {"startedAt": "2026-01-01T12:00:05Z"}}, "ready": True}
CREATING = {"state": {"waiting": {"reason": "ContainerCreating"}}}


def look(thing: Any, *events: Any, log_tail: tuple[str, ...] = ()) -> InstanceObservation:
    return observe_pod(thing, events, NOW, log_tail)


def test_a_ready_pod_is_running_at_its_own_address() -> None:
    seen = look(pod(main=RUNNING, ready=True))
    assert (seen.phase, seen.is_ready, seen.host, seen.port) == (InstancePhase.RUNNING, True, "10.244.0.7", 8000)
    assert (seen.revision, seen.restart_token, seen.node) == (3, "1", "node-1")
    assert seen.started_at == datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC)
    assert (seen.stage, seen.step) == (Stage.NONE, "")


def test_a_pod_that_is_to_end_takes_no_more_requests_however_ready_it_is() -> None:
    seen = look(pod(main=RUNNING, ready=True, ending=True))
    assert (seen.phase, seen.is_ready) == (InstancePhase.STOPPING, False)


def test_a_pod_without_a_node_waits_for_one() -> None:
    seen = look(pod(phase="Pending", node=""))
    assert (seen.phase, seen.stage, seen.step) == (InstancePhase.PENDING, Stage.PLACING, "Waiting for a node.")


def test_pulling_an_image_is_told_until_it_is_pulled() -> None:
    waiting = pod(phase="Pending", main=CREATING)
    pulling = event("Pulling", second=2)
    assert look(waiting, pulling).stage is Stage.IMAGE
    assert look(waiting, pulling).step == "Pulling the image kube.local/chat-llm:dev."
    assert look(waiting, event("Pulled", second=3), pulling).stage is Stage.PLACING


def test_events_of_another_pod_of_that_name_count_for_nothing() -> None:
    before = event("Pulling")
    before["involvedObject"]["uid"] = "another"
    assert look(pod(phase="Pending", main=CREATING), before).stage is Stage.PLACING


def test_an_init_container_at_work_is_the_step_of_weights() -> None:
    copying = pod(
        phase="Pending",
        main={"state": {"waiting": {"reason": "PodInitializing"}}},
        init=[{"name": "copy-files", "state": {"running": {"startedAt": "2026-01-01T12:00:05Z"}}}],
        initContainers=[{"name": "copy-files", "image": "kube.local/chat-llm:dev"}],
    )
    seen = look(copying)
    assert (seen.phase, seen.stage) == (InstancePhase.CREATING, Stage.WEIGHTS)


def counted(container: str, done: int, total: int, seconds: int = 0) -> Counted:
    """From nothing on in so many seconds."""
    return Counted(container, done, total, seconds * 10**9, 0, 0)


COPIER = ["--bucket=b", "--prefix=qwen", "--endpoint=http://store", "--target=/storage"]


@pytest.mark.parametrize(
    ("known", "step"),
    [
        (None, "Copying the files of oss://b/qwen."),
        (counted("i1", 0, 7 * GIB), "Copying files: 0.0 of 7.0 GiB (oss://b/qwen)."),
        (
            counted("i1", 3 * GIB, 7 * GIB, 30),
            "Copying files: 3.0 of 7.0 GiB, 102 MiB/s, about 40 s left (oss://b/qwen).",
        ),
        (counted("i0", 3 * GIB, 7 * GIB, 30), "Copying the files of oss://b/qwen."),  # a program before this one
    ],
)
def test_a_copy_says_its_bytes_and_what_is_left(known: Counted | None, step: str) -> None:
    copier = {"name": "storage-0", "image": "t:1", "command": ["python", "-m", COPIER_MODULE], "args": COPIER}
    copying = pod(
        phase="Pending",
        main={"state": {"waiting": {"reason": "PodInitializing"}}},
        init=[{"name": "storage-0", "state": RUNNING["state"], "containerID": "i1", "started": True}],
        initContainers=[copier],
    )
    seen = observe_pod(copying, (), NOW, counted=known)
    assert (seen.stage, seen.step) == (Stage.WEIGHTS, step)


def test_the_bytes_of_a_copy_fit_into_a_step_however_long_its_folder_s_path_is() -> None:
    copier = {"name": "storage-0", "command": [COPIER_MODULE], "args": ["--bucket=b", f"--prefix={'long/' * 200}end"]}
    step = preparation_words(copier, counted("i1", 3 * GIB, 7 * GIB, 30))
    assert len(step) < 300
    assert step.startswith("Copying files: 3.0 of 7.0 GiB, 102 MiB/s, about 40 s left (oss://b/long/")
    assert step.endswith("long/end).")


def test_an_engine_that_loads_says_its_bytes_until_its_startup_check_has_passed() -> None:
    known = counted("c1", 40 * MIB, 94 * MIB, 4)
    loading = RUNNING | {"started": False, "containerID": "c1"}
    check = event("Unhealthy", "Startup probe failed: HTTP probe failed with statuscode: 503")

    for events in ((), (check,)):
        seen = observe_pod(pod(main=loading), events, NOW, counted=known)
        assert (seen.phase, seen.is_ready) == (InstancePhase.RUNNING, False)
        assert (seen.stage, seen.step) == (Stage.LOADING, "Loading weights: 40 of 94 MiB.")

    for status in (loading | {"started": True}, loading | {"containerID": "c2"}):
        assert observe_pod(pod(main=status), (), NOW, counted=known).stage is Stage.STARTING
    ready = observe_pod(pod(main=loading | {"started": True}, ready=True), (), NOW, counted=known)
    assert (ready.stage, ready.step) == (Stage.NONE, "")


@pytest.mark.parametrize(
    ("answer", "stage"),
    [
        ("Startup probe failed: Get \"http://10.244.0.7:8000/health\": connect: connection refused", Stage.STARTING),
        ("Startup probe failed: HTTP probe failed with statuscode: 503", Stage.LOADING),
        ("Readiness probe failed: HTTP probe failed with statuscode: 404", Stage.CHECKING),
    ],
)  # fmt: skip
def test_a_program_that_is_not_ready_is_as_far_as_its_check_says(answer: str, stage: Stage) -> None:
    seen = look(pod(main=RUNNING), event("Unhealthy", answer))
    assert (seen.phase, seen.is_ready, seen.stage) == (InstancePhase.RUNNING, False, stage)


def test_a_crash_is_an_end_with_its_log_and_the_next_start() -> None:
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 1m20s restarting failed container=main"}
    crashed = pod(main={"state": {"waiting": waiting}, "lastState": ended(2), "restartCount": 3})
    seen = look(crashed, log_tail=("no such flag",))
    assert (seen.phase, seen.restart_count, seen.log_tail) == (InstancePhase.BACKOFF, 3, ("no such flag",))
    assert seen.last_exit is not None
    assert (seen.last_exit.exit_code, seen.last_exit.reason) == (2, "Error")
    assert seen.retry_at == datetime(2026, 1, 1, 12, 1, 29, tzinfo=UTC)


def test_the_next_start_follows_the_kubelet_s_rule_where_it_is_not_named() -> None:
    seen = look(pod(main={"state": ended(1), "restartCount": 2}))
    assert seen.retry_at == datetime(2026, 1, 1, 12, 0, 29, tzinfo=UTC)


@pytest.mark.parametrize(("code", "told"), [(137, -9), (143, -15), (128, 128), (255, 255), (1, 1)])
def test_exit_codes_that_stand_for_signals_are_negative(code: int, told: int) -> None:
    end = look(pod(main={"state": ended(code)})).last_exit
    assert end is not None
    assert end.exit_code == told


def test_a_program_that_never_began_is_no_signal() -> None:
    end = look(pod(main={"state": ended(137, "StartError", "no such file")})).last_exit
    assert end is not None
    assert (end.exit_code, end.reason, end.started_at) == (137, "StartError", None)


def test_the_time_that_the_startup_probe_allows_is_known() -> None:
    thing = pod(main=RUNNING)
    thing["spec"]["containers"][0]["startupProbe"] = {
        "initialDelaySeconds": 15, "periodSeconds": 10, "failureThreshold": 60,
    }  # fmt: skip
    assert look(thing).startup_seconds == 615


def test_gpus_of_every_container_count() -> None:
    thing = pod(main=RUNNING)
    thing["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] = "2"
    assert look(thing).gpus == 2


def test_the_instances_of_a_service_come_by_name_with_the_address_that_the_caller_gives() -> None:
    pods = {name: pod(name, main=RUNNING) for name in ("b", "a")}
    seen = observe_service(
        View("eas-m-1", pods), NOW, lambda thing, port: Way(f"https://api/{thing['metadata']['name']}", f"probe:{port}")
    )
    assert [(one.name, one.base_url) for one in seen.instances] == [("a", "https://api/a"), ("b", "https://api/b")]
    assert {one.probe_url for one in seen.instances} == {f"probe:{seen.instances[0].port}"}
    assert not seen.leftovers


def test_a_pod_that_was_evicted_is_told_of_until_another_stands_in_for_it() -> None:
    over = pod("a", phase="Failed")
    assert len(observe_service(View("eas-m-1", {"a": over}), NOW).instances) == 1
    stand_in = pod("b", main=RUNNING)
    assert [one.name for one in observe_service(View("eas-m-1", {"a": over, "b": stand_in}), NOW).instances] == ["b"]


def test_of_pods_that_all_ended_for_good_the_newest_is_told_of() -> None:
    pods = {name: pod(name, phase="Failed") for name in "abc"}
    pods["b"]["metadata"]["creationTimestamp"] = "2026-01-01T12:00:30Z"
    assert [one.name for one in observe_service(View("eas-m-1", pods), NOW).instances] == ["b"]


def test_a_pod_that_ended_for_good_does_not_look_like_one_that_still_stops() -> None:
    manifests = {"Deployment/a": {"metadata": {"name": "a"}, "spec": {"replicas": 0}}}
    seen = observe_service(View("eas-m-1", {"a": pod("a", phase="Failed")}, manifests), NOW)
    assert seen.instances == ()
    assert seen.leftovers


def test_an_autoscaler_tells_how_many_instances_are_wanted() -> None:
    deployment = {"kind": "Deployment", "metadata": {"name": "x"}, "spec": {"replicas": 4}}
    autoscaler = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "x"}, "spec": {}}
    stopped = {**deployment, "spec": {"replicas": 0}}
    views = [{"Deployment/x": deployment}, {"Deployment/x": deployment, "HorizontalPodAutoscaler/x": autoscaler},
             {"Deployment/x": stopped, "HorizontalPodAutoscaler/x": autoscaler}]  # fmt: skip
    seen = [observe_service(View("eas-m-1", pods={}, manifests=found), NOW).scaled_to for found in views]
    assert seen == [None, 4, None]


def test_a_program_that_is_not_started_again_has_failed_whatever_runs_in_its_place() -> None:
    after = {"state": {"running": {"startedAt": "2026-01-01T12:00:20Z"}}, "lastState": ended(3), "restartCount": 1}
    blocked = pod(main=after)
    blocked["metadata"]["annotations"] = {"slipway.dev/crash-block": "on"}
    seen = look(blocked)
    assert (seen.phase, seen.is_ready) == (InstancePhase.FAILED, False)
    assert seen.last_exit is not None
    assert seen.last_exit.exit_code == 3
    assert look(pod(main=after)).phase is InstancePhase.RUNNING
    before = pod(main=RUNNING, ready=True)
    before["metadata"]["annotations"] = blocked["metadata"]["annotations"]
    assert look(before).phase is InstancePhase.RUNNING
