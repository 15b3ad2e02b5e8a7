"""One answer being generated, as a task of this process that no page owns.

    waiting ──▶ reading ──▶ (thinking) ──▶ writing ──▶ over

It ends in exactly one of five ways: finished; stopped, by a person or for want of a viewer; failed, with a
code and a sentence; interrupted, when this server shuts down; or not at all, when the process dies, and then
``history`` gives it up five seconds later. Each of the first four records the text and closes the engine's
stream, which frees its slot.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from uuid import UUID

from django.core.cache import cache
from redis.exceptions import RedisError

from inference_gateway.answer import INTERNAL_ERROR
from inference_gateway.chat import ChatError, ChatEvent, ChatRequest, Reasoning, Text
from inference_gateway.database import in_database
from inference_gateway.directory import Route
from inference_gateway.engines.base import Engine
from inference_gateway.history import TurnRecorder
from inference_gateway.http import cancel_and_wait
from inference_gateway.models import Turn
from inference_gateway.webchat.turns import is_generating

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 0.5
VIEWERLESS_SECONDS = 30.0

WAITING, READING, THINKING, WRITING = "waiting", "reading", "thinking", "writing"


def viewed_key(turn_id: int) -> str:
    """Cache key that pages on other server processes renew while they watch a turn."""
    return f"slipway:webchat:viewed:{turn_id}"


def note_viewer(turn_id: int) -> None:
    """Say that a page on this process watches a turn that another process generates."""
    with contextlib.suppress(OSError, RedisError):
        cache.set(viewed_key(turn_id), 1, timeout=int(VIEWERLESS_SECONDS))


def has_distant_viewer(turn_id: int) -> bool:
    """Whether one was noted in the last half minute."""
    try:
        return bool(cache.get(viewed_key(turn_id)))
    except (OSError, RedisError):
        return False


class Generation:
    """An answer on its way. ``text`` only grows; who watches it is told of every change.

    ``is_over`` once the ending has been recorded.
    """

    def __init__(self, number: int, recorder: TurnRecorder) -> None:
        self.turn_id = recorder.opened.id
        self.conversation_id = recorder.opened.conversation_id
        self.number = number
        self.text = recorder.opened.kept.text
        self.phase = WAITING
        self.is_over = False
        self._recorder = recorder
        self._stop_status = Turn.Status.INTERRUPTED
        #: Once set nothing may cancel the task: either it has been, or its ending is being recorded.
        self._is_ending = False
        self._viewers: set[asyncio.Event] = set()
        self._unviewed_since = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    def start(self, engine: Engine, request: ChatRequest, on_over: Callable[[Generation], None]) -> None:
        """Begin. ``on_over`` is called once, when the ending has been recorded."""
        self._task = asyncio.create_task(self._run(engine, request, on_over), name=f"webchat turn {self.turn_id}")

    async def stop(self, status: Turn.Status = Turn.Status.STOPPED) -> None:
        """End it with ``status`` unless it is ending already, and wait until that is recorded."""
        self._cancel(status)
        if self._task is not None:
            await asyncio.wait({self._task})

    def note_wait(self) -> None:
        """No instance takes the question at present."""
        self.phase = WAITING
        self._tell()

    def note_route(self, route: Route) -> None:
        """An instance has the question: what passes from now on is the engine's time."""
        self._recorder.note_route(route)
        self.phase = READING
        self._tell()

    def note_shortened(self, rounds: int) -> None:
        """So many of the oldest rounds are not shown to the model: its context is full."""
        self._recorder.rounds_left_out = rounds

    @contextlib.contextmanager
    def watched(self) -> Iterator[asyncio.Event]:
        """Count as a viewer; the event is set with every change, and cleared by who waits for it."""
        changed = asyncio.Event()
        self._viewers.add(changed)
        try:
            yield changed
        finally:
            self._viewers.discard(changed)
            self._unviewed_since = time.monotonic()

    async def _run(self, engine: Engine, request: ChatRequest, on_over: Callable[[Generation], None]) -> None:
        keeper = asyncio.create_task(self._look_around(), name=f"webchat keeper {self.turn_id}")
        status, error = await self._generate(engine, request)
        self._is_ending = True
        await cancel_and_wait(keeper)
        try:
            await self._recorder.close(status, error)
        except Exception:  # an edge: the answer is on the pages, and history gives the row up later
            logger.exception("turn %s: its end was not recorded", self.turn_id)
        self.is_over = True
        self._tell()
        on_over(self)

    async def _generate(self, engine: Engine, request: ChatRequest) -> tuple[Turn.Status, ChatError | None]:
        """Generate to the end, whichever of the endings it is. Raises nothing."""
        try:
            async with contextlib.aclosing(engine.generate(request)) as events:
                async for event in events:
                    self._take(event)
        except asyncio.CancelledError:
            return self._stop_status, None  # nobody but _cancel cancels this task
        except ChatError as error:
            logger.warning("turn %s failed: %s", self.turn_id, error.code)
            return Turn.Status.FAILED, error
        except Exception:  # an edge: whatever it is, the person is told and the row says failed
            logger.exception("turn %s broke off", self.turn_id)
            return Turn.Status.FAILED, INTERNAL_ERROR
        return Turn.Status.FINISHED, None

    def _take(self, event: ChatEvent) -> None:
        self._recorder.add(event)
        if event.index != 0 or not isinstance(event, Text | Reasoning) or not event.text:
            return
        if isinstance(event, Text):
            self.text += event.text
            self.phase = WRITING
        else:
            self.phase = THINKING
        self._tell()

    def _tell(self) -> None:
        for changed in self._viewers:
            changed.set()

    async def _look_around(self) -> None:
        """Twice a second: stop when a page of another process stopped the turn, or when nobody watches."""
        while not self._is_ending:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            try:
                is_wanted = await in_database(is_generating, self.turn_id, self._recorder.opened.generation)
                is_wanted = is_wanted and await self._is_watched()
            except Exception:  # an edge: a busy or absent database must not end an answer
                logger.exception("turn %s: whether it is still wanted is unknown, looking again", self.turn_id)
                continue
            if not is_wanted:
                self._cancel(Turn.Status.STOPPED)

    async def _is_watched(self) -> bool:
        if self._viewers or time.monotonic() - self._unviewed_since < VIEWERLESS_SECONDS:
            return True
        return await in_database(has_distant_viewer, self.turn_id)

    def _cancel(self, status: Turn.Status) -> None:
        if self._is_ending or self._task is None:
            return
        self._is_ending = True
        self._stop_status = status
        self._task.cancel()


