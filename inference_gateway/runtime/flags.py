"""The flags of ``webui_server.py`` and ``api_server.py`` (eas.md §1.7), and the runtime's own.

Both spellings of ``-`` and ``_`` are the same flag, with its value after ``=`` or as the next word. A flag
that this version does not bring to life is refused by name: ignoring it would serve something else than
was asked for. Pure: the environment is passed in.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from inference_gateway.codecs.eas import EasDefaults
from inference_gateway.runtime.model_files import Backend

#: The bundled model: EAS's own default needs a GPU and a download.
DEFAULT_MODEL = "SmolLM2-135M-Instruct"
DEFAULT_PORT = 8000
#: What --listen means in public commands; without it nothing but this machine can connect.
ALL_ADDRESSES = "0.0.0.0"  # noqa: S104
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
PRECISIONS = ("fp32", "fp16", "bf16")

_BACKENDS = {
    "auto": None,
    "llama.cpp": Backend.LLAMA,
    "llamacpp": Backend.LLAMA,
    "transformers": Backend.TRANSFORMERS,
    "hf": Backend.TRANSFORMERS,
    "vllm": Backend.VLLM,
}
#: Real flags of this command line in other images, with the reason why each is refused here.
REFUSED = {
    "pipeline-parallel-size": "a model is split among the GPUs of one machine by --tensor-parallel-size",
    "lora-modules": "this version has no LoRA adapters; merge the adapter into the model's weights",
    "enable-lora": "this version has no LoRA adapters; merge the adapter into the model's weights",
    "lora-path": "this version has no LoRA adapters; merge the adapter into the model's weights",
    "quantization": "a model's files say themselves how they are quantised; choose files of the kind wanted",
    "gpu-memory-utilization": "every backend takes what --slots and --context need",
    "max-model-len": "the context of a dialogue is set by --context",
    "embedding-model": "this version has no knowledge base",
    "rerank-model": "this version has no reranking",
    "ssl-certfile": "the gateway ends TLS",
    "ssl-keyfile": "the gateway ends TLS",
}


class FlagError(ValueError):
    """A command line that cannot be obeyed; the text is one line for the person who wrote it."""


@dataclass(frozen=True, slots=True)
class Flags:
    """A command line, checked. ``top_k``, ``top_p`` and ``max_round`` are None where not given.

    ``context_tokens`` is of one dialogue, None for the model's own; ``slots`` is how many generate at once.
    ``export_interval`` is in seconds.
    """

    model_path: str = DEFAULT_MODEL
    backend: Backend | None = None
    cpu: bool = False
    precision: str | None = None
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    api_only: bool = False
    no_api: bool = False
    max_new_tokens: int = 2048
    temperature: float = 0.95
    top_k: int | None = None
    top_p: float | None = None
    max_round: int | None = None
    no_template: bool = False
    log_level: str = "INFO"
    slots: int = 4
    context_tokens: int | None = None
    threads: int | None = None
    tensor_parallel_size: int | None = None
    served_model_name: str | None = None
    system_prompt: str | None = None
    export_history_path: str | None = None
    export_interval: int = 3600

    def render_eas_defaults(self) -> EasDefaults:
        """What EAS's fields mean to this service where a request leaves them out."""
        page = EasDefaults()
        return EasDefaults(
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_k=page.top_k if self.top_k is None else self.top_k,
            top_p=page.top_p if self.top_p is None else self.top_p,
            max_rounds=page.max_rounds if self.max_round is None else self.max_round,
        )


def parse(arguments: Sequence[str], environment: Mapping[str, str], is_api_only: bool = False) -> Flags:
    """Read a command line. ``PORT`` in the environment is the default port, ``SLIPWAY_LISTEN_HOST`` host.

    Raises FlagError.
    """
    words = [_normalise(word) for word in arguments]
    for word in words:
        name = word.partition("=")[0][2:]
        if word.startswith("--") and name in REFUSED:
            raise FlagError(f"--{name} cannot be used: {REFUSED[name]}. Leave the flag out.")
    values = vars(_PARSER.parse_args(words))
    backend = values.pop("backend")
    if backend is not None and backend.lower() not in _BACKENDS:
        raise FlagError(
            f"--backend={backend} cannot be used: this version has llama.cpp for GGUF files, and transformers and "
            "vllm for Hugging Face folders. Use one of these, or leave the flag out."
        )
    values["backend"] = _BACKENDS[backend.lower()] if backend else None
    del values["model_type"]  # The model's files say it: nothing to switch.
    host, listens = values.pop("host"), values.pop("listen")
    values["host"] = host or (ALL_ADDRESSES if listens else environment.get("SLIPWAY_LISTEN_HOST"))
    if values["port"] is None:
        values["port"] = _read_port(environment.get("PORT") or str(DEFAULT_PORT))
    flags = Flags(**{name: value for name, value in values.items() if value is not None})
    if is_api_only and flags.no_api:
        raise FlagError("--no-api leaves api_server.py with nothing to serve. Use webui_server.py instead.")
    if flags.api_only and flags.no_api:
        raise FlagError("--api-only and --no-api exclude each other. Leave one of them out.")
    return flags


