"""What pods say, in the words that every cluster shares: a pod's JSON becomes an ``InstanceObservation``. Pure.

The kubelet's phases of a pod are five words that hide what happens; what counts here are the states of the main
container and of those before it, with Kubernetes' events where a state says less than they do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from deployments.bytes_done import loading_words
from deployments.clusters.base import InstanceObservation, InstancePhase, ProgramExit, ServiceObservation
from deployments.clusters.kubernetes.ends import last_exit_of, last_words_of
from deployments.clusters.kubernetes.kinds import AUTOSCALER
from deployments.clusters.kubernetes.logs.counting import Counted
from deployments.clusters.kubernetes.names import CRASH_BLOCK, RESTART, REVISION
from deployments.clusters.kubernetes.preparing import failure_of, preparation_words
from deployments.clusters.kubernetes.reaching import Way
from deployments.clusters.kubernetes.reading import (
    Json,
    condition,
    events_of,
    field_path,
    happened_at,
    is_ending,
    labels_of,
    main_container,
    main_status,
    moment,
    name_of,
    state_of,
    status_of,
)
from deployments.clusters.kubernetes.troubles import (
    FAILED_PHASES,
    Surroundings,
    deployment_of,
    made_at,
    pod_trouble,
    service_trouble,
    with_context,
)
from deployments.clusters.overview import NodeFields
from deployments.stages import Stage
from deployments.words import say

#: The kubelet's waits between two starts: 10 s, doubled up to 5 minutes.
FIRST_BACKOFF, LONGEST_BACKOFF = timedelta(seconds=10), timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class View:
    """What is known of one service's objects, as ``ClusterView`` keeps it, and of the cluster around them.

    ``nodes`` are those of ``ClusterState``; ``log_tails`` are the last kept lines by pod, and ``counts`` how
    far its program said it is.
    """

    service_uid: str
    pods: Mapping[str, Json] = field(default_factory=dict)
    manifests: Mapping[str, Json] = field(default_factory=dict)
    events: Sequence[Json] = ()
    nodes: Sequence[NodeFields] = ()
    log_tails: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    counts: Mapping[str, Counted] = field(default_factory=dict)


#: The way to a pod, by its port.
Reach = Callable[[Json, int], Way]


def observe_service(view: View, now: datetime, reach: Reach = lambda pod, port: Way()) -> ServiceObservation:
    """Everything of one service. Pods that have ended for good and were replaced are told of no more."""
    around = Surroundings(view.manifests, view.events, view.nodes, list(view.pods.values()))
    seen = []
    for name, pod in sorted(view.pods.items()):
        if is_over(pod, view):
            continue
        one = observe_pod(pod, view.events, now, view.log_tails.get(name, ()), around, view.counts.get(name))
        seen.append(replace(with_way(one, pod, reach), trouble=with_context(pod, one.trouble, around, now)))
    trouble = service_trouble(around, now)
    return ServiceObservation(
        view.service_uid,
        tuple(seen),
        leftovers=bool(view.manifests),
        trouble=trouble,
        scaled_to=scaled_to(view.manifests),
    )


def scaled_to(manifests: Mapping[str, Json]) -> int | None:
    """How many instances an autoscaler has made of the service; None where there is none, or the service is stopped."""
    deployment = deployment_of(manifests)
    if deployment is None or not any(key.startswith(f"{AUTOSCALER.name}/") for key in manifests):
        return None
    return deployment["spec"].get("replicas") or None


def with_way(seen: InstanceObservation, pod: Json, reach: Reach) -> InstanceObservation:
    way = reach(pod, seen.port)
    return replace(seen, base_url=way.base_url, probe_url=way.probe_url)


def is_over(pod: Json, view: View) -> bool:
    """Whether a pod has ended for good (evicted, refused by its node) and nothing waits for it.

    Its ReplicaSet has made another one, or none is wanted; it stays in the cluster until somebody collects it, also
    where no instance is wanted, which must not look like one that is still stopping.
    """
    if phase_of(pod) is not InstancePhase.FAILED:
        return False
    deployment = deployment_of(view.manifests)
    if deployment is not None and not is_ending(deployment) and deployment["spec"].get("replicas") == 0:
        return True
    return any(
        phase_of(other) is not InstancePhase.FAILED or made_at(other) > made_at(pod)
        for other in view.pods.values()
        if other is not pod and labels_of(other).get(REVISION) == labels_of(pod).get(REVISION)
    )


def observe_pod(
    pod: Json,
    events: Sequence[Json],
    now: datetime,
    log_tail: tuple[str, ...] = (),
    around: Surroundings | None = None,
    counted: Counted | None = None,
) -> InstanceObservation:
    """One pod as an instance. ``events`` may be of any objects; ``log_tail`` is given out after a failure only."""
    own = sorted(events_of(pod, events), key=lambda event: happened_at(event) or now)
    main, status = main_container(pod), main_status(pod)
    state, details = state_of(status)
    phase = phase_of(pod)
    last_exit = last_exit_of(main, status, own)
    if last_exit is not None and CRASH_BLOCK in (pod["metadata"].get("annotations") or {}) and not is_ending(pod):
        phase = InstancePhase.FAILED  # what runs in its place only keeps it from being started
    is_ready = phase is InstancePhase.RUNNING and condition(pod, "Ready").get("status") == "True"
    stage, step = (Stage.NONE, "") if is_ready else stage_of(pod, phase, own, counted)
    ports: Sequence[Json] = main.get("ports") or ({},)
    return InstanceObservation(
        name=name_of(pod),
        revision=int(labels_of(pod).get(REVISION) or 0),
        phase=phase,
        restart_token=str(labels_of(pod).get(RESTART) or ""),
        host=str(status_of(pod).get("podIP") or ""),
        port=int(ports[0].get("containerPort") or 0),
        created_at=moment(pod["metadata"].get("creationTimestamp")),
        started_at=moment(details.get("startedAt")) if state == "running" else None,
        restart_count=int(status.get("restartCount") or 0),
        last_exit=last_exit,
        retry_at=retry_at(status, last_exit) if phase is InstancePhase.BACKOFF else None,
        log_tail=(log_tail or last_words_of(status)) if last_exit else failed_words(pod),
        folders=mounted_folders(main),
        is_ready=is_ready,
        startup_seconds=startup_seconds(main),
        node=str(pod["spec"].get("nodeName") or ""),
        gpus=gpus_of(pod),
        stage=stage,
        step=step,
        trouble=pod_trouble(pod, around or Surroundings(events=events), now),
    )


def failed_words(pod: Json) -> tuple[str, ...]:
    """The last words of an init container that failed."""
    for status in status_of(pod).get("initContainerStatuses") or ():
        words = last_words_of(status) if failure_of(status) is not None else ()
        if words:
            return words
    return ()


def mounted_folders(container: Json) -> tuple[tuple[str, str], ...]:
    """In a container a mounted folder has the path that the document gives it."""
    return tuple((str(mount["mountPath"]),) * 2 for mount in container.get("volumeMounts") or ())


def phase_of(pod: Json) -> InstancePhase:
    """The wish to end comes first, then the end of the pod as a whole, then its main container."""
    if is_ending(pod):
        return InstancePhase.STOPPING
    if status_of(pod).get("phase") in FAILED_PHASES:
        return InstancePhase.FAILED
    if not pod["spec"].get("nodeName"):
        return InstancePhase.PENDING
    status = main_status(pod)
    state, _ = state_of(status)
    if state == "running":
        return InstancePhase.RUNNING
    if state == "terminated" or state_of(status, "lastState")[0] == "terminated":
        return InstancePhase.BACKOFF
    return InstancePhase.CREATING


def retry_at(status: Json, last_exit: ProgramExit | None) -> datetime | None:
    """When the kubelet starts it again: the wait that it names, else the one that it has by its rule."""
    if last_exit is None:
        return None
    named = re.search(r"back-off (?:(\d+)m)?(?:(\d+)s)?", str(state_of(status)[1].get("message") or ""))
    if named and any(named.groups()):
        wait = timedelta(minutes=int(named[1] or 0), seconds=int(named[2] or 0))
    else:
        starts = min(int(status.get("restartCount") or 0), 10)
        wait = min(FIRST_BACKOFF * 2 ** (starts - 1), LONGEST_BACKOFF) if starts else timedelta()
    return last_exit.finished_at + wait


def startup_seconds(container: Json) -> float:
    """What the startup probe allows before the kubelet ends the program."""
    probe = container.get("startupProbe")
    if not probe:
        return 0.0
    times = int(probe.get("periodSeconds") or 10) * int(probe.get("failureThreshold") or 3)
    return float(int(probe.get("initialDelaySeconds") or 0) + times)


def gpus_of(pod: Json) -> int:
    """Whole GPUs of all its containers, of any maker."""
    return sum(
        int(amount)
        for container in pod["spec"]["containers"]
        for name, amount in ((container.get("resources") or {}).get("limits") or {}).items()
        if name.endswith("/gpu")
    )


def working_container(pod: Json) -> str:
    """The id of the container that runs on the way to the program's first answer; "" where none does.

    Once its startup check has passed, what a program said of its loading is long over.
    """
    turn, status = container_in_turn(pod)
    state, _ = state_of(status)
    is_over = turn is main_container(pod) and status.get("started") is not False
    return "" if state != "running" or is_over else str(status.get("containerID") or "")


def stage_of(pod: Json, phase: InstancePhase, own: Sequence[Json], counted: Counted | None = None) -> tuple[Stage, str]:
    """How far a pod is that does not answer yet, and its step in a sentence (console.md §7)."""
    if counted is not None and counted.container_id != working_container(pod):
        counted = None
    if phase is InstancePhase.PENDING:
        return Stage.PLACING, say("Waiting for a node.")
    if phase is InstancePhase.CREATING:
        return stage_of_creation(pod, own, counted)
    if phase is InstancePhase.RUNNING:
        return stage_of_program(pod, own) if counted is None else (Stage.LOADING, loading_words(counted.bytes_done))
    return Stage.NONE, ""


def stage_of_creation(pod: Json, own: Sequence[Json], counted: Counted | None) -> tuple[Stage, str]:
    """Before the main program: which container's turn it is, and whether its image is being pulled."""
    turn, status = container_in_turn(pod)
    if is_pulling(str(turn["name"]), own):
        return Stage.IMAGE, say("Pulling the image %(image)s.", image=str(turn["image"]))
    if state_of(status)[0] == "running":
        return Stage.WEIGHTS, preparation_words(turn, counted)
    return Stage.PLACING, say("Preparing the instance on %(node)s.", node=str(pod["spec"]["nodeName"]))


