"""Why this cluster can never run a document, known before anything is created. Pure.

What only waits for room (processors, memory, GPUs) is no refusal: nodes come and go, and an instance that waits says
what it waits for.
"""

from __future__ import annotations

from collections.abc import Iterator

from deployments.clusters.base import ClusterError, Refusal
from deployments.clusters.kubernetes.rendering.facts import ClusterFacts
from deployments.clusters.kubernetes.rendering.resources import asks_for_part, machines_of
from deployments.clusters.kubernetes.rendering.storage import endpoint_of
from deployments.clusters.kubernetes.settings import KubernetesSettings
from deployments.clusters.programs import command_words
from deployments.spec import ServiceSpec
from deployments.words import say


def refuse(spec: ServiceSpec, settings: KubernetesSettings, facts: ClusterFacts) -> Refusal | None:
    """The first reason of all, or None: it can run here."""
    reasons = (*programs(spec), *sources(spec, settings), *machines(spec), *gpus(spec, facts), *scaling(spec))
    return reasons[0] if reasons else None


def programs(spec: ServiceSpec) -> Iterator[Refusal]:
    """What a container runs can be told."""
    for place, container in enumerate(spec.parsed.containers):
        if container.script is None and container.command is not None:
            try:
                command_words(container)
            except ClusterError as problem:
                field = f"containers[{place}].command"
                message = say("%(field)s is no complete command: a quote is open, or nothing is in it.", field=field)
                cure = say("Close the quote, or use script for shell text.")
                yield Refusal(problem.code, message, cure, field)
    if spec.parsed.runtime.enable_crash_block and spec.container.script is None:
        message = say("runtime.enable_crash_block needs containers[0].script: a shell watches over the program.")
        cure = say("Write the command as script, or leave enable_crash_block out.")
        yield Refusal("crash_block_unsupported", message, cure, "runtime.enable_crash_block")


def sources(spec: ServiceSpec, settings: KubernetesSettings) -> Iterator[Refusal]:
    """Every source of storage can be mounted."""
    for place, mount in enumerate(spec.mounts):
        field = f"storage[{place}]"
        if mount.dataset is not None:
            message = say(
                "%(field)s: a dataset is known to Alibaba Cloud alone, and cannot be mounted here.", field=field
            )
            cure = say("Mount the dataset's own folder: oss://BUCKET/FOLDER/, or its file server as nfs.")
            yield Refusal("dataset_unsupported", message, cure, f"{field}.dataset")
        elif mount.oss is not None and not endpoint_of(mount.oss, settings):
            message = say("%(field)s.oss has no endpoint, and none is set for this Slipway.", field=field)
            cure = say(
                "Write the object store's address into endpoint, or let whoever runs Slipway set SLIPWAY_OSS_ENDPOINT."
            )
            yield Refusal("oss_endpoint_missing", message, cure, f"{field}.oss.endpoint")


def machines(spec: ServiceSpec) -> Iterator[Refusal]:
    """At least one of the instance types is known, so that something is known of what an instance needs."""
    types = spec.parsed.cloud.instance_types
    if types and not machines_of(spec):
        message = say("cloud.computing names the instance type %(type)s, which is not known here.", type=types[0])
        cure = say(
            "Choose one of docs/models.md, leave cloud.computing out and set metadata.cpu, memory and gpu, or let "
            "whoever runs Slipway add it to the file of SLIPWAY_INSTANCE_TYPES."
        )
        yield Refusal("instance_type_unknown", message, cure, "cloud.computing")


def gpus(spec: ServiceSpec, facts: ClusterFacts) -> Iterator[Refusal]:
    """A part of a GPU is given where nodes offer parts, and of one GPU at a time."""
    metadata = spec.parsed.metadata
    if not asks_for_part(spec):
        return
    field = "metadata.gpu_memory" if metadata.gpu_memory is not None else "metadata.gpu_core_percentage"
    if facts.shared_gpu is None:
        message = say("%(field)s asks for a part of a GPU, and no node of this cluster shares its GPUs.", field=field)
        yield Refusal("gpu_sharing_unsupported", message, say("Ask for whole GPUs with metadata.gpu."), field)
    elif spec.gpu > 1:
        message = say(
            "%(field)s asks for a part of a GPU, and metadata.gpu for %(count)s.", field=field, count=spec.gpu
        )
        cure = say("Set metadata.gpu to 0 for the part, or leave the part out.")
        yield Refusal("gpu_sharing_unsupported", message, cure, "metadata.gpu")


def scaling(spec: ServiceSpec) -> Iterator[Refusal]:
    """What is scaled by is a share of something that is reserved."""
    autoscaler, metadata = spec.parsed.autoscaler, spec.parsed.metadata
    if autoscaler is None:
        return
    knows = bool(spec.parsed.cloud.instance_types)
    missing = {"cpu": metadata.cpu is None and not knows, "memory": metadata.memory is None and not knows}
    for metric in autoscaler.working:
        if missing[metric]:
            message = say(
                "autoscaler scales by %(metric)s, and metadata.%(metric)s does not say how much one instance has.",
                metric=metric,
            )
            cure = say("Set metadata.%(metric)s.", metric=metric)
            yield Refusal("autoscaler_unmeasured", message, cure, f"metadata.{metric}")
    if "cpu" in autoscaler.working and metadata.qos == "BestEffort":
        message = say(
            "autoscaler scales by cpu, and metadata.qos BestEffort reserves none that it could be a share of."
        )
        yield Refusal(
            "autoscaler_unmeasured", message, say("Leave metadata.qos out, or scale by memory."), "metadata.qos"
        )
