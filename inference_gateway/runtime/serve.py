"""Runs the runtime: flags, model file, socket, engine, server, and an orderly end.

Exit codes: 0 after an orderly stop, 1 when the model cannot be served, 2 for a wrong command line. Why is
one line on standard error.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inference_gateway.runtime import flags as command_line
from inference_gateway.runtime.engine_host import EngineProcess
from inference_gateway.runtime.hugging_face.process import TransformersProcess
from inference_gateway.runtime.llamacpp import LlamaProcess
from inference_gateway.runtime.model_files import Backend, ModelFiles, ModelNotFound, find_model_files
from inference_gateway.runtime.vllm.process import VllmProcess

if TYPE_CHECKING:
    from inference_gateway.runtime.history_export import HistoryExport

logger = logging.getLogger("slipway.runtime")


def main(arguments: Sequence[str], is_api_only: bool) -> int:
    """Serve until told to stop; returns the exit code."""
    started = time.monotonic()
    try:
        flags = command_line.parse(arguments, os.environ, is_api_only)
    except command_line.FlagError as error:
        return _complain(str(error), 2)
    logging.basicConfig(level=flags.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        model = find_model_files(flags.model_path, flags.backend)
        command_line.check_backend(flags, model.backend)
        process = _make_process(flags, model)
    except ModelNotFound as error:
        return _complain(str(error), 1)
    except command_line.FlagError as error:
        return _complain(str(error), 2)
    try:
        return _serve(flags, process, started, has_page=not (is_api_only or flags.api_only))
    finally:
        process.stop()


def _serve(flags: command_line.Flags, process: EngineProcess, started: float, *, has_page: bool) -> int:
    try:
        listener = _listen(flags.host, flags.port)
    except OSError as error:
        reason = error.strerror or str(error)
        return _complain(f"Cannot listen on {flags.host}:{flags.port}: {reason}. Choose another --port or --host.", 1)
    export: HistoryExport | None = None
    if flags.export_history_path is not None:
        # Imported only where it is asked for: it would delay every other start.
        from inference_gateway.runtime import history_export

        try:
            export = history_export.HistoryExport(Path(flags.export_history_path).expanduser(), flags.export_interval)
            export.open()
        except history_export.ExportFolderUnusable as error:
            return _complain(str(error), 1)
    try:
        process.start()
        # Imported while the model loads: half of the time of a start is spent here.
        from inference_gateway.runtime import server

        return server.serve(flags, process, listener, started, has_page=has_page, export=export)
    finally:
        # Before the export's end: what the engine still says is recorded.
        process.stop()
        if export is not None:
            export.close()


def _make_process(flags: command_line.Flags, model: ModelFiles) -> EngineProcess:
    """Raises ModelNotFound where the backend is not installed."""
    if model.backend is Backend.VLLM:
        return VllmProcess(model, flags)
    if model.backend is Backend.TRANSFORMERS:
        return TransformersProcess(model, flags)
    return LlamaProcess(model, model.context_tokens(flags.context_tokens), flags.slots, flags.threads)


def _listen(host: str, port: int) -> socket.socket:
    """Bound before the model is loaded, so that a port in use is told at once. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def _complain(message: str, code: int) -> int:
    sys.stderr.write(message + "\n")
    return code
