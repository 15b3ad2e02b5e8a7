"""Logs of real pods: readable while they run, after a crash, after the pod is gone, after a kill of the watcher."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.clusters.base import LogQuery
from deployments.clusters.kubernetes.logs.reading import list_logs, read_log, read_tail, search_log
from deployments.models import KeptLog
from tests.deployments.clusters.kubernetes.watcher_process import (
    WatcherProcess,
    create,
    deployment,
    pods,
    running_pod,
    watching,
)
from tests.kube import KubeCluster, require_image
from tests.waiting import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.django_db(transaction=True)]

COUNTS = "trap 'exit 0' TERM; n=0; while true; do echo line $n; n=$((n+1)); sleep 0.05; done"
#: Of two streams that are written to at once nobody knows the order.
CRASHES = "echo begins $HOSTNAME; sleep 0.3; echo cannot open the model >&2; exit 3"
SAYS_GOODBYE = "trap 'echo goodbye; exit 0' TERM; echo hello; while true; do sleep 0.1; done"
UID = "eas-m-one"


@pytest.fixture
def watcher(kube: KubeCluster, namespace: str, tmp_path: Path) -> Iterator[WatcherProcess]:
    require_image(kube)
    with watching(kube.kubeconfig, namespace, tmp_path) as running:
        yield running


def texts(instance: str, uid: str = UID, **query: object) -> list[str]:
    page = read_log(uid, LogQuery(instance, **query))  # type: ignore[arg-type]
    return [text.partition(" ")[2] for _, text in page.lines]


def last_ended(instance: str) -> str | None:
    """The id of the container that ended last, as far as the pod's row tells."""
    (status,) = pods(UID)[instance]["status"]["containerStatuses"]
    ended = status["state"].get("terminated") or status["lastState"].get("terminated")
    return str(ended["containerID"]) if ended else None


def first_log(uid: str = UID) -> str | None:
    return next(iter(list_logs(uid)), None)


def test_lines_can_be_read_while_the_program_writes_them(
    kube: KubeCluster, namespace: str, watcher: WatcherProcess
) -> None:
    create(kube, namespace, deployment(UID, COUNTS))
    name = wait_until(lambda: running_pod(UID), "its pod runs")
    wait_until(lambda: "line 100" in texts(name, limit=10_000), "a hundred lines are there")

    page = read_log(UID, LogQuery(name, first_line=0, limit=50))

    assert [number for number, _ in page.lines] == list(range(50))
    assert [text.partition(" ")[2] for _, text in page.lines] == [f"line {number}" for number in range(50)]
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z line", text) for _, text in page.lines)
    assert search_log(UID, LogQuery(name, keyword="LINE 77")).numbers == (77,)


def test_a_crashed_program_s_words_are_kept_run_by_run(
    kube: KubeCluster, namespace: str, watcher: WatcherProcess
) -> None:
    create(kube, namespace, deployment(UID, CRASHES))
    name = wait_until(first_log, "its log is kept")
    wait_until(lambda: len(texts(name)) == 4, "two of its programs have spoken", 60)

    assert texts(name) == [f"begins {name}", "cannot open the model"] * 2
    assert texts(name, previous=True) == [f"begins {name}", "cannot open the model"]
    ended = wait_until(lambda: last_ended(name), "the pod's row tells its end")
    wait_until(lambda: read_tail(name, ended) == (f"begins {name}", "cannot open the model"), "its last words are kept")


def test_the_log_of_a_deleted_pod_stays_to_its_last_word(
    kube: KubeCluster, namespace: str, watcher: WatcherProcess
) -> None:
    create(kube, namespace, deployment(UID, SAYS_GOODBYE, terminationGracePeriodSeconds=10))
    name = wait_until(lambda: running_pod(UID), "its pod runs")
    kube.kubectl("delete", "-n", namespace, "deployment", f"s-{UID}", "--cascade=foreground")

    wait_until(lambda: KeptLog.objects.exclude(ended_at=None).filter(instance=name).exists(), "its log has ended")

    assert texts(name) == ["hello", "goodbye"]
    assert list_logs(UID) == (name,)


