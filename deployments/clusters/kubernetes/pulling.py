"""Why an image is not there: what the container runtime says of a pull, sorted. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from deployments.clusters.base import Trouble

#: States in which a container waits for its image.
WAITS_FOR_IMAGE = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
#: For so long a registry that does not answer is only waited for.
PATIENCE = timedelta(minutes=10)

NO_HOST = re.compile(r"no such host|server misbehaving|Name or service not known")
DENIED = re.compile(
    r"unauthorized|authentication required|access denied|denied:|insufficient_scope|authorization failed"
    r"|\b40[13]\b",
    re.IGNORECASE,
)
NOT_FOUND = re.compile(r"manifest unknown|name unknown|not found|does not exist|\b404\b", re.IGNORECASE)
AWAY = re.compile(
    r"timeout|timed out|deadline exceeded|connection refused|connection reset|no route to host|unreachable|EOF$"
    r"|too many requests|\b429\b|\b50[0234]\b",
    re.IGNORECASE,
)
DISK_FULL = re.compile(r"no space left on device|disk quota exceeded")


def pull_trouble(image: str, reason: str, message: str, node: str, since: datetime | None, now: datetime) -> Trouble:
    """``message`` is the runtime's error, "" where the kubelet keeps it to itself."""
    if reason == "InvalidImageName":
        return Trouble("ImageNameWrong", {"image": image}, since)
    if DISK_FULL.search(message):
        return Trouble("NodeDiskFull", {"node": node}, since, is_waiting=True)
    if NO_HOST.search(message):
        host = re.search(r"lookup ([^\s:]+)", message)
        return Trouble("RegistryUnknown", {"image": image, "host": host[1] if host else host_of(image)}, since)
    if DENIED.search(message):
        return Trouble("ImageDenied", {"image": image}, since)
    if AWAY.search(message):
        is_young = since is None or now - since < PATIENCE
        return Trouble("RegistryAway", {"image": image}, since, is_waiting=is_young)
    if NOT_FOUND.search(message):
        return Trouble("ImageNotFound", {"image": image}, since)
    return Trouble("ImageNotPulled", {"image": image, "reason": last_words(message) or reason}, since)


def host_of(image: str) -> str:
    """The registry's host: what stands before the first slash, where that is an address."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def last_words(message: str, most: int = 160) -> str:
    """The innermost of nested errors, without quotes and full stop: it is the reason, the others are the way to it."""
    inner = message.strip().rsplit(": ", 1)[-1] if len(message) > most else message.strip()
    return " ".join(inner.split())[:most].rstrip(". ")
