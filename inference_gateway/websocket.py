"""A dialogue over a WebSocket as raw ASGI; the gateway and the runtime share it. Dialects are codecs.

Questions may be sent without waiting; they are answered strictly in order. The rounds of a connection are
its history. When the caller leaves, the round that runs is cancelled and awaited; a ``stop`` ends that round alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from inference_gateway.answer import INTERNAL_ERROR
from inference_gateway.chat import Answer, ChatError
from inference_gateway.codecs.dialogue import (
    Past,
    Ping,
    Resume,
    SocketDialect,
    SocketTurn,
    Stop,
    TurnWriter,
    find_control,
)
from inference_gateway.codecs.websocket import EasDialect
from inference_gateway.engines.base import Engine
from inference_gateway.http import MAX_BODY_BYTES, Receive, Send, cancel_and_wait

logger = logging.getLogger(__name__)

#: Questions that wait behind the one being answered, and their size. The sample client sends five.
MAX_PENDING = 64
MAX_PENDING_BYTES = 4 * MAX_BODY_BYTES

_NORMAL, _POLICY, _TOO_BIG, _INTERNAL, _RESTART = 1000, 1008, 1009, 1011, 1012

#: How many rounds a connection remembers: a caller that stays for days must not fill memory.
MAX_REMEMBERED = 200


@dataclass(frozen=True, slots=True)
class Manner:
    """How a connection begins and ends.

    Once ``draining`` is set, rounds that were asked for are finished within ``drain_seconds``, and the connection
    is closed with 1012 and ``restart_reason`` (at most 123 bytes).
    """

    subprotocol: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    drain_seconds: float = math.inf
    restart_reason: str = "The service is restarting."


Put = Callable[[Iterable[str]], Awaitable[None]]
Answering = Callable[[Put], Coroutine[object, object, None]]


class Keeper(Protocol):
    """Lets the rounds of a connection outlive it, and gets them back."""

    def name_of(self, number: int) -> str:
        """What the connection's round of that number, from 1, is called."""

    @property
    def is_keeping(self) -> bool:
        """Whether rounds are kept."""

    async def run(self, generation: str, answering: Answering, tell: Put) -> None:
        """Let a round write, and tell the connection what it writes. Raises ChatError where it was stopped."""

    def resume(self, generation: str, offset: int) -> AsyncGenerator[list[str], None]:
        """The messages of a round behind the first ``offset``. Raises ChatError."""

    async def stop(self, generation: str) -> None:
        """End a round that is being resumed. Raises ChatError."""

    @property
    def read_past(self) -> Callable[[], Awaitable[Past]]:
        """What was said so far, with a round that has been resumed."""


NOT_KEPT = ChatError(404, "generation_not_found", "Answers of this service cannot be resumed.")


