"""vLLM's server as an engine's process, for Hugging Face folders."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.interpreters import VLLM, explain_missing, find_python, is_built_for_processors
from inference_gateway.runtime.engine_host import WAIT_POLICY, EngineProcess, count_cores
from inference_gateway.runtime.flags import Flags
from inference_gateway.runtime.model_files import ModelFiles, ModelNotFound

if TYPE_CHECKING:
    import aiohttp

    from inference_gateway.engines.base import Engine

#: Run by its path, with Slipway's own interpreter: vLLM's takes seconds to import anything.
_KEEPER = Path(__file__).with_name("keeper.py")
#: On the path of every Python that vLLM starts.
_DEAF = Path(__file__).with_name("deaf")
_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_BYTES = {"float32": 4}
_MIB = 1024 * 1024
#: Where a folder does not say what a token takes.
_UNKNOWN_CACHE_MIB = 4096

#: ``(EngineCore pid=7) ERROR 11-21 17:37:34 [core.py:9] words``.
_LINE = re.compile(r"(?:\([^)]*\) )?(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) [\d-]+ [\d:]+ \[[^]]*\] ?(?P<text>.*)")
#: The last line of a traceback; pydantic says what it is about in the line after it.
_EXCEPTION = re.compile(
    r"(?:\([^)]*\) )?\s*(?P<text>(?:[A-Za-z_]+\.)*[A-Za-z_]*(?:Error|Exception): .+|Value error, .+?(?= \[type=|$)).*"
)
#: Of these another line has the reason.
_NO_REASONS = ("Engine core initialization failed", "validation error for")
_LEVELS = {"WARNING": logging.DEBUG, "ERROR": logging.WARNING, "CRITICAL": logging.WARNING}


def find_interpreter() -> str:
    """The Python that has vLLM. Raises ModelNotFound with the cure."""
    python = find_python(VLLM, os.environ)
    if python is None:
        raise ModelNotFound(" ".join(explain_missing(VLLM, os.environ)))
    return python


class VllmProcess(EngineProcess):
    has_own_group = True

    def __init__(self, model: ModelFiles, flags: Flags) -> None:
        self._python = find_interpreter()  # before there is a folder to be removed
        super().__init__(model)
        self._flags = flags
        self._is_on_processor = flags.cpu or is_built_for_processors(self._python, VLLM)
        # Its parts talk over sockets of their own, whose paths are too long below an instance's TMPDIR.
        self._parts_folder = tempfile.mkdtemp(prefix="slipway-", dir="/tmp")
        self._config = json.loads((model.path / "config.json").read_text(encoding="utf-8"))

    def render_command(self) -> list[str]:
        settings = {
            "command": self._render_server(),
            "socket": self.socket_path,
            "folder": self._parts_folder,
            "descriptor": self._folder_descriptor,
            "parent": os.getpid(),
        }
        return [sys.executable, "-I", "-S", str(_KEEPER), json.dumps(settings)]

    def _render_server(self) -> list[str]:
        flags = self._flags
        context = self.model.context_tokens(flags.context_tokens)
        dtype = read_dtype(self._config, flags.precision)
        command = [self._python, "-P", "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--model", str(self.model.path), "--served-model-name", self._name, "--uds", self.socket_path]
        command += ["--max-model-len", str(context), "--max-num-seqs", str(flags.slots), "--dtype", dtype]
        command += ["--disable-uvicorn-access-log", "--max-logprobs", "20"]
        if flags.tensor_parallel_size is not None:
            command += ["--tensor-parallel-size", str(flags.tensor_parallel_size)]
        if self._is_on_processor:
            # Compiling takes minutes and a compiler; and its own share is nine tenths of the machine.
            size = count_cache_mib(self._config, dtype, context * flags.slots)
            command += ["--enforce-eager", "--kv-cache-memory-bytes", f"{size}M"]
        return command

    @property
    def _name(self) -> str:
        return self._flags.served_model_name or self.model.name

    def render_environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, (str(_DEAF), os.environ.get("PYTHONPATH"))))
        environment = {
            "OMP_WAIT_POLICY": WAIT_POLICY,
            **os.environ,
            "PYTHONPATH": path,
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "VLLM_RPC_BASE_PATH": self._parts_folder,
            "TOKENIZERS_PARALLELISM": "false",
        }
        if self._is_on_processor:
            # It would pin its threads to the first cores, and so would the next instance.
            environment["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
            environment["OMP_NUM_THREADS"] = str(self._flags.threads or count_cores())
            environment["CUDA_VISIBLE_DEVICES"] = ""
        return environment

    def stop(self) -> None:
        """End it with everything that it started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        super().stop()
        shutil.rmtree(self._parts_folder, ignore_errors=True)

    def read_line(self, line: str) -> tuple[int, str | None]:
        """Its warnings and news are our debugging; the exception that ended it is the reason."""
        found = _LINE.match(line)
        text = found["text"] if found else line
        level = _LEVELS.get(found["level"], logging.DEBUG) if found else logging.DEBUG
        exception = _EXCEPTION.fullmatch(text.strip())
        if exception is None or any(words in text for words in _NO_REASONS):
            return level, None
        return logging.WARNING, exception["text"][:500]

    def describe_load_failure(self, reason: str) -> str:
        cure = "Check that the folder is whole and fits in memory, and that vLLM knows this kind of model."
        return f"Model folder {self.model.path} could not be loaded by vLLM: {reason}. {cure}"

    def make_engine(self, session: aiohttp.ClientSession, name: str) -> Engine:
        # As for llama.cpp.
        from inference_gateway.engines.openai_http import OpenAiEngine
        from inference_gateway.runtime.vllm.engine import VllmEngine

        context = self.model.context_tokens(self._flags.context_tokens)
        return VllmEngine(OpenAiEngine(session, "http://engine", name), context)


def read_dtype(config: Mapping[str, Any], precision: str | None) -> str:
    """What ``--dtype`` is given: as asked, or the folder's own, which ``auto`` halves where that is fp32. Pure."""
    if precision is not None:
        return _DTYPES[precision]
    return "float32" if _own_dtype(config) == "float32" else "auto"


def count_cache_mib(config: Mapping[str, Any], dtype: str, tokens: int) -> int:
    """Memory for the keys and values of ``tokens`` tokens: 2 × layers × heads × head size × bytes each. Pure."""
    nested = config.get("text_config")
    text = nested if isinstance(nested, Mapping) else config
    heads, width = _whole(text, "num_attention_heads"), _whole(text, "hidden_size")
    layers, kept = _whole(text, "num_hidden_layers"), _whole(text, "num_key_value_heads") or heads
    size = _whole(text, "head_dim") or (width // heads if heads else 0)
    if not (layers and kept and size):
        return _UNKNOWN_CACHE_MIB
    one = 2 * layers * kept * size * _BYTES.get(dtype, 2)
    # Whole blocks for every dialogue, and one that it keeps for itself.
    return int(one * tokens * 1.1 / _MIB) + 64


def _whole(config: Mapping[str, Any], name: str) -> int:
    """A number of the folder's settings, 0 where it has none."""
    value = config.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def _own_dtype(config: Mapping[str, Any]) -> str:
    nested = config.get("text_config")
    text = nested if isinstance(nested, Mapping) else {}
    found = [one.get(name) for one in (config, text) for name in ("dtype", "torch_dtype") if one.get(name)]
    return str(found[0]) if found else "float32"
