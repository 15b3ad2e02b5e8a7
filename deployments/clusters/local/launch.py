"""From a service document to what a shim runs: argument list, environment, folders. Pure but for PATH."""

from __future__ import annotations

import math
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deployments.clusters.base import Workload
from deployments.clusters.local.folder import TEMP, WORK, Launch, RequiredFolder
from deployments.clusters.local.mounts import Volume, replace_paths, volumes
from deployments.clusters.local.ports import claims_folder
from deployments.clusters.local.processes import MARKER
from deployments.clusters.programs import command_words, image_name
from deployments.interpreters import TRANSFORMERS, VLLM, find_python
from deployments.spec import ServiceSpec
from deployments.spec.document import Container

LAUNCHERS = Path(__file__).parent / "launchers"
PROJECT = Path(__file__).parents[3]
#: The only variables of Slipway's own environment that an instance gets: where programs, libraries and
#: devices are. Everything else could be a secret.
PASSED_ON = ("PATH", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance is made."""

    folder: Path  # the instance's
    oss_folder: Path


def find_launchers(image: str) -> Path | None:
    """The folder of programs that stand for an image's, or None: then the system's PATH has to do."""
    folder = LAUNCHERS / image_name(image)
    return folder if folder.is_dir() else None


def render_launch(workload: Workload, place: Place, base_environment: Mapping[str, str]) -> Launch:
    """What the shim of a new instance runs. The port is the shim's to claim, so ``$PORT`` stays."""
    spec = workload.spec
    container = spec.container
    found = volumes(spec.mounts, place.oss_folder, place.folder)
    argv, port_from = render_command(container, found)
    return Launch(
        service_uid=workload.service_uid,
        service_name=workload.service_name,
        revision=workload.revision,
        restart_token=workload.restart_token,
        created_at=time.time(),
        argv=argv,
        port_from=port_from,
        env=render_environment(spec, found, place, base_environment),
        folders=[
            RequiredFolder(path=str(volume.folder), mount_path=volume.mount_path, source=volume.source)
            for volume in found
        ],
        memory_mib=spec.memory_mib,
        cpu_cores=spec.cpu_cores,
        crash_block=spec.parsed.runtime.enable_crash_block,
        grace_seconds=spec.termination_grace_seconds,
        ports_folder=claims_folder(tempfile.gettempdir()),
    )


def render_command(container: Container, found: Iterable[Volume]) -> tuple[list[str], int]:
    """The argument list, and where in it ``$PORT`` is replaced by the shim and no longer by a shell."""
    found = tuple(found)
    args = [replace_paths(text, found) for text in container.args]
    if container.script is not None:
        script = replace_paths(container.script, found, is_shell=True)
        # The container's own port, written out, is another one here: each instance has its own.
        literal = rf"(--port(?:=|\s+))([\"']?){container.port}\2(?![\w.])"
        script = re.sub(literal, r"\1$PORT", script)
        return ["/bin/sh", "-c", script, "sh", *with_own_port(args, container.port)], 4
    words = [replace_paths(word, found) for word in command_words(container)]
    return with_own_port(words + args, container.port), 0


def with_own_port(words: list[str], port: int) -> list[str]:
    """``--port 8000`` and ``--port=8000`` as ``$PORT`` where 8000 is the container's port."""
    own = []
    for before, word in zip(["", *words], words, strict=False):
        if before == "--port" and word == str(port):
            word = "$PORT"
        own.append("--port=$PORT" if word == f"--port={port}" else word)
    return own


def render_environment(
    spec: ServiceSpec, found: tuple[Volume, ...], place: Place, base_environment: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment but for the port; the document's variables win over the usual ones."""
    container = spec.container
    work = str(place.folder / WORK)
    environment = {name: base_environment[name] for name in PASSED_ON if base_environment.get(name)}
    environment |= {"HOME": work, "PWD": work, "TMPDIR": str(place.folder / TEMP), "LANG": "C.UTF-8"}
    if spec.cpu_cores is not None:
        environment["OMP_NUM_THREADS"] = str(max(math.ceil(spec.cpu_cores), 1))
    environment |= {variable.name: replace_paths(variable.value, found) for variable in container.env}
    path = environment.get("PATH") or os.defpath
    launchers = find_launchers(container.image)
    environment["PATH"] = f"{launchers}{os.pathsep}{path}" if launchers else path
    environment[MARKER] = str(place.folder)
    environment["SLIPWAY_PYTHON"] = engine_python(spec, base_environment)
    for extra in (TRANSFORMERS, VLLM):
        if python := find_python(extra, base_environment):
            environment[extra.variable] = python  # for the runtime's backends
    environment["SLIPWAY_PROJECT"] = str(PROJECT)
    return environment


def uses_vllm(spec: ServiceSpec) -> bool:
    return spec.engine == "vllm" or image_name(spec.container.image).startswith("vllm")


def engine_python(spec: ServiceSpec, base_environment: Mapping[str, str]) -> str:
    """The interpreter that launchers run: the one that has vLLM for vLLM's, otherwise Slipway's own."""
    return (find_python(VLLM, base_environment) if uses_vllm(spec) else None) or sys.executable
