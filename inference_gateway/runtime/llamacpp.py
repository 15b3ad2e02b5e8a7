"""llama.cpp's server as an engine's process, for GGUF files."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from inference_gateway.runtime.engine_host import WAIT_POLICY, EngineProcess, count_cores
from inference_gateway.runtime.model_files import ModelFiles

if TYPE_CHECKING:
    import aiohttp

    from inference_gateway.engines.base import Engine

#: The letter after the time stamp of llama.cpp's lines.
_LEVELS = {"D": logging.DEBUG, "I": logging.DEBUG, "W": logging.DEBUG, "E": logging.WARNING}

#: Run by its path: it needs nothing of this package, and so starts from any working folder.
_PROGRAM = Path(__file__).with_name("engine_process.py")


class LlamaProcess(EngineProcess):
    def __init__(self, model: ModelFiles, context_tokens: int, slots: int, threads: int | None) -> None:
        super().__init__(model)
        self._context_tokens = context_tokens
        self._slots = slots
        # Threads of one step wait for each other after every layer, so one that another busy process keeps
        # from its core stalls all. Measured on 2 cores: 119 tokens/s with two threads and 75 with one on an
        # idle machine, 10 and 54 beside two busy processes. Prompts, and tokens of several dialogues at
        # once, are larger steps and take every core.
        cores = count_cores()
        self._threads = threads or max(1, cores - 1)
        self._prompt_threads = threads or cores

    def render_command(self) -> list[str]:
        settings = {
            "path": str(self.model.path),
            "socket": self.socket_path,
            "slots": self._slots,
            "context_tokens": self._context_tokens,
            "threads": self._threads,
            "prompt_threads": self._prompt_threads,
            "parent": os.getpid(),
        }
        return [sys.executable, "-P", str(_PROGRAM), json.dumps(settings)]

    def render_environment(self) -> dict[str, str]:
        return {"OMP_WAIT_POLICY": WAIT_POLICY, **os.environ}

    def read_line(self, line: str) -> tuple[int, str | None]:
        """llama.cpp says much that is news to nobody: its warnings are our debugging, and what it calls an
        error is mostly a request that it refused.
        """
        words = line.split(None, 2)
        level = _LEVELS.get(words[1], logging.INFO) if len(words) > 2 else logging.DEBUG
        return level, words[2] if level == logging.WARNING else None

    def describe_load_failure(self, reason: str) -> str:
        tokens = self._slots * self._context_tokens
        cure = f"Check the file, and that {tokens} tokens of context fit in memory (--slots, --context)."
        return f"Model file {self.model.path} could not be loaded: {reason}. {cure}"

    def make_engine(self, session: aiohttp.ClientSession, name: str) -> Engine:
        # The server's half of a start is spent on these; the model is loading by now.
        from inference_gateway.engines.openai_http import OpenAiEngine
        from inference_gateway.runtime.llama_engine import LlamaEngine, is_refusal

        return LlamaEngine(OpenAiEngine(session, "http://engine", name, is_refusal=is_refusal))
