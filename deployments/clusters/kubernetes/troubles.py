"""Why a pod does not get on, or why a service gets none: the first reason that holds, in the order of a start. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from deployments.clusters.base import Trouble
from deployments.clusters.kubernetes.admission import creation_trouble
from deployments.clusters.kubernetes.fates import ended_at, fate_of
from deployments.clusters.kubernetes.names import RESTART, REVISION
from deployments.clusters.kubernetes.preparing import preparation_trouble, sidecar_trouble
from deployments.clusters.kubernetes.pulling import WAITS_FOR_IMAGE, last_words, pull_trouble
from deployments.clusters.kubernetes.reading import (
    Json,
    condition,
    events_of,
    field_path,
    happened_at,
    is_ending,
    labels_of,
    moment,
    name_of,
    state_of,
    status_of,
)
from deployments.clusters.kubernetes.scheduling import SHORTAGES, scheduling_trouble
from deployments.clusters.kubernetes.volumes import claim_trouble, mount_trouble, pending_claim
from deployments.clusters.overview import NodeFields

#: For so long the end of an instance, for another one or by its node, explains why the next one is not there yet.
REMEMBERED_FOR = timedelta(minutes=10)
#: Ends of the same kind in that time, before they count as what will not cure itself.
TOO_OFTEN = 3
FAILED_PHASES = ("Failed", "Succeeded")


def has_failed(pod: Json) -> bool:
    """Whether it ended for good, and was not asked to."""
    return status_of(pod).get("phase") in FAILED_PHASES and not is_ending(pod)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a pod's trouble may come from besides the pod itself."""

    manifests: Mapping[str, Json] = field(default_factory=dict)
    events: Sequence[Json] = ()
    nodes: Sequence[NodeFields] = ()
    pods: Sequence[Json] = ()  # all of the service
    #: Last kept log lines, by container, of this pod.
    tails: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def failed(self) -> Sequence[Json]:
        return [pod for pod in self.pods if has_failed(pod)]


def pod_trouble(pod: Json, around: Surroundings, now: datetime) -> Trouble | None:
    """None where the pod gets on, is to end, or where its program's own end tells (``ends``)."""
    if is_ending(pod):
        return None
    if has_failed(pod):
        reason = status_of(pod).get("reason")
        others = sum(status_of(other).get("reason") == reason for other in around.failed)
        return fate_of(pod, again=others >= TOO_OFTEN)
    own = sorted(events_of(pod, around.events), key=lambda event: happened_at(event) or now)
    if not pod["spec"].get("nodeName"):
        return trouble_without_node(pod, around, own)
    since = moment(condition(pod, "PodScheduled").get("lastTransitionTime"))
    return (
        node_trouble(pod, around.nodes)
        or container_trouble(pod, own, since, now)
        or preparation_trouble(pod, around.tails, since, now)
        or (mount_trouble(pod, own, around.manifests, now) if has_not_begun(pod) else None)
        or sidecar_trouble(pod, since)
    )


def trouble_without_node(pod: Json, around: Surroundings, own: Sequence[Json]) -> Trouble | None:
    grows = any(event.get("reason") == "TriggeredScaleUp" for event in own)
    trouble = scheduling_trouble(pod, around.nodes, grows=grows)
    if trouble is not None and trouble.cause == "VolumePending":
        found = claim_trouble(pod, around.manifests, around.events, trouble.since)
        return found or pending_claim(pod, trouble.since)
    return trouble


def node_trouble(pod: Json, nodes: Sequence[NodeFields]) -> Trouble | None:
    """Its node does not answer: what the pod says of itself is from before that."""
    name = pod["spec"]["nodeName"]
    for node in nodes:
        if node["name"] == name and not node["is_ready"]:
            return Trouble("NodeNotReady", {"node": name}, moment(node["since"]), is_waiting=True)
    return None


def made_at(pod: Json) -> tuple[str, str]:
    return str(pod["metadata"].get("creationTimestamp") or ""), name_of(pod)


def has_not_begun(pod: Json) -> bool:
    """No container has run yet, so that it may be volumes that are waited for."""
    statuses = [*(status_of(pod).get("initContainerStatuses") or ()), *(status_of(pod).get("containerStatuses") or ())]
    return all(state_of(one)[0] in ("", "waiting") and not state_of(one, "lastState")[0] for one in statuses)


