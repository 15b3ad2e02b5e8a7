"""What a service's mounted model folder holds, as far as this machine can see it before anything is started."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from deployments.clusters.local.mounts import replace_paths, volumes
from deployments.engines import read_command
from deployments.spec import ServiceSpec


class Layout(enum.StrEnum):
    """How a folder's weights are laid out."""

    GGUF = "gguf"
    HUGGING_FACE = "hugging-face"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model that a known engine shall load. ``backend`` is what its flag asks for, "" where it is left out."""

    engine: str
    source: str  # as the document names it
    layout: Layout
    backend: str = ""


def find_model_folder(spec: ServiceSpec, oss_folder: Path) -> ModelFolder | None:
    """None for other programs, models by name, and folders that are not there (yet) or hold no model."""
    command = read_command(spec.document["containers"][0])
    if command is None or command.model is None or not command.model.startswith("/"):
        return None
    # Folders made for an instance are empty: where they will lie does not matter here.
    mounts = [volume for volume in volumes(spec.mounts, oss_folder, oss_folder) if not volume.is_private]
    folder = Path(replace_paths(command.model, mounts))
    if str(folder) == command.model:
        return None
    layout = read_layout(folder)
    source = next((one.source for one in mounts if folder.is_relative_to(one.folder)), command.model)
    backend = (command.arguments.find("backend") or "").lower()
    return ModelFolder(command.recipe.label, source, layout, backend) if layout else None


def read_layout(path: Path) -> Layout | None:
    """As the runtime chooses: a GGUF file before the Hugging Face folder that it lies in."""
    try:
        names = [path.name] if path.is_file() else [entry.name for entry in path.iterdir()]
    except (OSError, ValueError):
        return None
    if any(name.lower().endswith(".gguf") for name in names):
        return Layout.GGUF
    return Layout.HUGGING_FACE if "config.json" in names else None
