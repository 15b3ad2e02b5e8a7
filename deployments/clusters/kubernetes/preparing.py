"""What runs before the program and beside it: init containers that copy files and install packages, sidecars. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from deployments.clusters.base import Trouble
from deployments.clusters.kubernetes.reading import Json, container_status, main_container, state_of

#: Ends of a preparation, or of a container beside the program, before it counts as one that will not work.
TRIES = 3
#: For so long an object store that does not answer is only waited for.
PATIENCE = timedelta(minutes=10)

#: What a preparation's last words say, in this order.
SIGNS: Sequence[tuple[str, re.Pattern[str]]] = tuple(
    (cause, re.compile(text, re.IGNORECASE))
    for cause, text in (
        ("RequirementMissing", r"No matching distribution found for (?P<name>[^\s;(]+)"),
        ("RequirementMissing", r"Could not find a version that satisfies the requirement (?P<name>[^\s;(]+)"),
        ("RepositoryDenied", r"Authentication failed|could not read (?:Username|Password)"
                             r"|Permission denied \(publickey"),
        ("RepositoryMissing", r"repository '?\S*'? ?not found|Remote branch \S+ not found|not a git repository"
                              r"|couldn't find remote ref|unable to access '|does not appear to be a git"),
        ("BucketMissing", r"NoSuchBucket(?:.*?bucket[ :'\"]+(?P<name>[a-z0-9][a-z0-9.-]{1,61}))?"),
        ("StorageDenied", r"AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|Forbidden|NoCredentials"),
        ("FilesMissing", r"NoSuchKey|no files? (?:at|under|in) (?P<name>\S+)"),
        ("StorageAway", r"EndpointConnectionError|ConnectTimeout|ReadTimeout|Could not connect|ConnectionClosed"),
    )
)  # fmt: skip


def preparation_trouble(
    pod: Json, tails: Mapping[str, Sequence[str]], since: datetime | None, now: datetime
) -> Trouble | None:
    """The first init container that has failed and is tried again. ``tails`` are kept last lines, by container."""
    for container in pod["spec"].get("initContainers") or ():
        name = str(container["name"])
        status = container_status(pod, name)
        if container.get("restartPolicy") == "Always":
            continue
        failed = failure_of(status)
        if failed is None:
            continue
        ends = int(status.get("restartCount") or 0) + (state_of(status)[0] != "running")
        lines = [*tails.get(name, ()), *str(failed.get("message") or "").splitlines()]
        return explained(name, failed, lines, ends, since, now)
    return None


def failure_of(status: Json) -> Json | None:
    """How a container's program failed last, where it has not ended well since."""
    state, details = state_of(status)
    if state == "terminated":
        return details if int(details.get("exitCode") or 0) else None
    before, details = state_of(status, "lastState")
    return details if before == "terminated" and int(details.get("exitCode") or 0) else None


def explained(
    name: str, failed: Json, lines: Sequence[str], ends: int, since: datetime | None, now: datetime
) -> Trouble:
    for cause, pattern in SIGNS:
        for line in reversed(lines):
            match = pattern.search(line)
            if match is None:
                continue
            named = match.groupdict().get("name") or ""
            is_waiting = cause == "StorageAway" and (since is None or now - since < PATIENCE)
            return Trouble(cause, {"name": named}, since, is_waiting=is_waiting)
    values = {"step": name, "code": str(failed.get("exitCode") or 0)}
    return Trouble("PreparationFails", values, since, is_waiting=ends < TRIES)


def sidecar_trouble(pod: Json, since: datetime | None) -> Trouble | None:
    """A container beside the program that ends again and again keeps the whole instance from being ready."""
    main = main_container(pod)["name"]
    beside = [one for one in pod["spec"].get("initContainers") or () if one.get("restartPolicy") == "Always"]
    for container in [*pod["spec"]["containers"], *beside]:
        if container["name"] == main:
            continue
        status = container_status(pod, str(container["name"]))
        kind, details = state_of(status)
        if kind != "terminated":
            kind, details = state_of(status, "lastState")
        ends = int(status.get("restartCount") or 0) + (state_of(status)[0] != "running")
        if kind == "terminated" and not status.get("ready"):
            values = {"name": str(container["name"]), "code": str(details.get("exitCode") or 0)}
            return Trouble("SidecarEnds", values, since, is_waiting=ends < TRIES)
    return None