class Dialogue:
    """One accepted connection. The caller has been authenticated, and its connect message received.

    ``engine`` is asked once for each round, so that a decorator of it can route, limit and record rounds.
    ``on_busy`` is told when the connection begins (True) and stops (False) having something to answer.
    """

    def __init__(
        self,
        receive: Receive,
        send: Send,
        engine: Engine,
        dialect: SocketDialect | None = None,
        *,
        past: Past | None = None,
        manner: Manner | None = None,
        keeper: Keeper | None = None,
        on_busy: Callable[[bool], None] = lambda is_busy: None,
    ) -> None:
        self._receive = receive
        self._send = send
        self._engine = engine
        self._dialect = dialect or EasDialect()
        self._past = past or Past()
        self._manner = manner or Manner()
        self._keeper = keeper
        self._resumed: str | None = None
        self._asked = 0
        self._on_busy = on_busy
        self._pending: asyncio.Queue[str | bytes] = asyncio.Queue(MAX_PENDING)
        self._pending_bytes = 0
        self._round = _Round()
        self._stopped_ids: set[str] = set()

    async def run(self) -> None:
        """Accept, answer until either side leaves, and return with nothing left running."""
        manner = self._manner
        accept = {"type": "websocket.accept", "subprotocol": manner.subprotocol, "headers": list(manner.headers)}
        await self._send(accept)
        reader = asyncio.ensure_future(self._read())
        answering = asyncio.ensure_future(self._answer_all())
        draining = asyncio.ensure_future(self._wait_for_drain())
        try:
            await asyncio.wait({reader, answering, draining}, return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                code, reason = reader.result()
            elif answering.done() and answering.exception() is not None:
                code, reason = _INTERNAL, "The server had a fault."
            else:
                code, reason = _RESTART, manner.restart_reason
        finally:
            # No frame may be under way when the closing one is sent.
            await cancel_and_wait(draining)
            await cancel_and_wait(answering)
            await cancel_and_wait(reader)
        if answering.done() and not answering.cancelled() and answering.exception() is not None:
            logger.error("A dialogue failed", exc_info=answering.exception())
        if code != _NORMAL:
            with contextlib.suppress(OSError, RuntimeError):  # The caller may have left by now.
                await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def _wait_for_drain(self) -> None:
        """Returns when a drain has taken as long as it may."""
        await self._manner.draining.wait()
        if math.isinf(self._manner.drain_seconds):
            await asyncio.Event().wait()
        await asyncio.sleep(self._manner.drain_seconds)

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
            size = size_of(question)
            if size > MAX_BODY_BYTES:
                return _TOO_BIG, f"A message may have {MAX_BODY_BYTES // 1024} KiB."
            match find_control(question):
                case Stop(id=key):
                    await self._stop(key)
                case Ping():
                    await self._send_texts(self._dialect.pong())
                case Resume() | None if self._pending.full():
                    return _POLICY, f"More than {MAX_PENDING} questions are waiting."
                case Resume() | None if self._pending_bytes + size > MAX_PENDING_BYTES:
                    return _POLICY, f"The questions that wait have more than {MAX_PENDING_BYTES // 1024} KiB."
                case Resume() | None:
                    self._pending_bytes += size
                    self._pending.put_nowait(question)

    async def _stop(self, key: str | None) -> None:
        """End the running round, or see to it that a waiting one ends at once."""
        if key is None and self._resumed is not None and self._keeper is not None:
            with contextlib.suppress(ChatError):  # who reads it is told
                await self._keeper.stop(self._resumed)
        elif key is None or key == self._round.turn.id:
            self._round.stop()
        elif not self._pending.empty() and len(self._stopped_ids) < MAX_PENDING:
            self._stopped_ids.add(key)

    async def _answer_all(self) -> None:
        """Answer in order. Returns only when draining and nothing is left to answer."""
        await self._send_texts(self._dialect.greet())
        while (question := await self._next_question()) is not None:
            self._on_busy(True)
            try:
                control = find_control(question)
                if isinstance(control, Resume):
                    await self._resume(control)
                else:
                    await self._answer(question)
            finally:
                self._on_busy(False)

    async def _next_question(self) -> str | bytes | None:
        if self._pending.empty():
            waiting = asyncio.ensure_future(self._pending.get())
            draining = asyncio.ensure_future(self._manner.draining.wait())
            try:
                await asyncio.wait({waiting, draining}, return_when=asyncio.FIRST_COMPLETED)
                question = waiting.result() if waiting.done() else None
            finally:
                await cancel_and_wait(waiting)
                await cancel_and_wait(draining)
        else:
            question = self._pending.get_nowait()
        self._pending_bytes -= 0 if question is None else size_of(question)
        return question

    async def _answer(self, question: str | bytes) -> None:
        """One round. It ends with the dialect's mark whatever happens in it."""
        self._asked += 1
        turn = self._dialect.decode(question, self._past)
        writer = self._dialect.writer(turn)
        self._past = Past(turn.system_prompt, self._past.rounds)
        if turn.error is not None:
            await self._send_texts(writer.fail(turn.error))
            return
        keeper = self._keeper
        if turn.exchange is None or keeper is None or not keeper.is_keeping:
            await self._finish(turn, writer, self._send_texts)
            return
        generation = keeper.name_of(self._asked)

        async def answer(put: Put) -> None:
            await put(writer.begin(generation))
            await self._finish(turn, writer, put)

        try:
            await keeper.run(generation, answer, self._send_texts)
        except ChatError as error:
            await self._send_texts(writer.fail(error))

    async def _resume(self, asked: Resume) -> None:
        """An earlier round again, from where its reader stopped."""
        keeper, writer = self._keeper, self._dialect.writer(SocketTurn(id=asked.id))
        if keeper is None:
            await self._send_texts(writer.fail(NOT_KEPT))
            return
        self._resumed = asked.generation
        try:
            async with contextlib.aclosing(keeper.resume(asked.generation, asked.offset)) as messages:
                async for texts in messages:
                    await self._send_texts(texts)
            self._past = await keeper.read_past()
        except ChatError as error:
            await self._send_texts(writer.fail(error))
        finally:
            self._resumed = None

    async def _finish(self, turn: SocketTurn, writer: TurnWriter, put: Put) -> None:
        """Answer a question that was decoded, to its mark."""
        is_stopped = turn.id is not None and turn.id in self._stopped_ids
        if is_stopped:
            self._stopped_ids.discard(turn.id or "")
        elif turn.exchange is not None:
            self._round = _Round(turn)
            try:
                is_stopped = await self._round.run(self._generate(turn, writer, put))
            except ChatError as error:
                await put(writer.fail(error))
                return
            except OSError:
                raise
            except Exception:
                logger.exception("A round of a dialogue failed")
                await put(writer.fail(INTERNAL_ERROR))
                return
        if self._round.turn is turn:
            self._remember(turn, self._round.answer.text)
        await put(writer.end(is_stopped=is_stopped))

    async def _generate(self, turn: SocketTurn, writer: TurnWriter, put: Put) -> None:
        exchange, answer = turn.exchange, self._round.answer
        assert exchange is not None
        async with contextlib.aclosing(self._engine.generate(exchange.request)) as events:
            async for event in events:
                answer.add(event)
                if exchange.is_stream:
                    await put(writer.encode(event))
        if not exchange.is_stream:
            await put(writer.fold(answer))

    def _remember(self, turn: SocketTurn, answer: str) -> None:
        """A round that was stopped counts as far as it came, as a recorded one does."""
        if answer:
            rounds = (*turn.rounds, (turn.prompt, answer))[-MAX_REMEMBERED:]
            self._past = Past(turn.system_prompt, rounds)

    async def _send_texts(self, texts: Iterable[str]) -> None:
        for text in texts:
            await self._send({"type": "websocket.send", "text": text})


class _Round:
    """The answer under way, in a task of its own, so that it can be stopped without its connection."""

    def __init__(self, turn: SocketTurn | None = None) -> None:
        self.turn = turn or SocketTurn()
        self.answer = Answer()
        self._task: asyncio.Future[None] | None = None
        self._is_stopped = False

    async def run(self, generating: Coroutine[object, object, None]) -> bool:
        """Whether it was stopped. Raises what ``generating`` does."""
        self._task = asyncio.ensure_future(generating)
        try:
            await asyncio.wait({self._task})
        finally:
            if not self._task.done():
                await cancel_and_wait(self._task)
        if self._task.cancelled() and self._is_stopped:
            return True
        self._task.result()
        return False

    def stop(self) -> None:
        if self._task is not None and not self._task.done():
            self._is_stopped = True
            self._task.cancel()


def size_of(question: str | bytes) -> int:
    """In bytes, as it was sent."""
    return len(question.encode("utf-8", "replace")) if isinstance(question, str) else len(question)
