"""What the kubelet, the registry and the API server say, sorted into causes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deployments.clusters.base import Trouble
from deployments.clusters.kubernetes.admission import refusal
from deployments.clusters.kubernetes.ends import cause_of_no_start
from deployments.clusters.kubernetes.fates import fate
from deployments.clusters.kubernetes.pods import View, observe_service
from deployments.clusters.kubernetes.preparing import preparation_words
from deployments.clusters.kubernetes.pulling import pull_trouble
from deployments.clusters.kubernetes.rendering.storage import CLONER, COPIER
from deployments.clusters.kubernetes.troubles import configuration_trouble
from deployments.clusters.kubernetes.volumes import mount_reason
from deployments.failures import explain_trouble
from tests.deployments.clusters.kubernetes.pod_json import ended, event, node, pod

NOW = datetime(2026, 1, 1, 12, 1, tzinfo=UTC)
IMAGE = "registry.example/llm/chat:3.9"


def deployment(*, replicas: int = 1, revision: str = "3", unavailable: str = "0", **status: Any) -> dict[str, Any]:
    labels = {"slipway.dev/revision": revision, "slipway.dev/restart": "1"}
    return {
        "metadata": {"name": "chat", "generation": 2},
        "spec": {
            "replicas": replicas,
            "strategy": {"rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": 1}},
            "template": {"metadata": {"labels": labels}},
        },
        "status": {"observedGeneration": 2, **status},
    }


def look(*pods: dict[str, Any], manifest: dict[str, Any] | None = None, events: Any = (), nodes: Any = ()) -> Any:
    view = View(
        "eas-m-1",
        {one["metadata"]["name"]: one for one in pods},
        {"Deployment/chat": manifest or deployment()},
        events,
        nodes,
    )
    return observe_service(view, NOW)


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("failed to resolve reference: registry.example/llm/chat:3.9: not found", "ImageNotFound"),
        ("manifest unknown: The named manifest is not known", "ImageNotFound"),
        ("failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized", "ImageDenied"),
        ("pull access denied, repository does not exist or may require authorization: insufficient_scope",
         "ImageDenied"),
        ("dial tcp: lookup registry.example: no such host", "RegistryUnknown"),
        ("dial tcp 10.0.0.9:443: i/o timeout", "RegistryAway"),
        ("dial tcp 10.0.0.9:443: connect: connection refused", "RegistryAway"),
        ("unexpected status from HEAD request: 503 Service Unavailable", "RegistryAway"),
        ("429 Too Many Requests - Server message: toomanyrequests", "RegistryAway"),
        ("write /var/lib/containerd/x: no space left on device", "NodeDiskFull"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "ImageNotPulled"),
    ],
)  # fmt: skip
def test_why_an_image_is_not_pulled(message: str, cause: str) -> None:
    trouble = pull_trouble(IMAGE, "ErrImagePull", message, "node-1", NOW, NOW)
    assert trouble.cause == cause
    assert trouble.is_waiting == (cause in ("RegistryAway", "NodeDiskFull"))


def test_a_registry_that_stays_away_needs_a_person() -> None:
    since = NOW - timedelta(minutes=11)
    assert not pull_trouble(IMAGE, "ErrImagePull", "i/o timeout", "node-1", since, NOW).is_waiting


def test_trying_again_does_not_change_what_is_told_of_a_pull() -> None:
    said = "failed to resolve reference: registry.example/llm/chat:3.9: not found"
    first = pod(phase="Pending", main={"state": {"waiting": {"reason": "ErrImagePull", "message": said}}})
    again = f'Back-off pulling image "{IMAGE}": ErrImagePull: {said}'
    later = pod(phase="Pending", main={"state": {"waiting": {"reason": "ImagePullBackOff", "message": again}}})
    older = pod(phase="Pending", main={"state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}}})
    pulled = event("Failed", f'Failed to pull image "{IMAGE}": {said}')
    told = [look(one, events=[pulled]).instances[0].trouble for one in (first, later, older)]
    assert {one.cause for one in told} == {"ImageNotFound"}
    assert len({explain_trouble(one).what for one in told}) == 1


@pytest.mark.parametrize(
    ("message", "cause", "name"),
    [
        ('secret "absent" not found', "SecretMissing", "absent"),
        ("couldn't find key token in Secret slipway/chat-secret", "SecretMissing", "chat-secret: token"),
        ('configmap "settings" not found', "SecretMissing", "settings"),
        ("container has runAsNonRoot and image will run as root (pod: x)", "RootRefused", None),
        ("something of its own", "NotConfigured", None),
    ],
)
def test_why_a_container_cannot_be_configured(message: str, cause: str, name: str | None) -> None:
    trouble = configuration_trouble(message, NOW)
    assert (trouble.cause, trouble.values.get("name")) == (cause, name)


@pytest.mark.parametrize(
    ("message", "cause", "program"),
    [
        ('unable to start container process: exec: "/srv/run": stat /srv/run: no such file or directory: unknown',
         "ProgramMissing", "/srv/run"),
        ('exec: "serve": executable file not found in $PATH: unknown', "ProgramMissing", "serve"),
        ('exec: "/srv/run": permission denied: unknown', "NotExecutable", "/srv/run"),
        ("exec /srv/run: exec format error", "NotExecutable", "/srv/run"),
    ],
)  # fmt: skip
def test_why_a_program_could_not_begin(message: str, cause: str, program: str) -> None:
    assert cause_of_no_start(message) == (cause, {"program": program})


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            'exceeded quota: team-a, requested: requests.nvidia.com/gpu=2, used: requests.nvidia.com/gpu=7, '
            'limited: requests.nvidia.com/gpu=8',
            "The quota team-a has 1 of 8 GPUs left; this needs 2.",
        ),
        (
            "exceeded quota: q, requested: limits.cpu=500m,pods=1, used: limits.cpu=1,pods=10, "
            "limited: limits.cpu=4,pods=10",
            "The quota q has 0 of 10 instances left; this needs 1.",
        ),
        (
            "exceeded quota: q, requested: requests.cpu=2500m, used: requests.cpu=2, limited: requests.cpu=4",
            "The quota q has 2 of 4 CPU left; this needs 2.5.",
        ),
        (
            "minimum memory usage per Container is 1Gi, but request is 128Mi",
            "The namespace wants at least 1Gi of memory; this asks for 128Mi.",
        ),
        (
            'admission webhook "images.example" denied the request: the image is not signed',
            "A rule of the cluster (images.example) refuses the instance: the image is not signed.",
        ),
        ("something of its own", "The cluster creates no instance: something of its own."),
    ],
)  # fmt: skip
def test_why_the_api_server_creates_no_pod(message: str, words: str) -> None:
    assert explain_trouble(refusal(f'pods "chat-1" is forbidden: {message}' if "own" not in message else message,
                                   NOW)).what == words  # fmt: skip


def test_a_quota_that_others_use_is_waited_for_and_one_that_is_too_small_is_not() -> None:
    text = "exceeded quota: q, requested: pods=1, used: pods={}, limited: pods={}"
    assert refusal(text.format(10, 10), NOW).is_waiting
    assert not refusal(text.format(0, 0), NOW).is_waiting


def test_a_refusal_of_what_was_wanted_before_is_not_told() -> None:
    failed = {"type": "ReplicaFailure", "status": "True", "message": "exceeded", "lastTransitionTime": None}
    assert look(manifest=deployment(conditions=[failed])).trouble is not None
    stale = deployment(conditions=[failed], observedGeneration=1)
    assert look(manifest=stale).trouble is None


@pytest.mark.parametrize(
    ("reason", "message", "words"),
    [
        ("Evicted", "The node was low on resource: memory. Threshold quantity: 100Mi, available: 52Mi. Container main "
                    "was using 4Gi, request is 0, has larger consumption of memory. ",
         "The instance was evicted: node-1 ran out of memory while it used 4 GiB."),
        ("Evicted", "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 52Mi. ",
         "The instance was evicted: the disk of node-1 was full."),
        ("Evicted", "Pod ephemeral local storage usage exceeds the total limit of containers 2Gi. ",
         "The instance was evicted: it wrote more than its limit of 2 GiB."),
        ("Evicted", 'Usage of EmptyDir volume "scratch" exceeds the limit "1Gi". ',
         "The instance was evicted: it wrote more than its limit of 1 GiB."),
        ("UnexpectedAdmissionError",
         "Pod was rejected: Allocate failed due to no healthy devices present; cannot allocate unhealthy devices "
         "nvidia.com/gpu, which is unexpected",
         "node-1 could not give the instance its GPU: no healthy devices present; cannot allocate unhealthy devices "
         "nvidia.com/gpu."),
        ("OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu, requested: 500, used: 1800, "
                     "capacity: 2000",
         "node-1 refused the instance: Pod was rejected: Node didn't have enough resource: cpu, requested: 500, used: "
         "1800, capacity: 2000."),
        ("Terminated", "Pod was terminated in response to imminent node shutdown.", "node-1 was shut down."),
    ],
)  # fmt: skip
def test_pods_that_ended_for_good(reason: str, message: str, words: str) -> None:
    assert explain_trouble(Trouble(*fate(reason, message, "node-1"))).what == words


def gone(name: str, minute: int = 0, reason: str = "Evicted") -> dict[str, Any]:
    one = pod(name, phase="Failed")
    one["status"] |= {"reason": reason, "message": "The node was low on resource: memory."}
    one["status"]["startTime"] = f"2026-01-01T11:{59 - minute:02d}:00Z"
    return one


def test_an_eviction_is_waited_for_while_another_pod_takes_its_place() -> None:
    seen = look(gone("a"), pod("b", phase="Pending", node=""))
    assert [one.name for one in seen.instances] == ["b"]
    assert (seen.trouble.cause, seen.trouble.is_waiting) == ("EvictedForMemory", True)


def test_being_evicted_again_and_again_needs_a_person() -> None:
    seen = look(*(gone(name) for name in "abc"), pod("d", phase="Pending", node=""))
    assert not seen.trouble.is_waiting


def test_evictions_of_long_ago_are_forgotten() -> None:
    assert look(*(gone(name, minute=30) for name in "abc"), pod("d", phase="Pending", node="")).trouble is None


def test_a_refusal_tells_nothing_of_a_service_whose_next_instance_ran() -> None:
    refused = gone("a", reason="UnexpectedAdmissionError")
    assert look(refused, pod("b", phase="Pending", node="")).trouble.cause == "DeviceRefused"
    assert look(refused, pod("b", main=RUNNING)).trouble is None


def test_a_node_that_does_not_answer_is_the_trouble_of_its_pods() -> None:
    running = pod(main={"state": {"running": {"startedAt": "2026-01-01T12:00:00Z"}}})
    (seen,) = look(running, nodes=[node(ready=False)]).instances
    assert (seen.trouble.cause, seen.trouble.is_waiting) == ("NodeNotReady", True)


def needs_gpu(name: str = "new", **labels: str) -> dict[str, Any]:
    waiting = pod(name, phase="Pending", node="")
    waiting["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] = "1"
    said = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient x/gpu."}
    waiting["status"]["conditions"].append({**said, "lastTransitionTime": "2026-01-01T12:00:00Z"})
    waiting["metadata"]["labels"] |= labels
    return waiting


FULL = [node(gpu=1, free=(8, 32_768, 0))]
RUNNING = {"state": {"running": {"startedAt": "2026-01-01T12:00:05Z"}}, "ready": True}


def old(**changes: Any) -> dict[str, Any]:
    one = pod("old", main=RUNNING, ready=True, **changes)
    one["metadata"]["labels"]["slipway.dev/revision"] = "2"
    return one


def test_an_update_without_room_says_that_the_old_instances_have_it() -> None:
    seen = look(old(), needs_gpu(), nodes=FULL)
    new = next(one for one in seen.instances if one.name == "new")
    assert (new.trouble.cause, new.trouble.is_waiting) == ("SurgeBlocked", True)
    assert explain_trouble(new.trouble).what == (
        "Needs 1 GPU; 0 of 1 are free. "
        "The old instances hold the rest, and the rolling strategy lets none of them end first."
    )


def test_an_update_that_may_replace_waits_for_the_old_instance_to_end() -> None:
    replacing = deployment(unavailable="1")
    seen = look(old(ending=True), needs_gpu(), manifest=replacing, nodes=FULL)
    assert next(one for one in seen.instances if one.name == "new").trouble.cause == "MakingRoom"


def test_an_instance_that_made_room_for_another_says_so() -> None:
    preempted = event("Preempted", "Preempted by pod x on node node-1", about="before")
    (seen,) = look(needs_gpu(), events=[preempted], nodes=FULL).instances
    assert (seen.trouble.cause, seen.trouble.is_waiting) == ("Preempted", True)


@pytest.mark.parametrize(
    ("words", "cause", "is_waiting"),
    [
        ("ERROR: No matching distribution found for torchh==9", "RequirementMissing", False),
        ("/opt/venv/bin/python3: No module named pip", "PipMissing", False),
        ("slipway: NoSuchBucket: there is no bucket weights", "BucketMissing", False),
        ("slipway: AccessDenied: the object store does not let oss://b/p/ be read", "StorageDenied", False),
        ("slipway: NoSuchKey: there are no files under oss://b/p/", "FilesMissing", False),
        ("slipway: NoSpace: 19.4 GiB are to be copied, and 3.0 GiB are free", "CopyTooLarge", False),
        ('slipway: EndpointConnectionError: Could not connect to the endpoint URL: "http://x"', "StorageAway", True),
        ("fatal: Authentication failed for 'https://git.example/x.git/'", "RepositoryDenied", False),
        ("fatal: couldn't find remote ref main2", "RepositoryMissing", False),
        ("fatal: repository 'https://git.example/x.git/' not found", "RepositoryMissing", False),
        (
            "fatal: unable to access 'https://g/x.git/': Failed to connect to g port 443 after 0 ms",
            "RepositoryAway",
            True,
        ),
        ("fatal: unable to access 'https://g/x.git/': Could not resolve host: g", "RepositoryAway", True),
        ("fatal: unable to access 'https://g/x.git/': The requested URL returned error: 503", "RepositoryAway", True),
        (
            "fatal: unable to access 'https://g/x.git/': The requested URL returned error: 400",
            "RepositoryMissing",
            False,
        ),
        ("something of its own", "PreparationFails", True),
    ],
)
def test_why_a_preparation_fails_is_read_from_its_last_words(words: str, cause: str, is_waiting: bool) -> None:
    failing = pod(
        phase="Pending",
        main={"state": {"waiting": {"reason": "PodInitializing"}}},
        init=[{"name": "prepare", "state": ended(1, message=f"some talk\n{words}"), "restartCount": 0}],
        initContainers=[{"name": "prepare", "image": "kube.local/chat-llm:dev"}],
    )
    (seen,) = look(failing).instances
    assert (seen.trouble.cause, seen.trouble.is_waiting) == (cause, is_waiting)
    assert seen.log_tail[-1] == words


@pytest.mark.parametrize(
    "message",
    [
        'MountVolume.MountDevice failed for volume "v" : kubernetes.io/csi: attacher.MountDevice failed to create '
        "newCsiDriverClient: driver name oss.example not found in the list of registered CSI drivers",
        'AttachVolume.Attach failed for volume "v" : CSINode node-1 does not contain driver oss.example',
        'AttachVolume.Attach failed for volume "v" : timed out waiting for external-attacher of oss.example CSI driver '
        "to attach volume v",
    ],
)
def test_a_storage_driver_that_the_node_does_not_have_is_named(message: str) -> None:
    waiting = pod(phase="Pending", main={"state": {"waiting": {"reason": "ContainerCreating"}}})
    (seen,) = look(waiting, events=[event("FailedMount", message)]).instances
    assert (seen.trouble.cause, seen.trouble.values["driver"]) == ("DriverMissing", "oss.example")


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        (
            "bad option; for several filesystems (e.g. nfs, cifs) you might need a /sbin/mount.<type> helper program.",
            "nfs",
        ),
        ("mount.nfs: access denied by server while mounting 10.0.0.1:/x", ""),
    ],
)
def test_a_node_that_cannot_mount_a_kind_of_file_system_is_told_from_a_server_that_refuses(
    output: str, kind: str
) -> None:
    message = (
        'MountVolume.SetUp failed for volume "v" : mount failed: exit status 32\nMounting command: mount\n'
        f"Mounting arguments: -t nfs 10.0.0.1:/x /var/lib/kubelet/pods/1/v\nOutput: {output}"
    )
    waiting = pod(phase="Pending", main={"state": {"waiting": {"reason": "ContainerCreating"}}})
    (seen,) = look(waiting, events=[event("FailedMount", message)]).instances
    assert (seen.trouble.cause, seen.trouble.values.get("filesystem", "")) == ("MountFails", kind)


def test_a_folder_of_an_object_store_is_named_as_the_document_does() -> None:
    message = 'AttachVolume.Attach failed for volume "chat-0" : timed out waiting for the driver'
    claimed = {"name": "storage-0", "persistentVolumeClaim": {"claimName": "chat-0"}}
    waiting = pod(phase="Pending", main={"state": {"waiting": {"reason": "ContainerCreating"}}}, volumes=[claimed])
    volume = {"metadata": {"name": "chat-0"}, "spec": {"csi": {"volumeAttributes": {"bucket": "b", "path": "/qwen/"}}}}
    view = View("eas-m-1", {"chat-1": waiting}, {"PersistentVolume/chat-0": volume}, [event("FailedMount", message)])
    (seen,) = observe_service(view, NOW).instances
    assert seen.trouble is not None
    assert seen.trouble.values["source"] == "oss://b/qwen/"


def test_a_mount_s_reason_is_the_program_s_without_paths() -> None:
    message = (
        'MountVolume.SetUp failed for volume "v" : mount failed: exit status 32\nMounting command: mount\n'
        "Mounting arguments: -t nfs 10.0.0.9:/x /var/lib/kubelet/pods/x/volumes/v\n"
        "Output: mount.nfs: Connection timed out for 10.0.0.9:/x on /var/lib/kubelet/pods/x/volumes/v\n"
    )
    assert mount_reason(message).startswith("Connection timed out")


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({"name": "storage-0", "command": ["python", "-m", COPIER], "args": ["--bucket=b", "--prefix=p"]},
         "Copying the files of oss://b/p."),
        ({"name": "storage-1", "command": ["python", "-m", CLONER], "args": ["--repo=https://git.example/x"]},
         "Cloning https://git.example/x."),
        ({"name": "requirements", "command": ["/bin/sh"]}, "Installing Python packages."),
        ({"name": "of-others"}, "Preparing: of-others."),
    ],
)  # fmt: skip
def test_a_step_says_what_is_being_prepared(container: dict[str, Any], words: str) -> None:
    assert preparation_words(container) == words