class Generations:
    """The answers that this process generates, by their turn. All of it belongs to one event loop."""

    def __init__(self) -> None:
        self._by_turn: dict[int, Generation] = {}
        self._news: dict[UUID, set[asyncio.Event]] = {}

    def find(self, turn_id: int) -> Generation | None:
        return self._by_turn.get(turn_id)

    def start(self, generation: Generation, engine: Engine, request: ChatRequest) -> None:
        """Let it run, and wake the pages that show its conversation."""
        self._by_turn[generation.turn_id] = generation
        generation.start(engine, request, self._forget)
        for news in self._news.get(generation.conversation_id, ()):
            news.set()

    @contextlib.contextmanager
    def listening(self, conversation_id: UUID) -> Iterator[asyncio.Event]:
        """An event that is set when the conversation gets a new turn on this process."""
        news = asyncio.Event()
        self._news.setdefault(conversation_id, set()).add(news)
        try:
            yield news
        finally:
            self._news[conversation_id].discard(news)
            if not self._news[conversation_id]:
                del self._news[conversation_id]

    async def stop(self, conversation_id: UUID) -> None:
        """Stop what this process generates for a conversation; its slot is free when this returns."""
        running = [one for one in self._by_turn.values() if one.conversation_id == conversation_id]
        await asyncio.gather(*(one.stop() for one in running))

    async def close(self) -> None:
        """The server shuts down: every answer is recorded as interrupted."""
        running = list(self._by_turn.values())
        await asyncio.gather(*(one.stop(Turn.Status.INTERRUPTED) for one in running))

    def _forget(self, generation: Generation) -> None:
        self._by_turn.pop(generation.turn_id, None)
