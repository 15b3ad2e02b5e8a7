"""From ``--model-path`` to the file that the engine loads: a preset's name, a GGUF file, or a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from deployments.catalog import find_model
from inference_gateway.runtime.gguf import GgufInvalid, read_header

#: The context of a dialogue where the flag is not given: more costs memory for every slot.
MOST_DEFAULT_CONTEXT = 8192

_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


class ModelNotFound(Exception):
    """There is nothing here to load; the text is one sentence with the cure."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A GGUF file to load. ``name`` is what the API calls it, ``system_prompt`` the catalog's default."""

    path: Path
    name: str
    trained_context_tokens: int | None
    system_prompt: str = ""

    def context_tokens(self, wanted: int | None) -> int:
        """Tokens of one dialogue: as asked, or the model's own up to ``MOST_DEFAULT_CONTEXT``."""
        if wanted is not None:
            return wanted
        return min(self.trained_context_tokens or MOST_DEFAULT_CONTEXT, MOST_DEFAULT_CONTEXT)


def find_model_file(model_path: str) -> ModelFile:
    """A path that exists wins over a preset of the same name. Raises ModelNotFound."""
    path = Path(model_path).expanduser()
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError) as error:  # A name too long, or with a NUL.
        raise ModelNotFound(f"--model-path is no path that this machine can have: {error}.") from error
    if is_file:
        return _read_file(path, path.stem)
    if is_folder:
        return _read_file(_find_in_folder(path), path.resolve().name)
    model = find_model(model_path)
    if model is None:
        raise ModelNotFound(
            f"Model path {model_path} does not exist, and no preset has that name. "
            "Give a GGUF file, a folder that holds one, or a preset such as SmolLM2-135M-Instruct."
        )
    if model.gguf is None:
        raise ModelNotFound(
            f"The preset {model.name} has no weights on this machine, and this version downloads none. "
            "Put a GGUF file of it here and give its path."
        )
    try:
        path = model.gguf.path()
    except FileNotFoundError as error:
        raise ModelNotFound(str(error)) from error
    return _read_file(path, model.name, model.default_system_prompt)


def _find_in_folder(folder: Path) -> Path:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ModelNotFound(f"Model path {folder} cannot be read: {error.strerror}.") from error
    files = [entry for entry in entries if entry.suffix.lower() == ".gguf"]
    # A model cut into parts is loaded by its first; a projector for images is no model of its own.
    files = [file for file in files if (part := _PART.search(file.name)) is None or int(part[1]) == 1]
    files = [file for file in files if not file.name.startswith("mmproj")]
    if len(files) == 1:
        return files[0]
    if files:
        names = ", ".join(file.name for file in files[:4])
        raise ModelNotFound(f"Model path {folder} holds several GGUF models ({names}). Give one file's path.")
    if any(entry.name == "config.json" for entry in entries):
        raise ModelNotFound(
            f"Model path {folder} is a Hugging Face folder, which needs the Transformers backend that this "
            "version does not have. Convert the model to GGUF, or choose a folder that holds a GGUF file."
        )
    raise ModelNotFound(f"Model path {folder} holds no GGUF file. Put one there, or give a file's path.")


def _read_file(path: Path, name: str, system_prompt: str = "") -> ModelFile:
    try:
        header = read_header(path)
    except GgufInvalid as error:
        raise ModelNotFound(str(error)) from error
    except OSError as error:
        raise ModelNotFound(f"Model file {path} cannot be read: {error.strerror}.") from error
    return ModelFile(path.resolve(), name, header.context_tokens, system_prompt)
