"""A server of a test's own, in a thread with an event loop of its own: the base of the engines written for tests."""

from __future__ import annotations

import abc
import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self

from aiohttp import web


class ServingThread(abc.ABC):
    """Serves inside ``with``. ``open`` and ``close`` run in the thread's loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._is_up = threading.Event()
        self._dying = threading.Lock()

    @abc.abstractmethod
    async def open(self) -> None:
        """Listen from now on."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Listen no more, and end what is under way."""

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.die()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Have the thread's loop do it, and wait until it is done."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def die(self) -> None:
        """Close every connection and go; twice is fine, also at once."""
        with self._dying:
            if self._thread.is_alive():
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self.open())
        self._is_up.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self.close())
        self._loop.close()


class AppThread(ServingThread):
    """An aiohttp application at ``port``."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self._runner: web.AppRunner | None = None

    @abc.abstractmethod
    def make_app(self) -> web.Application:
        """The application, made in the thread."""

    async def open(self) -> None:
        self._runner = web.AppRunner(self.make_app(), handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
