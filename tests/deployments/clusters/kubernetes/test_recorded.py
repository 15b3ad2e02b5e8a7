"""Failures of real pods as the API server told them, each to the cause and the words that people get."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deployments.clusters.base import ServiceObservation
from deployments.clusters.kubernetes.pods import View, observe_service
from deployments.clusters.overview import NodeFields
from deployments.failures import Program, explain_end, explain_trouble
from tests.deployments.clusters.kubernetes.pod_json import node

RECORDED = Path(__file__).parent / "recorded"
#: A minute after the last of them was made.
NOW = datetime(2026, 11, 21, 21, 6, 30, tzinfo=UTC)
NODES = (node("node-1", cpu=2, memory_mib=7000, gpu=2, free=(1.5, 3000, 1)),)


def observe(name: str, nodes: tuple[NodeFields, ...] = NODES) -> ServiceObservation:
    kept: Any = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    return observe_service(View(name, kept["pods"], kept["manifests"], kept["events"], nodes), NOW)


TROUBLES = [
    ("bad-name", "ImageNameWrong", "Chat LLM:1 is no name that an image can have."),
    ("no-registry", "RegistryUnknown", "registry.invalid/chat:1 cannot be pulled: there is no host registry.invalid."),
    ("claim-no-class", "StorageClassMissing", "There is no storage class absent, which the volume no-class is to come"
                                              " from."),
    ("claim-no-volume", "NoVolume", "There is no free volume for no-volume of 1Gi, and nothing that makes one."),
    ("claim-none", "ClaimMissing", "There is no volume claim absent."),
    ("cpu-short", "CpuShort", "Needs 900 CPU on one node; the largest has 2."),
    ("memory-short", "MemoryShort", "Needs 9,000 GiB of memory on one node; the largest has 6.8 GiB."),
    ("gpu-short", "GpuShort", "Needs 4 GPUs on one node; the largest has 2."),
    ("gpu-product", "GpuProductMissing", "No node has NVIDIA-H900."),
    ("taints", "NoMatchingNode", "No node is labelled kubernetes.io/hostname=node-9."),
    ("init-fails", "PreparationFails", "Preparing the instance failed: copy-files ended with exit code 1."),
    ("secret-env", "SecretMissing", "There is no Secret absent, which the instance needs."),
    ("secret-volume", "SecretMissing", "There is no Secret absent, which the instance needs."),
    ("sidecar", "SidecarEnds", "The container side beside the program ended with exit code 3."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "cause", "words"), TROUBLES)
def test_what_keeps_a_pod_from_running_is_told_in_plain_words(name: str, cause: str, words: str) -> None:
    (instance,) = observe(name).instances
    assert instance.trouble is not None
    assert (instance.trouble.cause, instance.trouble.is_waiting) == (cause, False)
    assert explain_trouble(instance.trouble).what == words
    assert instance.trouble.since is not None


def test_a_mount_that_fails_is_waited_for_before_it_needs_a_person() -> None:
    (instance,) = observe("nfs").instances
    assert instance.trouble is not None
    assert (instance.trouble.cause, instance.trouble.is_waiting) == ("MountFails", True)
    told = explain_trouble(instance.trouble)
    assert told.what == "nfs://10.244.0.1/x cannot be mounted: unknown filesystem type 'nfs'."
    assert told.cure == "Let an administrator install what mounts nfs on node-1, or mount something else."


ENDS = [
    ("oom", "OutOfMemory", "Out of memory: the program wanted more than its limit of 0.06 GiB."),
    ("no-program", "ProgramMissing", "The program /no/such/program was not found."),
    ("crash", "Crashed", "The program ended with an error."),
    ("startup-fails", "ProbeFails", "The startup check of /health was answered 404 until its time was over."),
    ("startup-deaf", "ProbeFails", "Nothing listened on port 8000 until the startup check's time was over."),
    ("liveness-fails", "ProbeFails", "The liveness check of /health was answered 404, so the program was ended."),
]


@pytest.mark.parametrize(("name", "cause", "words"), ENDS)
def test_why_a_program_ended_is_told_in_plain_words(name: str, cause: str, words: str) -> None:
    (instance,) = observe(name).instances
    assert instance.trouble is None
    explained = explain_end(instance, Program())
    assert (explained.code, explained.what) == (cause, words)


REFUSALS = [
    ("quota", "QuotaExceeded", "The quota team-a has 1 of 1 GiB of memory left; this needs 2."),
    ("quota-gpu", "QuotaExceeded", "The quota team-a has 1 of 1 GPUs left; this needs 2."),
    ("limit", "LimitExceeded", "The namespace permits at most 500m of cpu; this asks for 2."),
    ("privileged", "SecurityRefused", "The namespace's security level restricted refuses the instance: privileged."),
]


@pytest.mark.parametrize(("name", "cause", "words"), REFUSALS)
def test_why_a_service_gets_no_instance_is_told_in_plain_words(name: str, cause: str, words: str) -> None:
    seen = observe(name)
    assert seen.instances == ()
    assert seen.trouble is not None
    assert (seen.trouble.cause, seen.trouble.is_waiting) == (cause, False)
    assert explain_trouble(seen.trouble).what == words


@pytest.mark.parametrize("name", ["cpu-short", "memory-short", "gpu-short"])
def test_without_knowledge_of_the_nodes_a_shortage_is_waited_for_without_numbers(name: str) -> None:
    (instance,) = observe(name, ()).instances
    assert instance.trouble is not None
    assert instance.trouble.is_waiting
    assert "on one node; none has" in explain_trouble(instance.trouble).what


@pytest.mark.parametrize("name", ["runs", "readiness-fails"])
def test_a_program_that_runs_is_in_no_trouble(name: str) -> None:
    seen = observe(name)
    assert (seen.trouble, [one.trouble for one in seen.instances]) == (None, [None])


def test_a_startup_check_that_passed_at_the_next_try_is_held_against_nobody() -> None:
    kept: Any = json.loads((RECORDED / "startup-fails.json").read_text(encoding="utf-8"))
    (pod,) = kept["pods"].values()
    (instance,) = observe_service(View("a", kept["pods"], {}, kept["events"]), NOW).instances
    assert instance.last_exit is not None
    assert instance.last_exit.cause == "ProbeFails"
    pod["status"]["containerStatuses"][0]["started"] = True
    (instance,) = observe_service(View("a", kept["pods"], {}, kept["events"]), NOW).instances
    assert instance.last_exit is not None
    assert instance.last_exit.cause == ""
