"""PyTorch and Transformers as an engine's process, for Hugging Face folders."""

from __future__ import annotations

import json
import logging
import os
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from deployments.interpreters import TRANSFORMERS, explain_missing, find_python
from inference_gateway.runtime.engine_host import WAIT_POLICY, EngineProcess, count_cores
from inference_gateway.runtime.flags import Flags
from inference_gateway.runtime.model_files import ModelFiles, ModelNotFound

if TYPE_CHECKING:
    import aiohttp

    from inference_gateway.engines.base import Engine

_ELSEWHERE = Path(__file__).parents[1] / "elsewhere.py"
_MODULE = "inference_gateway.runtime.hugging_face.main"
_PROJECT = Path(__file__).parents[3]
_LEVELS = {"ERROR": logging.WARNING, "WARNING": logging.INFO, "INFO": logging.INFO}


def find_interpreter() -> str:
    """The Python that has Transformers. Raises ModelNotFound with the cure."""
    python = find_python(TRANSFORMERS, os.environ)
    if python is None:
        message, cure = explain_missing(TRANSFORMERS, os.environ)
        raise ModelNotFound(f"A Hugging Face folder needs the Transformers library. {message} {cure}")
    return python


class TransformersProcess(EngineProcess):
    def __init__(self, model: ModelFiles, flags: Flags) -> None:
        self._python = find_interpreter()  # before there is a folder to be removed
        super().__init__(model)
        self._flags = flags

    def render_command(self) -> list[str]:
        flags = self._flags
        settings = {
            "path": str(self.model.path),
            "socket": self.socket_path,
            "slots": flags.slots,
            "context_tokens": self.model.context_tokens(flags.context_tokens),
            "threads": flags.threads or count_cores(),
            "precision": flags.precision,
            "cpu": flags.cpu,
            "parent": os.getpid(),
        }
        if self._python == sys.executable:
            return [self._python, "-P", "-m", _MODULE, json.dumps(settings)]
        packages = sysconfig.get_path("purelib")
        return [self._python, "-P", str(_ELSEWHERE), packages, _MODULE, json.dumps(settings)]

    def render_environment(self) -> dict[str, str]:
        # Started from any working folder; nothing is ever fetched from a hub.
        path = os.pathsep.join(filter(None, (str(_PROJECT), os.environ.get("PYTHONPATH"))))
        return {
            "OMP_WAIT_POLICY": WAIT_POLICY,
            **os.environ,
            "PYTHONPATH": path,
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }

    def read_line(self, line: str) -> tuple[int, str | None]:
        word, _, rest = line.partition(" ")
        level = _LEVELS.get(word, logging.DEBUG)
        return level, rest if word == "ERROR" else None

    def describe_load_failure(self, reason: str) -> str:
        cure = "Check that the folder is whole and fits in memory, and that Transformers knows this kind of model."
        return f"Model folder {self.model.path} could not be loaded: {reason}. {cure}"

    def make_engine(self, session: aiohttp.ClientSession, name: str) -> Engine:
        from inference_gateway.engines.openai_http import OpenAiEngine  # As for llama.cpp.

        return OpenAiEngine(session, "http://engine", name)