def container_trouble(pod: Json, own: Sequence[Json], since: datetime | None, now: datetime) -> Trouble | None:
    """The first container that waits for what does not come: its image, its configuration, its creation."""
    images = {
        one["name"]: one["image"] for one in [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    }
    status = status_of(pod)
    node = str(pod["spec"]["nodeName"])
    for one in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        kind, details = state_of(one)
        reason, message = str(details.get("reason") or ""), str(details.get("message") or "")
        if kind != "waiting":
            continue
        if reason in WAITS_FOR_IMAGE:
            # Before 1.31 the kubelet names the reason in its event only.
            said = message if "ErrImagePull: " in message or reason != "ImagePullBackOff" else pull_words(one, own)
            return pull_trouble(str(images.get(one["name"], "")), reason, said, node, since, now)
        if reason == "CreateContainerConfigError":
            return configuration_trouble(message, since)
        if reason == "CreateContainerError":
            is_passing = bool(re.search(r"deadline exceeded|is reserved for", message))
            return Trouble("ContainerNotCreated", {"reason": last_words(message)}, since, is_waiting=is_passing)
    return None


def pull_words(status: Json, own: Sequence[Json]) -> str:
    about = f"{{{status['name']}}}"
    said = [
        str(event.get("message") or "")
        for event in own
        if event.get("reason") == "Failed" and field_path(event).endswith(about)
    ]
    return next((words for words in reversed(said) if words.startswith("Failed to pull")), "")


def configuration_trouble(message: str, since: datetime | None) -> Trouble:
    missing = re.search(r'(secret|configmap) "([^"]+)" not found', message)
    if missing:
        kind = "Secret" if missing[1] == "secret" else "ConfigMap"
        return Trouble("SecretMissing", {"kind": kind, "name": missing[2]}, since)
    key = re.search(r"couldn't find key (\S+) in (Secret|ConfigMap) (?:\S+/)?(\S+)", message)
    if key:
        return Trouble("SecretMissing", {"kind": key[2], "name": f"{key[3]}: {key[1]}"}, since)
    if "run as root" in message or "non-numeric user" in message:
        return Trouble("RootRefused", {}, since)
    return Trouble("NotConfigured", {"reason": last_words(message)}, since)


# Of the service as a whole


def deployment_of(manifests: Mapping[str, Json]) -> Json | None:
    return next((one for key, one in manifests.items() if key.startswith("Deployment/")), None)


def service_trouble(around: Surroundings, now: datetime) -> Trouble | None:
    """Why the service gets no instance, or why those that it gets do not stay. The pods' own troubles are not said."""
    deployment = deployment_of(around.manifests)
    if deployment is None or is_ending(deployment):
        return None
    refused = creation_trouble(deployment)
    if refused is not None:
        return refused
    fates = repeated_fate(deployment, around, now)
    if fates is not None:
        return fates
    progress = condition(deployment, "Progressing")
    waits = any(is_wanted(deployment, pod) and status_of(pod).get("phase") == "Pending" for pod in around.pods)
    if progress.get("reason") == "ProgressDeadlineExceeded" and waits:
        return Trouble("NoProgress", {}, moment(progress.get("lastTransitionTime")), is_waiting=True)
    return None


def is_wanted(deployment: Json, pod: Json) -> bool:
    """Of the revision and restart that the Deployment makes pods of now."""
    labels = (deployment["spec"].get("template") or {}).get("metadata", {}).get("labels") or {}
    return all(labels_of(pod).get(name) == labels.get(name) for name in (REVISION, RESTART))


def is_recent(at: datetime | None, now: datetime) -> bool:
    return at is not None and now - at < REMEMBERED_FOR


def repeated_fate(deployment: Json, around: Surroundings, now: datetime) -> Trouble | None:
    """The same end for good of several pods: whatever takes their place ends the same way.

    Where one that took it has begun to run, it takes several ends to say so.
    """
    now_wanted = [pod for pod in around.failed if is_wanted(deployment, pod) and is_recent(ended_at(pod), now)]
    if not now_wanted:
        return None
    newest = max(now_wanted, key=made_at)
    reason = status_of(newest).get("reason")
    again = sum(status_of(pod).get("reason") == reason for pod in now_wanted) >= TOO_OFTEN
    has_successor = any(
        is_wanted(deployment, pod) and not has_failed(pod) and not has_not_begun(pod) and made_at(pod) > made_at(newest)
        for pod in around.pods
    )
    return fate_of(newest, again=again) if again or not has_successor else None


def with_context(pod: Json, trouble: Trouble | None, around: Surroundings, now: datetime) -> Trouble | None:
    """A shortage as what lies behind it: an update without room beside the old pods, or another that was let in."""
    deployment = deployment_of(around.manifests)
    if trouble is None or trouble.cause not in SHORTAGES or not trouble.is_waiting or deployment is None:
        return trouble
    if is_wanted(deployment, pod):
        old = [one for one in around.pods if not is_wanted(deployment, one)]
        rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
        if any(not is_ending(one) for one in old) and str(rolling.get("maxUnavailable", "")).strip("%") == "0":
            return replace(trouble, cause="SurgeBlocked", values={**trouble.values, "short": trouble.cause})
        if old:
            return replace(trouble, cause="MakingRoom")
    for event in around.events:
        at = happened_at(event)
        if event.get("reason") == "Preempted" and is_recent(at, now):
            return replace(trouble, cause="Preempted")
    return trouble
