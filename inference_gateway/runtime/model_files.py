"""From ``--model-path`` to what the engine loads: a preset's name, a GGUF file, or a folder of either layout."""

from __future__ import annotations

import enum
import json
import re
from dataclasses import dataclass
from pathlib import Path

from deployments.catalog import find_model
from inference_gateway.runtime.gguf import GgufInvalid, read_header

#: The context of a dialogue where the flag is not given: more costs memory for every slot.
MOST_DEFAULT_CONTEXT = 8192

#: Endings of weights, and beginnings of a tokenizer's files, in a Hugging Face folder.
_WEIGHTS = (".safetensors", ".bin")
_TOKENIZERS = ("tokenizer", "vocab", "spiece", "tekken")

_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


class ModelNotFound(Exception):
    """There is nothing here to load; the text is one sentence with the cure."""


class Backend(enum.StrEnum):
    """What computes: llama.cpp reads GGUF files, Transformers and vLLM read Hugging Face folders."""

    LLAMA = "llama.cpp"
    TRANSFORMERS = "transformers"
    VLLM = "vllm"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A GGUF file or a Hugging Face folder to load, as ``backend`` says.

    ``name`` is what the API calls it, ``system_prompt`` the catalog's default.
    """

    path: Path
    name: str
    trained_context_tokens: int | None
    system_prompt: str = ""
    backend: Backend = Backend.LLAMA

    def context_tokens(self, wanted: int | None) -> int:
        """Tokens of one dialogue: as asked, or the model's own up to ``MOST_DEFAULT_CONTEXT``."""
        if wanted is not None:
            return wanted
        return min(self.trained_context_tokens or MOST_DEFAULT_CONTEXT, MOST_DEFAULT_CONTEXT)


def find_model_files(model_path: str, backend: Backend | None = None) -> ModelFiles:
    """A path that exists wins over a preset of the same name. Raises ModelNotFound.

    Without ``backend`` a folder that holds a GGUF file is llama.cpp's, and any other Transformers'; vLLM is asked
    for by name.
    """
    found = _find(model_path, backend)
    if backend is not None and found.backend is not backend:
        raise ModelNotFound(
            f"Model {model_path} is for --backend={found.backend}, not for {backend}. Leave --backend out."
        )
    return found


def _find(model_path: str, backend: Backend | None) -> ModelFiles:
    path = Path(model_path).expanduser()
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError) as error:  # A name too long, or with a NUL.
        raise ModelNotFound(f"--model-path is no path that this machine can have: {error}.") from error
    if is_file:
        return _read_file(path, path.stem)
    if is_folder:
        return _read_folder(path, backend)
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


def _read_folder(folder: Path, backend: Backend | None) -> ModelFiles:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ModelNotFound(f"Model path {folder} cannot be read: {error.strerror}.") from error
    files = [entry for entry in entries if entry.suffix.lower() == ".gguf"]
    # A model cut into parts is loaded by its first; a projector for images is no model of its own.
    files = [file for file in files if (part := _PART.search(file.name)) is None or int(part[1]) == 1]
    files = [file for file in files if not file.name.startswith("mmproj")]
    has_config = any(entry.name == "config.json" for entry in entries)
    wants_folder = backend is not None and backend is not Backend.LLAMA
    if has_config and (wants_folder or not files):
        return _read_hugging_face(folder, [entry.name for entry in entries], backend)
    if len(files) == 1:
        return _read_file(files[0], folder.resolve().name)
    if files:
        names = ", ".join(file.name for file in files[:4])
        raise ModelNotFound(f"Model path {folder} holds several GGUF models ({names}). Give one file's path.")
    raise ModelNotFound(
        f"Model path {folder} holds no GGUF file and no config.json. Put a GGUF file or a whole Hugging Face "
        "folder there, or give a file's path."
    )


def _read_hugging_face(folder: Path, names: list[str], backend: Backend | None) -> ModelFiles:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelNotFound(f"{folder / 'config.json'} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelNotFound(f"{folder / 'config.json'} is no JSON. Copy the folder again.") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise ModelNotFound(f"{folder / 'config.json'} names no model_type. Give a whole Hugging Face folder.")
    if not any(name.endswith(_WEIGHTS) for name in names):
        raise ModelNotFound(
            f"Model path {folder} has a config.json but no weights (*.safetensors). Copy the folder again, whole."
        )
    if not any(name.startswith(_TOKENIZERS) for name in names):
        raise ModelNotFound(f"Model path {folder} has no tokenizer (tokenizer.json). Copy the folder again, whole.")
    nested = config.get("text_config")
    text = nested if isinstance(nested, dict) else config
    lengths = [text.get(name) for name in ("max_position_embeddings", "n_positions", "seq_length", "max_seq_len")]
    context = next((length for length in lengths if isinstance(length, int) and length > 0), None)
    reader = Backend.VLLM if backend is Backend.VLLM else Backend.TRANSFORMERS
    return ModelFiles(folder.resolve(), folder.resolve().name, context, backend=reader)


def _read_file(path: Path, name: str, system_prompt: str = "") -> ModelFiles:
    try:
        header = read_header(path)
    except GgufInvalid as error:
        raise ModelNotFound(str(error)) from error
    except OSError as error:
        raise ModelNotFound(f"Model file {path} cannot be read: {error.strerror}.") from error
    return ModelFiles(path.resolve(), name, header.context_tokens, system_prompt)