def container_in_turn(pod: Json) -> tuple[Json, Json]:
    """The first init container that is not through, else the main one; with its status."""
    statuses = {one["name"]: one for one in status_of(pod).get("initContainerStatuses") or ()}
    for container in pod["spec"].get("initContainers") or ():
        status = statuses.get(container["name"], {})
        is_sidecar = container.get("restartPolicy") == "Always" and status.get("started")
        state, details = state_of(status)
        if not is_sidecar and not (state == "terminated" and details.get("exitCode") == 0):
            return container, status
    return main_container(pod), main_status(pod)


def is_pulling(container: str, own: Sequence[Json]) -> bool:
    """Whether the last that was said of a container's image is that it is being pulled."""
    about = [event["reason"] for event in own if field_path(event).endswith(f"{{{container}}}")]
    said = [reason for reason in about if reason in ("Pulling", "Pulled", "Failed", "BackOff")]
    return bool(said) and said[-1] == "Pulling"


def stage_of_program(pod: Json, own: Sequence[Json]) -> tuple[Stage, str]:
    """The program runs and the kubelet's checks do not pass yet: what the last of them was answered."""
    answers = [str(event.get("message") or "") for event in own if event.get("reason") == "Unhealthy"]
    status = re.search(r"statuscode: (\d+)", answers[-1]) if answers else None
    if status is None:
        return Stage.STARTING, say("Starting the program: it does not listen yet.")
    if status[1] == "503":
        return Stage.LOADING, say("Loading: the check answers 503.")
    return Stage.CHECKING, say("The check answers %(status)s.", status=status[1])
