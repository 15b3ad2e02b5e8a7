"""Why a pod's volumes are not there: claims that are not bound, mounts that fail. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from deployments.clusters.base import Trouble
from deployments.clusters.kubernetes.pulling import last_words
from deployments.clusters.kubernetes.reading import Json, happened_at, moment, name_of, status_of

#: A failed mount is tried again at once; only one that goes on needs a person.
PATIENCE = timedelta(minutes=2)
MOUNT_EVENTS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
#: Races of the kubelet with itself just after a pod's start.
PASSING = re.compile(r"failed to sync|not registered|object has been modified|operation .* already exists")
#: As the kubelet says it of a driver that is not on its node, and of one that nobody attaches volumes for.
DRIVER_MISSING = re.compile(
    r"driver name (\S+) not found in the list|CSINode \S+ does not contain driver (\S+)"
    r"|external-attacher of (\S+) CSI driver"
)

#: As mount(8) says it where nothing on its machine mounts that kind of file system; the kind is in its arguments.
HELPER_MISSING = re.compile(
    r"-t (?P<kind>\w+)\s.*(?:unknown filesystem type|need a /sbin/mount\.\S+ helper)", re.DOTALL
)


def claims_of(pod: Json) -> Iterator[str]:
    for volume in claim_volumes(pod):
        yield str(volume["persistentVolumeClaim"]["claimName"])


def claim_volumes(pod: Json) -> list[Json]:
    return [one for one in pod["spec"].get("volumes") or () if one.get("persistentVolumeClaim")]


def claim_trouble(
    pod: Json, manifests: Mapping[str, Json], events: Sequence[Json], since: datetime | None
) -> Trouble | None:
    """The first claim of the pod that is known to be unbound, and why."""
    for name in claims_of(pod):
        claim = manifests.get(f"PersistentVolumeClaim/{name}")
        if claim is not None and status_of(claim).get("phase") != "Bound":
            return unbound(claim, events, since)
    return None


def pending_claim(pod: Json, since: datetime | None) -> Trouble:
    """Claims that the cluster holds back, of which nothing else is known: an administrator's."""
    return Trouble("VolumePending", {"claim": ", ".join(claims_of(pod))}, since, is_waiting=True)


def unbound(claim: Json, events: Sequence[Json], since: datetime | None) -> Trouble:
    name, spec = name_of(claim), claim["spec"]
    messages = [
        str(event.get("message") or "")
        for event in events
        if (event.get("involvedObject") or {}).get("kind") == "PersistentVolumeClaim"
        and event["involvedObject"].get("name") == name
    ]
    said = messages[-1] if messages else ""
    missing = re.search(r'storageclass\S* "([^"]+)" not found', said)
    if missing:
        return Trouble("StorageClassMissing", {"claim": name, "name": missing[1]}, since)
    size = str((spec.get("resources") or {}).get("requests", {}).get("storage", ""))
    if "no persistent volumes available" in said or (not said and spec.get("storageClassName") == ""):
        return Trouble("NoVolume", {"claim": name, "size": size}, since)
    return Trouble("VolumePending", {"claim": name}, since, is_waiting=True)


def mount_trouble(pod: Json, own: Sequence[Json], manifests: Mapping[str, Json], now: datetime) -> Trouble | None:
    """What the last failed mount of a pod says, whose containers wait for it."""
    failed = [event for event in own if event.get("reason") in MOUNT_EVENTS]
    telling = [event for event in failed if "timed out waiting for the condition" not in str(event.get("message"))]
    if not telling:
        return None
    event = telling[-1]
    message = str(event.get("message") or "")
    since = moment(event.get("firstTimestamp")) or happened_at(event)
    if PASSING.search(message):
        return None
    secret = re.search(r'(secret|configmap) "([^"]+)" not found', message)
    if secret:
        kind = "Secret" if secret[1] == "secret" else "ConfigMap"
        return Trouble("SecretMissing", {"kind": kind, "name": secret[2]}, since)
    named = re.search(r'for volume "([^"]+)"', message)
    volume = named[1] if named else ""
    node = str(pod["spec"].get("nodeName") or "")
    driver = DRIVER_MISSING.search(message)
    if driver:
        name = next(part for part in driver.groups() if part)
        return Trouble(
            "DriverMissing", {"source": source_of(pod, volume, manifests), "driver": name, "node": node}, since
        )
    is_young = since is None or now - since < PATIENCE
    values = {"source": source_of(pod, volume, manifests), "reason": mount_reason(message)}
    helper = HELPER_MISSING.search(message)
    if helper:
        values |= {"filesystem": helper["kind"], "node": node}
    return Trouble("MountFails", values, since, is_waiting=is_young)


def source_of(pod: Json, volume: str, manifests: Mapping[str, Json]) -> str:
    """A volume as people know it: what it is of, else where it is mounted. The kubelet names the pod's volume while it
    mounts, and the cluster's while that is attached.
    """
    claims = {str(one["name"]): one["persistentVolumeClaim"]["claimName"] for one in claim_volumes(pod)}
    there = manifests.get(f"PersistentVolume/{claims.get(volume, volume)}")
    made_for = ((there or {}).get("spec") or {}).get("csi", {}).get("volumeAttributes") or {}
    if made_for.get("bucket"):
        return f"oss://{made_for['bucket']}{made_for.get('path') or '/'}"
    for one in pod["spec"].get("volumes") or ():
        if one["name"] == volume and "nfs" in one:
            return f"nfs://{one['nfs']['server']}{one['nfs']['path']}"
    for container in pod["spec"]["containers"]:
        for mount in container.get("volumeMounts") or ():
            if mount["name"] == volume:
                return str(mount["mountPath"])
    return volume


def mount_reason(message: str) -> str:
    """The program's own words where there are any, without paths: those are the node's affair."""
    output = message.rpartition("Output: ")[2] if "Output: " in message else message.partition(" : ")[2] or message
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    # mount(8) ends in advice to read its manual.
    said = next((line for line in lines if "mount" in line), lines[0] if lines else "")
    said = re.sub(r"(?:mount(?:\.\w+)?: )?/\S+: ", "", said)
    return last_words(re.sub(r"^mount(?:\.\w+)?: ", "", said))
