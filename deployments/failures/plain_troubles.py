"""The wordings of troubles where one sentence does for every case; the values fill its places. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from deployments.failures.cause import CLUSTER, COMMAND, DISK, IMAGE, MOUNTS
from deployments.words import Said, Sentence, say

Values: TypeAlias = Mapping[str, str | int]
#: What, cure, and the document's path to change ("" where nothing of the document helps).
Worded: TypeAlias = tuple[Sentence, Sentence, str]


def plain(what: Sentence, cure: Sentence, field: str) -> Callable[[Values, bool], Worded]:
    """Sentences with named places, which the values fill in as they are."""

    def make(values: Values, _: bool) -> Worded:
        return fill(what, values), fill(cure, values), field

    return make


def fill(sentence: Sentence, values: Values) -> Sentence:
    """A sentence that was said without values, with them. A place that has none stays empty."""
    message = next(part.message for part in sentence.parts if isinstance(part, Said))
    places = re.findall(r"%\((\w+)\)s", message)
    return Sentence(Said(message, values={name: str(values.get(name, "")) for name in places})) if places else sentence


#: What is said where one sentence does for every case.
PLAIN: Mapping[str, Callable[[Values, bool], Worded]] = {
    "NoMatchingNode": plain(
        say("No node is labelled %(label)s."),
        say("Choose another instance type, or let an administrator label a node."),
        CLUSTER,
    ),
    "NodesAway": plain(
        say("No node takes instances now."),
        say("Starts by itself when a node is back. See the cluster."),
        CLUSTER,
    ),
    "NodesFull": plain(
        say("Every node runs as many instances as it may."),
        say("Starts by itself when one ends, or add a node."),
        CLUSTER,
    ),
    "DiskShort": plain(
        say("No node has as much disk free as the instance needs."),
        say("Starts by itself when there is, or use less."),
        DISK,
    ),
    "SpreadBlocked": plain(
        say("Instances are to be spread over nodes or zones, and there is no further one."),
        say("Add a node, use fewer instances, or change metadata.scheduling."),
        "metadata.scheduling",
    ),
    "VolumeElsewhere": plain(
        say("The instance's volume is where it has no room."),
        say("Starts by itself when there is room beside the volume, or mount another."),
        MOUNTS,
    ),
    "Unschedulable": plain(
        say("No node takes the instance: %(reason)s."),
        say("Starts by itself when one does. See the cluster."),
        CLUSTER,
    ),
    "MakingRoom": plain(
        say("There is no room beside the old instances, so one of them ends first."),
        say("Starts by itself when it has ended."),
        CLUSTER,
    ),
    "Preempted": plain(
        say("An instance was ended to make room for one of higher priority."),
        say("Starts by itself when there is room again."),
        CLUSTER,
    ),
    "ImageNotFound": plain(say("%(image)s cannot be pulled: no such tag."), say("Correct the tag."), IMAGE),
    "RegistryUnknown": plain(
        say("%(image)s cannot be pulled: there is no host %(host)s."), say("Correct the image's address."), IMAGE
    ),
    "RegistryAway": plain(
        say("%(image)s cannot be pulled: its registry does not answer."),
        say("It is tried again by itself. Where it goes on, correct the image's address."),
        IMAGE,
    ),
    "ImageDenied": plain(
        say("The image registry refused access to %(image)s."),
        say("Add a pull secret, or correct the image's name."),
        IMAGE,
    ),
    "ImageNameWrong": plain(say("%(image)s is no name that an image can have."), say("Correct it."), IMAGE),
    "ImageNotPulled": plain(
        say("%(image)s cannot be pulled: %(reason)s."), say("Correct the image, or ask who runs its registry."), IMAGE
    ),
    "NodeDiskFull": plain(
        say("The disk of %(node)s is full."), say("Free some space on the node, or use another."), CLUSTER
    ),
    "SecretMissing": plain(
        say("There is no %(kind)s %(name)s, which the instance needs."),
        say("Create it, or take it out of the document."),
        "",
    ),
    "RootRefused": plain(
        say("The image runs as root, which is not permitted here."),
        say("Use an image whose user is a number other than 0."),
        IMAGE,
    ),
    "NotConfigured": plain(say("The instance cannot be configured: %(reason)s."), say("Correct the document."), ""),
    "ContainerNotCreated": plain(
        say("The program cannot be started: %(reason)s."), say("Correct the command or the image."), COMMAND
    ),
    "DriverMissing": plain(
        say("%(source)s needs the storage driver %(driver)s, which %(node)s does not have."),
        say("Let an administrator install it, or mount something else."),
        MOUNTS,
    ),
    "ClaimMissing": plain(say("There is no volume claim %(name)s."), say("Create it, or correct the mount."), MOUNTS),
    "StorageClassMissing": plain(
        say("There is no storage class %(name)s, which the volume %(claim)s is to come from."),
        say("Let an administrator create it, or choose another."),
        MOUNTS,
    ),
    "NoVolume": plain(
        say("There is no free volume for %(claim)s of %(size)s, and nothing that makes one."),
        say("Let an administrator create a volume, or set a default storage class."),
        MOUNTS,
    ),
    "VolumePending": plain(
        say("The volume %(claim)s is still being made."), say("Starts by itself when it is there."), MOUNTS
    ),
    "SecurityRefused": plain(
        say("The namespace's security level %(level)s refuses the instance: %(reason)s."),
        say("Correct the document, or ask an administrator."),
        CLUSTER,
    ),
    "AdmissionRefused": plain(
        say("A rule of the cluster (%(name)s) refuses the instance: %(reason)s."),
        say("Correct the document, or ask an administrator."),
        CLUSTER,
    ),
    "NodeNotReady": plain(
        say("The node %(node)s does not answer."),
        say("Starts elsewhere by itself after five minutes, where there is room. See the cluster."),
        CLUSTER,
    ),
    "Evicted": plain(
        say("The instance was evicted from %(node)s: %(reason)s."), say("Another one takes its place."), CLUSTER
    ),
    "DeviceRefused": plain(
        say("%(node)s could not give the instance its GPU: %(reason)s."),
        say("Let an administrator look after the GPUs and the device plugin there."),
        CLUSTER,
    ),
    "NodeRefused": plain(
        say("%(node)s refused the instance: %(reason)s."), say("Another one takes its place."), CLUSTER
    ),
    "NodeShutDown": plain(
        say("%(node)s was shut down."), say("Another instance takes its place, where there is room."), CLUSTER
    ),
    "SidecarEnds": plain(
        say("The container %(name)s beside the program ended with exit code %(code)s."),
        say("Read its log; correct its command."),
        "containers",
    ),
    "BucketMissing": plain(say("There is no bucket %(name)s."), say("Correct the mount."), MOUNTS),
    "StorageDenied": plain(
        say("The object store refused access to the files."), say("Correct its key, or the mount."), MOUNTS
    ),
    "FilesMissing": plain(say("There are no files at %(name)s."), say("Upload them, or correct the mount."), MOUNTS),
    "CopyTooLarge": plain(
        say("%(need)s GiB are to be copied to the instance, and %(free)s GiB are free there."),
        say("Use a smaller model, or let an administrator name a volume to copy to."),
        MOUNTS,
    ),
    "StorageAway": plain(
        say("The object store does not answer."), say("It is tried again by itself. Correct the endpoint."), MOUNTS
    ),
    "RepositoryAway": plain(
        say("The Git server does not answer, or not so that it can be trusted."),
        say("It is tried again by itself. Correct the repository's address."),
        MOUNTS,
    ),
    "RepositoryMissing": plain(
        say("The Git repository, or its branch, is not there."), say("Correct the mount."), MOUNTS
    ),
    "RepositoryDenied": plain(
        say("The Git server refused access."), say("Correct the name and password of the mount."), MOUNTS
    ),
    "PipMissing": plain(
        say("The image has no pip, so no Python package can be installed in it."),
        say("Use an image that has the packages, or one with Python and pip."),
        IMAGE,
    ),
    "RequirementMissing": plain(
        say("There is no Python package %(name)s to install."),
        say("Correct containers[0].prepare.pythonRequirements."),
        "containers[0].prepare",
    ),
    "NoProgress": plain(
        say("The cluster made no progress for longer than it should take."),
        say("See the raw events; it goes on by itself where it can."),
        CLUSTER,
    ),
}