def test_a_killed_watcher_loses_no_line_and_doubles_none(
    kube: KubeCluster, namespace: str, watcher: WatcherProcess
) -> None:
    create(kube, namespace, deployment(UID, COUNTS))
    name = wait_until(lambda: running_pod(UID), "its pod runs")
    wait_until(lambda: len(texts(name)) > 20, "some lines are there")
    for _ in range(3):
        before = read_log(UID, LogQuery(name, limit=0)).end
        watcher.kill()
        watcher.start()
        wait_until(lambda: read_log(UID, LogQuery(name, limit=0)).end > before + 40, "it goes on")  # noqa: B023

    page = read_log(UID, LogQuery(name, first_line=0, limit=10_000))

    assert [text.partition(" ")[2] for _, text in page.lines] == [f"line {number}" for number, _ in page.lines]


def test_what_failed_before_the_program_could_start_is_in_the_log(
    kube: KubeCluster, namespace: str, watcher: WatcherProcess
) -> None:
    fetch = {
        "name": "weights",
        "image": require_image(kube),
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", "echo no such bucket; exit 1"],
    }
    create(kube, namespace, deployment(UID, COUNTS, initContainers=[fetch]))

    name = wait_until(first_log, "its log is kept")

    assert wait_until(lambda: texts(name), "it has lines")[0] == "no such bucket"


def test_what_stands_beside_the_program_has_a_log_of_its_own(
    kube: KubeCluster, namespace: str, watcher: WatcherProcess
) -> None:
    image = {"image": require_image(kube), "imagePullPolicy": "IfNotPresent"}
    before = {"name": "requirements", **image, "command": ["sh", "-c", "echo installing"]}
    beside = {"name": "side-1", **image, "command": ["sh", "-c", "echo beside; exec sleep 600"]}
    manifest = deployment(UID, SAYS_GOODBYE, initContainers=[before])
    manifest["spec"]["template"]["spec"]["containers"].append(beside)
    create(kube, namespace, manifest)

    name = wait_until(lambda: running_pod(UID), "its pod runs")
    wait_until(lambda: texts(f"{name}/side-1") == ["beside"], "the other's words are kept", 60)

    assert list_logs(UID) == (name, f"{name}/side-1")
    wait_until(lambda: texts(name) == ["installing", "hello"], "and its own, from the beginning on")
    kube.kubectl("delete", "-n", namespace, "deployment", f"s-{UID}", "--cascade=foreground")
    ended = KeptLog.objects.exclude(ended_at=None)
    wait_until(lambda: ended.count() == 2, "both have ended")
    assert texts(f"{name}/side-1") == ["beside"]


def test_beyond_the_limit_of_streams_a_log_is_kept_at_its_end_and_followed_for_whoever_looks(
    kube: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    require_image(kube)
    with watching(kube.kubeconfig, namespace, tmp_path, SLIPWAY_LOG_STREAMS="1"):
        create(kube, namespace, deployment("eas-m-old", SAYS_GOODBYE, terminationGracePeriodSeconds=10))
        old = wait_until(lambda: running_pod("eas-m-old"), "the old one runs")
        wait_until(lambda: texts(old, "eas-m-old"), "it is followed")
        never = {"exec": {"command": ["false"]}, "periodSeconds": 1}
        unready = deployment("eas-m-new", COUNTS)
        unready["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = never
        create(kube, namespace, unready)
        new = wait_until(lambda: running_pod("eas-m-new"), "the new one runs")

        wait_until(lambda: texts(new, "eas-m-new"), "the one that is not ready comes first", 60)
        wait_until(lambda: not KeptLog.objects.get(instance=old).is_followed, "and the other no longer", 60)
        wait_until(lambda: texts(old, "eas-m-old") and KeptLog.objects.get(instance=old).is_followed, "asked for", 60)
        kube.kubectl("delete", "-n", namespace, "deployment", "s-eas-m-old")
        wait_until(lambda: texts(old, "eas-m-old") == ["hello", "goodbye"], "its last words", 60)


def test_a_program_that_says_nothing_for_long_is_heard_when_it_does(
    kube: KubeCluster, namespace: str, watcher: WatcherProcess
) -> None:
    create(kube, namespace, deployment("eas-m-dumb", "sleep 45; echo at last; sleep 600"))
    create(kube, namespace, deployment(UID, COUNTS))
    name = wait_until(lambda: running_pod(UID), "the talking one runs")
    silent = wait_until(lambda: first_log("eas-m-dumb"), "the silent one has a log")
    wait_until(lambda: texts(silent, "eas-m-dumb") == ["at last"], "it is heard", 90)
    end = read_log(UID, LogQuery(name, limit=0)).end
    wait_until(lambda: read_log(UID, LogQuery(name, limit=0)).end > end, "the other goes on", 10)
    assert "cannot be read" not in watcher.log.read_text()
