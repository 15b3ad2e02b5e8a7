"""What is rendered, run by a real kubelet: texts arrive as they were written, ends are heard, storage is filled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deployments.clusters.kubernetes.running import Runner, own
from tests.kube import IMAGE, KubeCluster, require_image
from tests.waiting import wait_until

pytestmark = pytest.mark.kubernetes


@pytest.fixture
def runner(kube: KubeCluster, namespace: str) -> Iterator[Runner]:
    require_image(kube)
    yield Runner(kube, namespace)
    kube.try_kubectl("delete", "deployments", "-n", namespace, "--all", "--grace-period=0", "--force")


def test_texts_and_variables_reach_the_program_as_they_were_written(runner: Runner) -> None:
    script = """printf '%s|' '$(PORT)' '$$(PORT)' "$PORT" "$ODD" "$API_KEY" "$@"; echo; [ $$ = 1 ] && echo first"""
    env = [{"name": "ODD", "value": "$(PORT) $$ ${X}"}, {"name": "API_KEY", "value": "$(PORT)"}]
    runner.apply(own(f"{script}\nsleep 1000", container={"args": ["$(PORT)", "a b"], "env": env}))
    runner.wait_for_line("$(PORT)|$$(PORT)|8000|$(PORT) $$ ${X}|$(PORT)|$(PORT)|a b|")
    runner.wait_for_line("first")


def test_the_last_command_of_a_script_hears_sigterm(runner: Runner) -> None:
    script = "cd /srv/chat-llm\npython webui/webui_server.py --port=8000 --model-path=SmolLM2-135M-Instruct"
    runner.apply(own(script, metadata={"memory": 2048}))
    wait_until(lambda: len(runner.pods()) == 1 and runner.status()["ready"], "it answers", timeout_seconds=180)
    runner.kube.kubectl("scale", "deployment", "-n", runner.namespace, "--all", "--replicas=0")
    wait_until(lambda: not runner.pods(), "it ends long before its grace of 100 s", timeout_seconds=60)


def test_a_program_that_ended_is_not_started_again_and_ends_when_it_is_told_to(runner: Runner) -> None:
    script = "trap 'exit 3' TERM; echo up; i=0; while [ $i -lt 3 ]; do sleep 1; i=$((i + 1)); done; exit 4"
    runner.apply(own(script, runtime={"enable_crash_block": True}))
    runner.wait_for_line("slipway: the program has ended and is not started again (runtime.enable_crash_block).")
    status = runner.status()
    assert (status["ready"], status["restartCount"], list(status["state"])) == (False, 1, ["running"])
    assert status["lastState"]["terminated"]["exitCode"] == 4
    runner.kube.kubectl("scale", "deployment", "-n", runner.namespace, "--all", "--replicas=0")
    wait_until(lambda: not runner.pods(), "it ends at once", timeout_seconds=60)


def test_slipways_image_runs_without_root_and_can_write_where_it_must(kube: KubeCluster, namespace: str) -> None:
    require_image(kube)
    runner = Runner(kube, namespace)
    script = "id -u; touch /tmp/a && echo tmp; touch /dev/shm/b && echo shm; touch /c || echo closed\nsleep 1000"
    runner.apply(
        own(script, storage=[{"mount_path": "/scratch", "empty_dir": {"medium": "memory", "size_limit": 0.01}}])
    )
    for line in ("10001", "tmp", "shm", "closed"):
        runner.wait_for_line(line)


def test_instances_are_added_by_what_the_container_that_answers_uses(runner: Runner) -> None:
    script = "exec python3 -c 'import time; held = b\"x\" * 150_000_000; time.sleep(1000)'"
    autoscaler = {"min": 1, "max": 2, "strategies": {"memory": 10}}
    side = {"image": IMAGE, "script": "exec sleep 1000"}  # reserves nothing, and must not keep the rest from counting
    wanted = own(script, container={"health_check": {"exec": {"command": ["true"]}}}, autoscaler=autoscaler)
    wanted["containers"].append(side)
    runner.apply(wanted)
    what = "two instances: the first uses far more than a tenth of its memory"
    wait_until(lambda: len(runner.pods()) == 2, what, timeout_seconds=240)
