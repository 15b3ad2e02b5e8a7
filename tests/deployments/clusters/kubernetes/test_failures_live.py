"""Canned failures of real pods: each gives the card that it should, by the way that a worker goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.failure_card import find_card
from deployments.models import Service
from tests.deployments.clusters.kubernetes.failing import Bench, Case, registry
from tests.deployments.clusters.kubernetes.watcher_process import deployment, watching
from tests.kube import KubeCluster, fresh_namespace, require_image

pytestmark = [pytest.mark.kubernetes, pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]

FAILED, WAITING = "Failed", "Waiting"
QUICK = {"period_seconds": 1, "initial_delay_seconds": 0, "timeout_seconds": 1}
NO_PAGE = {"http_get": {"path": "/health", "port": 8000}, **QUICK}
OPEN_PORT = {"tcp_socket": {"port": 8000}, **QUICK}
LATER_OPEN = {"tcp_socket": {"port": 8000}, "period_seconds": 1, "initial_delay_seconds": 2, "failure_threshold": 30}
#: An object store that nobody asks: the instance fails before that.
STORE = {"oss": {"path": "oss://b/weights/", "endpoint": "http://127.0.0.1:9"}, "mount_path": "/model_dir"}


@pytest.fixture
def bench(kube: KubeCluster, namespace: str, tmp_path: Path) -> Iterator[Bench]:
    image = require_image(kube)
    usual = kube.settings(namespace, images={"tools": image}, tools_image=image)
    made = Bench(usual)
    with watching(kube.kubeconfig, namespace, tmp_path):
        yield made
        made.remove()


def cases_of_nodes(cpus: float) -> list[Case]:
    return [
        Case("cpu_never", (FAILED, "Unschedulable", "CpuShort"), "Needs 500 CPU on one node; the largest has",
             metadata={"cpu": 500}),
        Case("cpu_later", (WAITING, "Unschedulable", "CpuShort"), "on one node; at most", metadata={"cpu": cpus}),
        Case("memory_never", (FAILED, "Unschedulable", "MemoryShort"), "Needs 1,000 GiB of memory on one node;",
             metadata={"memory": 1000 * 1024}),
        Case("gpu_never", (FAILED, "Unschedulable", "GpuShort"), "Needs 3 GPUs on one node; the largest has 2.",
             metadata={"gpu": 3}),
        Case("gpu_product", (FAILED, "Unschedulable", "GpuProductMissing"), "No node has ",
             metadata={"gpu": 1, "gpu_product": "NVIDIA-H900"}),
        Case("node_label", (FAILED, "Unschedulable", "NoMatchingNode"), "No node is labelled disk=fast.",
             settings={"node_selector": (("disk", "fast"),)}),
    ]  # fmt: skip


def cases_of_images(address: str) -> list[Case]:
    return [
        Case("image_tag", (FAILED, "ImagePullBackOff", "ImageNotFound"), "cannot be pulled: no such tag.",
             container={"image": f"{address}/chat:3.9"}),
        Case("image_denied", (FAILED, "ImagePullBackOff", "ImageDenied"), "The image registry refused access to",
             container={"image": f"{address}/denied/chat:1"}),
        Case("image_broken", (WAITING, "ImagePullBackOff", "RegistryAway"), "its registry does not answer.",
             container={"image": f"{address}/broken/chat:1"}),
        Case("image_nowhere", (FAILED, "ImagePullBackOff", "RegistryUnknown"), "there is no host registry.invalid.",
             container={"image": "registry.invalid/chat:1"}),
    ]  # fmt: skip


def cases_of_programs() -> list[Case]:
    return [
        Case("flag", (FAILED, "CrashLoopBackOff", "UnknownFlag"), "does not know the flag --tensor-paralel.",
             container={"script": "echo 'error: unrecognized arguments: --tensor-paralel=2' >&2; exit 2"}),
        Case("memory", (FAILED, "OOMKilled", "OutOfMemory"), "Out of memory",
             container={"script": "exec python3 -c 'x = b\"1\" * (400 * 2**20); import time; time.sleep(60)'"}),
        Case("no_program", (FAILED, "StartError", "ProgramMissing"), "The program /no/such/program was not found.",
             container={"command": "/no/such/program"}),
        Case("startup", (FAILED, "CrashLoopBackOff", "ProbeFails"), "The startup check of /health was answered 404",
             container={"startup_check": {**NO_PAGE, "failure_threshold": 20}}),
        Case("liveness", (FAILED, "CrashLoopBackOff", "ProbeFails"), "The liveness check of /health was answered 404",
             container={"liveness_check": {**NO_PAGE, "failure_threshold": 1}, "startup_check": LATER_OPEN}),
        Case("readiness", (FAILED, "NeverReady", "CheckFails"), "and its check does not pass.",
             container={"startup_check": {**OPEN_PORT, "failure_threshold": 30},
                        "health_check": {**NO_PAGE, "failure_threshold": 1}}),
        Case("sidecar", (FAILED, "PreparationFailed", "SidecarEnds"), "The container side-1 beside the program ended",
             beside=[{"image": "tools:1", "script": "exit 3"}]),
    ]  # fmt: skip


def cases_of_storage() -> list[Case]:
    nfs = {"nfs": {"server": "127.0.0.1", "path": "/no"}, "mount_path": "/data"}
    return [
        Case("nfs", (WAITING, "VolumePending", "MountFails"), "nfs://127.0.0.1/no cannot be mounted:",
             others={"storage": [nfs]}),
        Case("secret", (FAILED, "CreateContainerError", "SecretMissing"), "There is no Secret absent",
             others={"storage": [STORE]}, settings={"oss_secret": "absent"}),
        Case("claim", (FAILED, "VolumePending", "ClaimMissing"), "There is no volume claim absent.",
             others={"storage": [STORE]}, settings={"oss_claim": "absent"}),
        Case("packages", (FAILED, "PreparationFailed", "RequirementMissing"), "There is no Python package",
             container={"prepare": {"pythonRequirements": ["--no-index", "no-such-thing==9"]}}),
        Case("scratch", (WAITING, "Evicted", "EvictedForDisk"), "it wrote more than its limit",
             container={"script": "head -c 90000000 /dev/zero > /scratch/x; exec sleep 600"},
             others={"storage": [{"empty_dir": {"size_limit": 0.02}, "mount_path": "/scratch"}]}),
    ]  # fmt: skip


def cases_of_rules(quota: str, limits: str, security: str) -> list[Case]:
    return [
        Case("quota", (FAILED, "FailedCreate", "QuotaExceeded"),
             "The quota team-a has 1 of 1 GiB of memory left; this needs 2.",
             metadata={"memory": 2048}, settings={"namespace": quota}),
        Case("limits", (FAILED, "FailedCreate", "LimitExceeded"), "The namespace permits at most 500m of cpu;",
             metadata={"cpu": 1}, settings={"namespace": limits}),
        Case("security", (FAILED, "FailedCreate", "SecurityRefused"), "The namespace's security level restricted",
             container={"image": "registry.invalid/chat:1"}, settings={"namespace": security}),
    ]  # fmt: skip


def test_every_failure_of_pods_gives_its_card(kube: KubeCluster, bench: Bench) -> None:
    (node,) = kube.get("nodes")["items"]
    with (
        registry() as address,
        fresh_namespace(kube) as quota,
        fresh_namespace(kube) as limits,
        fresh_namespace(kube) as security,
    ):
        bind(kube, quota, limits, security)
        take_some_cpu(kube, limits)
        bench.deploy(
            *cases_of_nodes(float(node["status"]["allocatable"]["cpu"])),
            *cases_of_images(address),
            *cases_of_programs(),
            *cases_of_storage(),
            *cases_of_rules(quota, limits, security),
        )
        assert bench.wait(120) == bench.expected()
        for name, case in bench.cases.items():
            told_well(Service.objects.get(pk=bench.services[name].pk), case)
        bench.remove()  # while the namespaces of the rules are there


def bind(kube: KubeCluster, quota: str, limits: str, security: str) -> None:
    """The rules that administrators set."""
    kube.kubectl("-n", quota, "create", "quota", "team-a", "--hard=limits.memory=1Gi")
    bounds = {"limits": [{"type": "Container", "max": {"cpu": "500m", "memory": "8Gi"}}]}
    limit_range = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"}, "spec": bounds}
    kube.kubectl("-n", limits, "create", "-f", "-", stdin=json.dumps(limit_range))
    kube.kubectl("label", "namespace", security, "pod-security.kubernetes.io/enforce=restricted")


def take_some_cpu(kube: KubeCluster, namespace: str) -> None:
    """So that less than all of it is free."""
    kube.kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(deployment("holder", "sleep 600")))


def told_well(service: Service, case: Case) -> None:
    """The card's words, its cure, and that it does not come and go while the failure is tried again: it is said once
    while that may help, and once when it does not.
    """
    events = list(service.events.filter(cause=case.told[2]).order_by("pk"))
    assert 1 <= len(events) <= 2, [(one.code, one.cause, one.message) for one in service.events.order_by("pk")]
    assert case.words in events[-1].message, events[-1].message
    card = find_card(service, [])
    assert card is not None
    assert card.cure
    assert card.fix_href
