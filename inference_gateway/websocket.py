"""The EAS dialogue over a WebSocket as raw ASGI (eas.md §1.6); the gateway and the runtime share it.

Questions may be sent without waiting; they are answered strictly in order. The rounds of a connection are
its history. When the caller leaves, the round that runs is cancelled and awaited.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from inference_gateway.answer import INTERNAL_ERROR
from inference_gateway.chat import Answer, ChatError
from inference_gateway.codecs.eas import PAGE_DEFAULTS, EasDefaults, EasExchange, Round
from inference_gateway.codecs.websocket import END_OF_ROUND, decode, encode, encode_failure
from inference_gateway.engines.base import Engine
from inference_gateway.http import MAX_BODY_BYTES, Receive, Send, cancel_and_wait

logger = logging.getLogger(__name__)

#: Questions that wait behind the one being answered. The sample client sends five.
MAX_PENDING = 64

_NORMAL, _POLICY, _TOO_BIG, _INTERNAL, _RESTART = 1000, 1008, 1009, 1011, 1012

#: How many rounds a connection remembers: a caller that stays for days must not fill memory.
MAX_REMEMBERED = 200


class Dialogue:
    """One accepted connection. The caller has been authenticated, and its connect message received.

    ``engine`` is asked once for each round, so that a decorator of it can route, limit and record rounds.
    Once ``draining`` is set, rounds that were asked for are finished and the connection is closed (1012).
    ``on_busy`` is told when the connection begins (True) and stops (False) having something to answer.
    """

    def __init__(
        self,
        receive: Receive,
        send: Send,
        engine: Engine,
        *,
        defaults: EasDefaults = PAGE_DEFAULTS,
        history: tuple[Round, ...] = (),
        draining: asyncio.Event | None = None,
        on_busy: Callable[[bool], None] = lambda is_busy: None,
    ) -> None:
        self._receive = receive
        self._send = send
        self._engine = engine
        self._defaults = defaults
        self._history = history
        self._system_prompt = ""
        self._draining = draining or asyncio.Event()
        self._on_busy = on_busy
        self._pending: asyncio.Queue[str | bytes] = asyncio.Queue(MAX_PENDING)

    async def run(self) -> None:
        """Accept, answer until either side leaves, and return with nothing left running."""
        await self._send({"type": "websocket.accept"})
        reader = asyncio.ensure_future(self._read())
        answering = asyncio.ensure_future(self._answer_all())
        tasks = {reader, answering}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                code = _INTERNAL if answering.exception() is not None else _RESTART
                reason = "The server had a fault." if code == _INTERNAL else "The service is restarting."
            else:
                code, reason = reader.result()
        finally:
            # No frame may be under way when the closing one is sent.
            await cancel_and_wait(answering)
            await cancel_and_wait(reader)
        if answering.done() and not answering.cancelled() and answering.exception() is not None:
            logger.error("A dialogue failed", exc_info=answering.exception())
        if code != _NORMAL:
            with contextlib.suppress(OSError, RuntimeError):  # The caller may have left by now.
                await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def _read(self) -> tuple[int, str]:
        """Queue questions until the connection has to end; returns the code and reason to close with.

        1000 means that the caller closed: the server has echoed its CLOSE by then.
        """
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return _NORMAL, ""
            text = message.get("text")
            question: str | bytes = text if text is not None else message.get("bytes") or b""
            size = len(question.encode("utf-8", "replace")) if isinstance(question, str) else len(question)
            if size > MAX_BODY_BYTES:
                return _TOO_BIG, f"A message may have {MAX_BODY_BYTES // 1024} KiB."
            try:
                self._pending.put_nowait(question)
            except asyncio.QueueFull:
                return _POLICY, f"More than {MAX_PENDING} questions are waiting."

    async def _answer_all(self) -> None:
        """Answer in order. Returns only when draining and nothing is left to answer."""
        while (question := await self._next_question()) is not None:
            self._on_busy(True)
            try:
                await self._answer(question)
            finally:
                self._on_busy(False)

    async def _next_question(self) -> str | bytes | None:
        if not self._pending.empty():
            return self._pending.get_nowait()
        waiting = asyncio.ensure_future(self._pending.get())
        draining = asyncio.ensure_future(self._draining.wait())
        try:
            await asyncio.wait({waiting, draining}, return_when=asyncio.FIRST_COMPLETED)
            return waiting.result() if waiting.done() else None
        finally:
            await cancel_and_wait(waiting)
            await cancel_and_wait(draining)

    async def _answer(self, question: str | bytes) -> None:
        """One round. It ends with ``<EOS>`` whatever happens in it."""
        try:
            exchange = decode(question, self._history, self._system_prompt, self._defaults)
            self._system_prompt = exchange.system_prompt or self._system_prompt
            if exchange.prompt.strip():
                await self._generate(exchange)
        except ChatError as error:
            await self._send_text(encode_failure(error))
        except OSError:
            raise
        except Exception:
            logger.exception("A round of a dialogue failed")
            await self._send_text(encode_failure(INTERNAL_ERROR))
        await self._send_text(END_OF_ROUND)

    async def _generate(self, exchange: EasExchange) -> None:
        answer = Answer()
        async with contextlib.aclosing(self._engine.generate(exchange.request)) as events:
            async for event in events:
                answer.add(event)
                if exchange.is_stream:
                    for text in encode(event):
                        await self._send_text(text)
        if not exchange.is_stream:
            await self._send_text(answer.text)
        self._history = (*exchange.history, (exchange.prompt, answer.text))[-MAX_REMEMBERED:]

    async def _send_text(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})
