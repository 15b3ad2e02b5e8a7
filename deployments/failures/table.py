"""Every cause that a failure can be given, for docs/failures.md: where it is known from, and what cures it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meaning:
    """``reason`` is the service's ``Reason`` over REST, which a cause makes more precise."""

    reason: str
    what: str
    cure: str


CRASH, START, NEVER, MEMORY = "CrashLoopBackOff", "StartError", "NeverReady", "OOMKilled"

PROGRAM_CAUSES: Mapping[str, Meaning] = {
    "UnknownFlag": Meaning(
        CRASH, "the program does not know a flag of its command", "correct the flag; the nearest that exists is named"
    ),
    "FlagValueWrong": Meaning(
        CRASH, "a flag of the command has a value that the program does not take", "correct the value"
    ),
    "ModelFolderWrong": Meaning(
        CRASH,
        "the model's folder has no `config.json`, no weights, no tokenizer or no GGUF file",
        "upload the whole folder, or choose another",
    ),
    "ModelMissing": Meaning(
        CRASH, "the model's path does not exist, and no model has that name", "correct the path or the name"
    ),
    "FolderMissing": Meaning(START, "a mounted folder does not exist", "create it, or correct the mount"),
    "OutOfMemory": Meaning(
        MEMORY,
        "the instance used more than `metadata.memory`",
        "raise the memory to the size that is named, or use a smaller model",
    ),
    "MachineOutOfMemory": Meaning(
        CRASH,
        "the program asked for memory that the machine did not have, or was killed for it",
        "use a smaller model, or free memory on the machine",
    ),
    "GpuOutOfMemory": Meaning(
        CRASH, "the GPU is full", "lower the context or the number of dialogues, or use a smaller model"
    ),
    "GpuMissing": Meaning(
        CRASH,
        "the program looks for a GPU and finds none",
        "use a machine with a GPU, or a program for processors (`--cpu`)",
    ),
    "ProgramMissing": Meaning(
        START,
        "the command's program, or a command of its script, is not installed",
        "correct the command, or install the program",
    ),
    "NotExecutable": Meaning(
        START, "the command's program cannot be executed", "make it executable, or correct the command"
    ),
    "FileMissing": Meaning(
        CRASH, "the program did not find a file", "correct the path, or mount the folder that has it"
    ),
    "PermissionDenied": Meaning(
        CRASH, "the program may not open a file", "correct the file's permissions, or use another path"
    ),
    "ModuleMissing": Meaning(CRASH, "a Python package is not installed", "install the package, or correct the import"),
    "LibraryMissing": Meaning(CRASH, "a shared library is not installed", "install the library"),
    "PortTaken": Meaning(
        CRASH, "the program's port is in use", "let it listen on `$PORT`, which is of this instance alone"
    ),
    "PortsExhausted": Meaning(START, "no port from 20000 to 29999 is free", "stop something that listens there"),
    "CommandTooLong": Meaning(START, "command and environment are longer than the system takes", "shorten them"),
    "DiskFull": Meaning(CRASH, "the disk is full", "free some space"),
    "NotPrepared": Meaning(
        START, "the system refused to prepare or start the program", "the sentence names the system's reason"
    ),
    "EndedByItself": Meaning(
        CRASH,
        "the program ended without an error; a service has to keep running",
        "start what keeps running, in the foreground",
    ),
    "Crashed": Meaning(
        CRASH,
        "the program ended, and its log has nothing that is recognised",
        "read the log, correct the command or its settings",
    ),
    "PortNeverOpened": Meaning(
        NEVER,
        "the program runs and has not opened its port",
        "let it listen on `$PORT`, or give it more time with `startup_check`",
    ),
    "StillLoading": Meaning(
        NEVER, "the engine is still loading after the time it has", "give it more time with `startup_check`"
    ),
    "NoToken": Meaning(
        NEVER, "the engine answers, and has generated no token", "read the log; give it more time with `startup_check`"
    ),
    "CheckFails": Meaning(
        NEVER, "the program listens, and its check does not pass", "correct the check's path, or the program"
    ),
}

#: Of what a platform knows before a program could run, or while its node is away.
UNSCHEDULABLE, IMAGE, CONTAINER, VOLUME = "Unschedulable", "ImagePullBackOff", "CreateContainerError", "VolumePending"
DENIED, NODE, EVICTED, PREPARING = "FailedCreate", "NodeNotReady", "Evicted", "PreparationFailed"
TROUBLE_REASONS = frozenset({UNSCHEDULABLE, IMAGE, CONTAINER, VOLUME, DENIED, NODE, EVICTED, PREPARING})