def check_backend(flags: Flags, backend: Backend) -> None:
    """Raise FlagError for what this backend cannot obey."""
    if flags.precision is not None and backend is Backend.LLAMA:
        raise FlagError(
            "--precision cannot be used: a GGUF file is already stored in one precision. Leave the flag out, or choose "
            "a file of the precision wanted."
        )
    if (flags.tensor_parallel_size or 1) > 1 and backend is not Backend.VLLM:
        raise FlagError(
            f"--tensor-parallel-size cannot be used with the {backend} backend, which computes on one device. Leave "
            "the flag out, or use --backend=vllm."
        )


def _normalise(word: str) -> str:
    """``--max_round=3`` as ``--max-round=3``; values keep their underscores."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-").lower() + equals + value


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise FlagError(f"The command line is wrong: {message}. --help lists the flags.")


def _integer(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not from {low} to {high}")
        return value

    return read


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
        if not math.isfinite(value) or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not from {low:g} to {high:g}")
        return value

    return read


def _boolean(text: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return known[text.lower()]


def _text(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("its value is empty")
    return text


def _level(text: str) -> str:
    if text.upper() not in LOG_LEVELS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(LOG_LEVELS)}")
    return text.upper()


def _precision(text: str) -> str:
    if text.lower() not in PRECISIONS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(PRECISIONS)}")
    return text.lower()


def _read_port(text: str) -> int:
    try:
        return _integer(0, 65535)(text)
    except argparse.ArgumentTypeError as error:
        raise FlagError(f"PORT in the environment cannot be used: {error}.") from None


def _build_parser() -> _Parser:
    parser = _Parser(prog="webui_server.py", allow_abbrev=False, description="Serve one model.")
    switch: dict[str, Any] = {"nargs": "?", "const": True, "type": _boolean, "metavar": "BOOL"}
    add = parser.add_argument
    add("--model-path", type=_text, help="preset name, GGUF file, folder that holds one, Hugging Face folder")
    add("--model-type", type=_text, help="taken from the model's file; accepted so that old commands work")
    add("--cpu", **switch, help="run on the CPU, even beside a GPU")
    add("--precision", type=_precision, help=f"{', '.join(PRECISIONS)}; of a Hugging Face folder's weights in memory")
    add("--backend", type=_text, help="llama.cpp, transformers or vllm; default: what the files are for")
    add("--port", type=_integer(0, 65535), help=f"default: PORT in the environment, or {DEFAULT_PORT}")
    add("--host", type=_text, help="address to listen on; default 127.0.0.1")
    add("--listen", **switch, help="listen on all addresses")
    add("--api-only", **switch, help="no page")
    add("--no-api", **switch, help="page without the API's paths")
    add("--max-new-tokens", type=_integer(1, 10_000_000), help="longest answer; default 2048")
    add("--temperature", type=_number(0, 2), help="0 always takes the likeliest token; default 0.95")
    add("--top-k", type=_integer(1, 1_000_000))
    add("--top-p", type=_number(0.000001, 1))
    add("--max-round", type=_integer(0, 100_000), help="earlier rounds that the model sees; default 5")
    add("--no-template", **switch, help="give the model the bare text")
    add("--log-level", type=_level, help=", ".join(LOG_LEVELS))
    add("--slots", type=_integer(1, 256), help="dialogues that generate at once; default 4")
    add("--context", dest="context_tokens", type=_integer(64, 10_000_000), help="tokens of one dialogue")
    add("--threads", type=_integer(1, 1024), help="threads that compute; default: one core is left to others")
    add("--tensor-parallel-size", type=_integer(1, 64), help="GPUs that share the model, with --backend=vllm")
    add("--served-model-name", type=_text, help="what /v1/models calls the model")
    add("--system-prompt", type=str, help="used where a request has none; empty for none")
    add("--export-history-path", type=_text, help="existing folder that receives what is asked and answered")
    add("--export-interval", type=_integer(1, 31_536_000), help="seconds covered by one such file; default 3600")
    return parser


_PARSER = _build_parser()
