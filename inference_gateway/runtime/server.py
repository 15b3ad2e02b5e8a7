"""The runtime's event loop: uvicorn around ``RuntimeApp``, with a drain at its end."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from types import FrameType

import uvicorn
import uvloop

from inference_gateway.engines.base import Engine
from inference_gateway.engines.openai_http import open_session
from inference_gateway.http import MAX_BODY_BYTES
from inference_gateway.runtime.app import RuntimeApp, Served, Way
from inference_gateway.runtime.engine_host import EngineProcess
from inference_gateway.runtime.flags import Flags
from inference_gateway.runtime.history_export import HistoryExport, RecordingEngine
from inference_gateway.runtime.metrics import CountingEngine, Tally
from inference_gateway.runtime.model_files import ModelFiles
from inference_gateway.runtime.prompting import PromptedEngine, Prompting
from inference_gateway.server_protocols import RefusableProtocol, UpgradeBlindProtocol

logger = logging.getLogger("slipway.runtime")


def serve(
    flags: Flags,
    process: EngineProcess,
    listener: socket.socket,
    started: float,
    *,
    has_page: bool,
    export: HistoryExport | None = None,
) -> int:
    """Serve on ``listener`` until a signal or the engine's end. ``started`` is in ``time.monotonic``.

    With ``export``, which is open, every question and answer is given to it.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(flags, process, listener, started, has_page, export))
    if process.failure is not None:
        logger.error("%s", process.failure)
        return 1
    return 0


def build_prompting(flags: Flags, model: ModelFiles) -> Prompting:
    return Prompting(
        max_tokens=flags.max_new_tokens,
        temperature=flags.temperature,
        top_p=flags.top_p,
        top_k=flags.top_k,
        system_prompt=model.system_prompt if flags.system_prompt is None else flags.system_prompt,
        max_rounds=flags.max_round,
        uses_template=not flags.no_template,
    )


async def _serve(
    flags: Flags,
    process: EngineProcess,
    listener: socket.socket,
    started: float,
    has_page: bool,
    export: HistoryExport | None,
) -> None:
    model = process.model
    async with open_session(process.socket_path) as session:
        name = flags.served_model_name or model.name
        tally = Tally(flags.slots)
        computing = CountingEngine(process.make_engine(session, name), tally)
        prompting = build_prompting(flags, model)

        def make_engine(way: Way) -> Engine:
            # Inside the prompting: recorded is what the model saw.
            engine: Engine = computing if export is None else RecordingEngine(computing, export, name, way)
            return PromptedEngine(engine, prompting)

        app = RuntimeApp(
            make_engine,
            Served(name, model.context_tokens(flags.context_tokens)),
            flags.render_eas_defaults(),
            lambda: process.is_ready,
            process.look_at_load,
            tally,
            has_page=has_page,
            has_api=not flags.no_api,
        )
        server = _DrainingServer(_configure(app, flags), app)
        loop = asyncio.get_running_loop()
        address = "{}:{}".format(*listener.getsockname()[:2])

        def look() -> None:
            if process.is_ready:
                total, load = time.monotonic() - started, process.load_seconds
                logger.info("%s is served on %s after %.2f s (model %.2f s)", name, address, total, load)
            elif process.failure is not None:
                server.should_exit = True

        def tell() -> None:
            loop.call_soon_threadsafe(look)

        process.on_change = tell
        look()  # It may have changed before anybody was told.
        await server.serve(sockets=[listener])
        process.on_change = lambda: None


def _configure(app: RuntimeApp, flags: Flags) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",
        http=UpgradeBlindProtocol,
        ws=RefusableProtocol,
        ws_max_size=MAX_BODY_BYTES,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        log_level=max(logging.WARNING, logging.getLevelName(flags.log_level)),
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
    )


class _DrainingServer(uvicorn.Server):
    """The first SIGTERM or SIGINT stops accepting and lets what runs end; a second one stops at once."""

    def __init__(self, config: uvicorn.Config, app: RuntimeApp) -> None:
        super().__init__(config)
        self._app = app
        self._drain: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # The base class remembers the signal and dies by it in the end; an orderly stop ends with 0.
        self._loop.call_soon_threadsafe(self._begin_drain)

    def _begin_drain(self) -> None:
        if self._drain is not None:
            self.should_exit = self.force_exit = True
            return
        logger.info("Stopping: no new requests, running answers are finished")
        self._app.draining.set()
        for listening in getattr(self, "servers", ()):
            listening.close()
        self._drain = asyncio.ensure_future(self._finish())

    async def _finish(self) -> None:
        await self._app.idle.wait()
        self.should_exit = True
