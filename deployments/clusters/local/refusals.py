"""Why this machine cannot run a spec: known from the document alone, said before anything is created."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from deployments.clusters.base import Capacity, ClusterError, Refusal
from deployments.clusters.local.launch import find_launchers, uses_vllm
from deployments.clusters.local.model_folder import Layout, ModelFolder
from deployments.clusters.programs import command_words, image_name
from deployments.spec import ServiceSpec
from deployments.words import join, say, say_plural

_HISTORY = re.compile(r"--export[-_]history[-_]path\b")
CommandsPolicy = Literal["any", "recipes"]
SOURCES = {
    "nfs": ("NFS", say("Copy the files into a folder of the object store and mount it as oss://BUCKET/FOLDER/.")),
    "git": ("Git", say("Clone the repository into a folder of the object store and mount it as oss://BUCKET/FOLDER/.")),
    "dataset": (
        "Dataset",
        say("Copy the files into a folder of the object store and mount it as oss://BUCKET/FOLDER/."),
    ),
}


def find_refusal(
    spec: ServiceSpec,
    capacity: Capacity,
    policy: CommandsPolicy,
    is_recipe: Callable[[Mapping[str, Any], tuple[str, ...]], bool],
    model: ModelFolder | None = None,
) -> Refusal | None:
    """The first reason of all, or None: it can run here. ``model`` is what its mounted folder holds."""
    reasons = [*shape(spec), *sources(spec), *engines(spec, capacity), *sizes(spec, capacity)]
    if model is not None:
        reasons += layouts(model, capacity)
    if policy == "recipes" and not is_recipe(spec.document["containers"][0], writable_folders(spec)):
        reasons.append(forbidden(spec))
    return reasons[0] if reasons else None


def writable_folders(spec: ServiceSpec) -> tuple[str, ...]:
    """Where an instance may write, as its command calls it: what the document mounts, and not to be read only."""
    return tuple(mount.folder for mount in spec.mounts if mount.oss is None or not mount.oss.read_only)


def forbidden(spec: ServiceSpec) -> Refusal:
    """Why a command does not run where only recipes do."""
    cure = say("Use the LLM form, or let whoever runs Slipway set SLIPWAY_LOCAL_COMMANDS=any.")
    if _HISTORY.search(" ".join((spec.container.script or "", str(spec.container.command or "")))):
        cure = say(
            "The history is written only into a folder of storage: mount one that is not readOnly, name it, or one "
            "below it, in --export-history-path, and leave the rest as the LLM form wrote it."
        )
    message = say(
        "This Slipway listens for other machines, so its local cluster runs only the commands that the "
        "LLM form writes, and this is another one."
    )
    return Refusal("command_not_allowed", message, cure, "containers[0].script")


def shape(spec: ServiceSpec) -> Iterator[Refusal]:
    """One container with one program, ready to start."""
    count = len(spec.parsed.containers)
    container = spec.container
    if count != 1:
        message = say(
            "The document has %(count)s containers; the local cluster runs one program an instance.", count=count
        )
        yield Refusal("too_many_containers", message, say("Keep the container that answers requests."), "containers")
    if container.script is None and container.command is None:
        message = say("containers[0] has neither script nor command, and there is no image here to take one from.")
        cure = say("Write the command that starts the program.")
        yield Refusal("command_missing", message, cure, "containers[0].script")
    elif container.script is None:
        try:
            command_words(container)
        except ClusterError as problem:
            yield Refusal(problem.code, problem.message, problem.cure, "containers[0].command")
    checks = {"startup_check": container.startup_check, "health_check": container.health_check}
    for name, check in checks.items():
        if check is not None and check.exec is not None:
            field = f"containers[0].{name}"
            message = say(
                "%(field)s runs a command inside the instance, which the local cluster cannot do.", field=field
            )
            yield Refusal("exec_check_unsupported", message, say("Use http_get or tcp_socket."), f"{field}.exec")
    if container.prepare.python_requirements or container.prepare.python_requirements_path:
        message = say("The local cluster installs no Python packages (containers[0].prepare).")
        cure = say("Install them on this machine and leave prepare out.")
        yield Refusal("requirements_unsupported", message, cure, "containers[0].prepare")


def sources(spec: ServiceSpec) -> Iterator[Refusal]:
    """Only folders of the object store and empty ones can be mounted."""
    for index, mount in enumerate(spec.mounts):
        if mount.source in SOURCES:
            kind, cure = SOURCES[mount.source]
            field = f"storage[{index}]"
            message = say("%(field)s: %(kind)s storage cannot be mounted on the local cluster.", field=field, kind=kind)
            yield Refusal(f"{mount.source}_unsupported", message, cure, f"{field}.{mount.source}")


def engines(spec: ServiceSpec, capacity: Capacity) -> Iterator[Refusal]:
    """The program that the image stands for has to be installed here."""
    image = image_name(spec.container.image)
    if spec.engine == "bladellm" or image.startswith("blade"):
        message = say("BladeLLM runs on Kubernetes only: it exists as an image, and not as a program of this machine.")
        yield Refusal("engine_missing", message, say("Choose no acceleration, or a Kubernetes cluster."))
    elif uses_vllm(spec) and "vllm" not in capacity.images:
        yield missing("vllm", "", capacity)
    elif image == "chat-llm-webui" and "chat-llm" not in capacity.images:
        message = say("The chat-llm engine's library xllamacpp is not installed.")
        yield Refusal("engine_missing", message, say("Run `make run` again: it installs all that is needed."))
    launchers = find_launchers(spec.container.image)
    if launchers is not None and not os.access(launchers / "python", os.X_OK):
        launcher = str(launchers / "python")
        message = say(
            "The launcher %(launcher)s of image %(image)s cannot be executed.", launcher=launcher, image=image
        )
        yield Refusal("launcher_missing", message, say("Restore Slipway's files, with their permissions."))


def layouts(model: ModelFolder, capacity: Capacity) -> Iterator[Refusal]:
    """The engine has to read what the folder holds, and to be here."""
    if model.layout is Layout.GGUF:
        if model.engine == "vllm" or model.backend == "vllm":
            message = say("vLLM reads Hugging Face folders, and %(folder)s holds a GGUF file.", folder=model.source)
            cure = say("Choose no acceleration: llama.cpp reads it.")
            yield Refusal("model_layout", message, cure, "containers[0].script")
    elif model.engine == "chat-llm":
        engine = "vllm" if model.backend == "vllm" else "transformers"
        if engine not in capacity.images:
            yield missing(engine, say("%(folder)s is a Hugging Face folder.", folder=model.source), capacity)


def missing(engine: str, why: str, capacity: Capacity) -> Refusal:
    """The engine's own words for what to install, after ``why`` it is needed."""
    told = capacity.absent.get(engine)
    if told is None:
        told = Refusal("", say("%(engine)s is not installed.", engine=engine), say("Install it, or choose another."))
    return Refusal("engine_missing", join(why, told.message), told.cure)


def sizes(spec: ServiceSpec, capacity: Capacity) -> Iterator[Refusal]:
    """What one instance asks for, against what the whole machine has.

    Only GPUs: ``cpu`` and ``memory`` are ceilings here and not reservations, and a high ceiling harms nothing.
    """
    if spec.gpu > capacity.gpus:
        asked = say_plural("The service asks for %(count)s GPU.", "The service asks for %(count)s GPUs.", spec.gpu)
        has = say_plural("This machine has %(count)s.", "This machine has %(count)s.", capacity.gpus)
        message = join(asked, has if capacity.gpus else say("This machine has none."))
        cure = say("Set metadata.gpu to %(gpus)s, or use a machine with more.", gpus=capacity.gpus)
        yield Refusal("gpu_unavailable", message, cure, "metadata.gpu")