PLATFORM_CAUSES: Mapping[str, Meaning] = {
    "CpuShort": Meaning(
        UNSCHEDULABLE,
        "no node has the CPU free that the instance asks for",
        "wait until it is free, use less, or add a node",
    ),
    "MemoryShort": Meaning(
        UNSCHEDULABLE,
        "no node has the memory free that the instance asks for",
        "wait until it is free, use less, or add a node",
    ),
    "GpuShort": Meaning(
        UNSCHEDULABLE,
        "no node has as many GPUs free as the instance asks for",
        "wait until they are free, use fewer, or add a node",
    ),
    "GpuNotOffered": Meaning(
        UNSCHEDULABLE,
        "no node offers a GPU: there is none, or its device plugin does not run",
        "use a program for processors (`--cpu`), or install the device plugin",
    ),
    "GpuProductMissing": Meaning(
        UNSCHEDULABLE,
        "no node has the kind of GPU that the document or its instance type asks for",
        "choose another kind of GPU or instance type, or add such a node",
    ),
    "NoMatchingNode": Meaning(
        UNSCHEDULABLE,
        "no node carries the labels that the instance asks for",
        "choose another instance type, or label a node",
    ),
    "NodesTainted": Meaning(
        UNSCHEDULABLE, "every node that would do is tainted", "add a node, or free one for these services"
    ),
    "NodesAway": Meaning(UNSCHEDULABLE, "no node is ready, or all are cordoned", "wait for a node, or bring one back"),
    "NodesFull": Meaning(UNSCHEDULABLE, "every node runs as many pods as it may", "wait until one ends, or add a node"),
    "DiskShort": Meaning(
        UNSCHEDULABLE, "no node has as much ephemeral storage free as the instance asks for", "wait, or use less"
    ),
    "SpreadBlocked": Meaning(
        UNSCHEDULABLE,
        "the spread over nodes or zones finds no further one",
        "add a node, use fewer instances, or change `metadata.scheduling`",
    ),
    "VolumeElsewhere": Meaning(
        UNSCHEDULABLE, "the volume is on a node or in a zone where the instance does not fit", "wait, or mount another"
    ),
    "Preempted": Meaning(
        UNSCHEDULABLE, "the instance was ended for one of higher priority", "it starts when there is room again"
    ),
    "SurgeBlocked": Meaning(
        UNSCHEDULABLE,
        "an update finds no room beside the old instances, and may end none of them first",
        "set `metadata.rolling_strategy.max_unavailable` to 1, or free room",
    ),
    "MakingRoom": Meaning(
        UNSCHEDULABLE, "an update has no room beside the old instances, so that one of them ends first", "wait"
    ),
    "Unschedulable": Meaning(
        UNSCHEDULABLE, "the scheduler has another reason, which the sentence names", "the sentence names it"
    ),
    "ImageNotFound": Meaning(IMAGE, "the registry has no such image or tag", "correct the tag"),
    "RegistryUnknown": Meaning(IMAGE, "the registry's host does not exist", "correct the image's address"),
    "RegistryAway": Meaning(IMAGE, "the registry does not answer", "wait; where it goes on, correct the address"),
    "ImageDenied": Meaning(IMAGE, "the registry refused access", "add a pull secret, or correct the name"),
    "ImageNameWrong": Meaning(IMAGE, "the text is no name that an image can have", "correct it"),
    "ImageNotPulled": Meaning(
        IMAGE, "the pull failed for another reason, which the sentence names", "correct the image"
    ),
    "NodeDiskFull": Meaning(IMAGE, "the image does not fit on the node's disk", "free some space on the node"),
    "SecretMissing": Meaning(
        CONTAINER,
        "a Secret or ConfigMap that the instance needs is not there",
        "create it, or take it out of the document",
    ),
    "RootRefused": Meaning(
        CONTAINER, "the image runs as root, which is not permitted", "use an image with another user"
    ),
    "NotConfigured": Meaning(
        CONTAINER, "the container cannot be configured; the sentence names the reason", "correct the document"
    ),
    "ContainerNotCreated": Meaning(
        CONTAINER,
        "the container cannot be created or started; the sentence names the reason",
        "correct the command or the image",
    ),
    "MountFails": Meaning(
        VOLUME, "a volume cannot be mounted; the sentence names the reason", "correct the mount, or see to its server"
    ),
    "DriverMissing": Meaning(
        VOLUME, "the node does not have the storage driver of a mount", "install the driver, or mount something else"
    ),
    "ClaimMissing": Meaning(VOLUME, "the volume claim does not exist", "create it, or correct the mount"),
    "StorageClassMissing": Meaning(VOLUME, "the storage class does not exist", "create it, or choose another"),
    "NoVolume": Meaning(
        VOLUME, "no volume is free, and nothing makes one", "create a volume, or set a default storage class"
    ),
    "VolumePending": Meaning(VOLUME, "the volume is still being made", "wait"),
    "QuotaExceeded": Meaning(
        DENIED, "the namespace's quota has too little left", "stop something, use less, or raise the quota"
    ),
    "LimitExceeded": Meaning(
        DENIED,
        "an instance asks for more than the namespace's LimitRange permits, or for less",
        "change the amount, or the limit",
    ),
    "SecurityRefused": Meaning(
        DENIED,
        "the namespace's Pod Security level refuses the instance",
        "correct the document, or ask an administrator",
    ),
    "AdmissionRefused": Meaning(
        DENIED,
        "a rule of the cluster (an admission webhook or policy) refuses the instance",
        "correct the document, or ask an administrator",
    ),
    "NotCreated": Meaning(
        DENIED, "the cluster creates no instance for another reason, which the sentence names", "correct the document"
    ),
    "NodeNotReady": Meaning(
        NODE, "the node of the instance does not answer", "an instance elsewhere takes over after five minutes"
    ),
    "EvictedForMemory": Meaning(EVICTED, "the node ran out of memory", "give the instance the memory that it uses"),
    "EvictedForDisk": Meaning(
        EVICTED,
        "the node's disk was full, or the instance wrote more than its limit",
        "write less, or raise `metadata.disk`",
    ),
    "Evicted": Meaning(
        EVICTED, "the instance was evicted for another reason, which the sentence names", "another one takes its place"
    ),
    "DeviceRefused": Meaning(
        EVICTED, "the node could not give the instance its GPU", "look after the GPUs and the device plugin there"
    ),
    "NodeRefused": Meaning(
        EVICTED, "the node refused the instance; the sentence names the reason", "another one takes its place"
    ),
    "NodeShutDown": Meaning(EVICTED, "the node was shut down", "another one takes its place"),
    "ProbeFails": Meaning(
        CRASH,
        "the startup or liveness check ended the program; the sentence says what it was answered",
        "correct the check or the program, or give it more time",
    ),
    "SidecarEnds": Meaning(
        PREPARING, "a container beside the program ends again and again", "read its log, correct its command"
    ),
    "BucketMissing": Meaning(PREPARING, "the bucket does not exist", "correct the mount"),
    "StorageDenied": Meaning(PREPARING, "the object store refused access", "correct its key, or the mount"),
    "FilesMissing": Meaning(PREPARING, "there are no files at the mount's path", "upload them, or correct the mount"),
    "CopyTooLarge": Meaning(
        PREPARING,
        "the files to copy are larger than what is free on the node",
        "use a smaller model, or a volume to copy to (`SLIPWAY_OSS_CLAIM`)",
    ),
    "StorageAway": Meaning(PREPARING, "the object store does not answer", "wait; correct the endpoint"),
    "RepositoryAway": Meaning(
        PREPARING,
        "the Git server does not answer, or its certificate is not known",
        "wait; correct the repository's address",
    ),
    "RepositoryMissing": Meaning(PREPARING, "the Git repository or its branch does not exist", "correct the mount"),
    "RepositoryDenied": Meaning(PREPARING, "the Git server refused access", "correct name and password"),
    "PipMissing": Meaning(
        PREPARING, "the image has no pip, which installs packages", "use an image that has the packages, or pip"
    ),
    "RequirementMissing": Meaning(
        PREPARING, "a Python package cannot be installed", "correct `containers[0].prepare.pythonRequirements`"
    ),
    "PreparationFails": Meaning(PREPARING, "preparing the instance failed for another reason", "read its log"),
    "NoProgress": Meaning(UNSCHEDULABLE, "the cluster made no progress in the time it has", "see the raw events"),
}

CAUSES: Mapping[str, Meaning] = {**PROGRAM_CAUSES, **PLATFORM_CAUSES}
