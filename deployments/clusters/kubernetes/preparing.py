"""What runs before the program and beside it: init containers that copy files and install packages, sidecars. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from deployments.bytes_done import copying_words
from deployments.clusters.base import Trouble
from deployments.clusters.kubernetes.logs.counting import Counted
from deployments.clusters.kubernetes.reading import Json, container_status, main_container, state_of
from deployments.clusters.kubernetes.rendering.storage import CLONER, COPIER
from deployments.words import Sentence, say

#: Ends of a preparation, or of a container beside the program, before it counts as one that will not work.
TRIES = 3
LONGEST_SOURCE = 140
#: For so long an object store or a Git server that does not answer is only waited for.
PATIENCE = timedelta(minutes=10)

#: What a preparation's last words say, in this order.
SIGNS: Sequence[tuple[str, re.Pattern[str]]] = tuple(
    (cause, re.compile(text, re.IGNORECASE))
    for cause, text in (
        ("PipMissing", r"No module named pip\b|the image has no Python"),
        ("RequirementMissing", r"No matching distribution found for (?P<name>[^\s;(]+)"),
        ("RequirementMissing", r"Could not find a version that satisfies the requirement (?P<name>[^\s;(]+)"),
        # git's own words
        ("RepositoryDenied", r"Authentication failed|could not read (?:Username|Password)|error: 403"),
        ("RepositoryAway", r"Failed to connect to|Could not resolve host|Connection (?:timed out|refused|reset)"
                           r"|Operation timed out|Empty reply from|SSL certificate problem|SSL_ERROR|early EOF"
                           r"|error: (?:429|5\d\d)"),
        ("RepositoryMissing", r"repository '?\S*'? ?not found|couldn't find remote ref|unable to access '"
                              r"|did not match any file|unable to read tree|not our ref|does not appear to be a git"),
        # The copier's: S3's codes.
        ("BucketMissing", r"NoSuchBucket(?:: there is no bucket (?P<name>\S+))?"),
        ("StorageDenied", r"AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|Forbidden"),
        ("FilesMissing", r"NoSuchKey(?:: there are no files under (?P<name>\S+))?"),
        ("CopyTooLarge", r"NoSpace: (?P<need>[\d.]+) GiB are to be copied, and (?P<free>[\d.]+) GiB"),
        ("StorageAway", r"EndpointConnectionError|ConnectTimeout|ReadTimeout|ConnectionClosed|SlowDown|InternalError"),
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


def preparation_words(container: Json, counted: Counted | None = None) -> Sentence:
    """What an init container does (``rendering``), and how far it is: ours are known by their program."""
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    options = dict(word.lstrip("-").split("=", 1) for word in words if word.startswith("--") and "=" in word)
    if COPIER in words:
        source = shortened(f"oss://{options.get('bucket', '')}/{options.get('prefix', '')}")
        if counted is None:
            return copying_words(source)
        return copying_words(source, counted.bytes_done, counted.bytes_per_second)
    if CLONER in words:
        return say("Cloning %(source)s.", source=options.get("repo", ""))
    if str(container["name"]).startswith("requirements"):
        return say("Installing Python packages.")
    return say("Preparing: %(what)s.", what=str(container["name"]))


def shortened(source: str) -> str:
    """Both ends of a long path: of a step 300 letters are kept, and one that is cut is not translated."""
    return (
        source if len(source) <= LONGEST_SOURCE else f"{source[: LONGEST_SOURCE // 2]}…{source[-LONGEST_SOURCE // 2 :]}"
    )


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
            named = {key: value or "" for key, value in match.groupdict().items()}
            is_waiting = cause in ("StorageAway", "RepositoryAway") and (since is None or now - since < PATIENCE)
            return Trouble(cause, named, since, is_waiting=is_waiting)
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
