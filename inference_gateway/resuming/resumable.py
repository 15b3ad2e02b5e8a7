"""One streamed answer that runs without a connection, and the last of its bytes.

    running ──▶ finished | stopped | interrupted | broken

It is made as ASGI's other side: whoever answers sends to it and hears from it that nobody wants the answer any more,
as from a connection. Readers come and go, each with an offset of its own. When the last one has gone, the answer goes
on for the service's time of grace, and is then stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass

from inference_gateway.chat import ChatError
from inference_gateway.http import Message, cancel_and_wait
from inference_gateway.resuming.framing import Dialect, EventIds

logger = logging.getLogger(__name__)

#: The last bytes that are kept of an answer. Who is further behind makes the engine wait.
MOST_KEPT_BYTES = 4 * 1024 * 1024
#: The same while a process keeps ``MOST_KEPT_IN_ALL``.
LEAST_KEPT_BYTES = 64 * 1024
MOST_KEPT_IN_ALL = 128 * 1024 * 1024
MOST_READ_BYTES = 64 * 1024
#: How long an answer may take to end once it is told to.
STOP_SECONDS = 5.0


class State(enum.StrEnum):
    """How far an answer is. STOPPED: nobody wanted it; INTERRUPTED: its server ended; BROKEN: a fault of it."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Title:
    """What a generation is, apart from its text. ``owner`` is who may ask for it."""

    id: str
    owner: str
    dialect: Dialect


@dataclass(slots=True)
class Budget:
    """How much all answers of a process keep."""

    kept_bytes: int = 0

    @property
    def is_spent(self) -> bool:
        return self.kept_bytes >= MOST_KEPT_IN_ALL


class Resumable:
    """See the module. All of it belongs to one event loop."""

    def __init__(self, title: Title, grace_seconds: float, budget: Budget, *, has_ids: bool) -> None:
        self.title = title
        self.state = State.RUNNING
        #: Status and headers, once the answer has begun.
        self.head: Message | None = None
        #: What lies in the store, and whether it knows the state.
        self.stored = 0
        self.is_told = False
        self._grace_seconds = grace_seconds
        self._budget = budget
        self._ids = EventIds(title.id) if has_ids else None
        self._window = bytearray()
        self._base = 0
        self._readers: set[Reader] = set()
        self._has_room = asyncio.Event()
        self._unwanted = asyncio.Event()
        self._why = State.STOPPED
        self._loop = asyncio.get_running_loop()
        self._alone_since = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def end(self) -> int:
        """How many bytes the answer has so far."""
        return self._base + len(self._window)

    @property
    def base(self) -> int:
        """The offset of the first byte that is kept."""
        return self._base

    @property
    def is_over(self) -> bool:
        return self.state is not State.RUNNING

    @property
    def is_kept(self) -> bool:
        """Whether this is an answer worth keeping: a refusal is told once."""
        return self.head is not None and self.head["status"] == 200

    def start(self, answering: Coroutine[object, object, object], on_over: Callable[[Resumable], None]) -> None:
        """Begin to answer. ``on_over`` is called once, when nothing more comes."""
        self._task = asyncio.create_task(self._run(answering, on_over), name=f"generation {self.title.id}")

    async def stop(self, why: State = State.STOPPED) -> None:
        """End it unless it has ended, and wait until the engine is left alone."""
        self.give_up(why)
        if self._task is not None and not self._task.done():
            await asyncio.wait({self._task}, timeout=STOP_SECONDS)
            if not self._task.done():
                await cancel_and_wait(self._task)

    def note_reader_elsewhere(self, seconds: float) -> None:
        """Somebody reads it by way of the store, and will have said so again in so many seconds."""
        self._alone_since = max(self._alone_since, self._loop.time() + seconds)
        self._has_room.set()

    def read_window(self, offset: int, most: int) -> bytes:
        """At most so many bytes from ``offset`` on, which must not lie before ``base``."""
        start = offset - self._base
        return bytes(self._window[start : start + most])

    @property
    def tail(self) -> bytes:
        return self.read_window(max(self._base, self.end - MOST_READ_BYTES), MOST_READ_BYTES)

    def release(self) -> None:
        """Its process keeps it no more, once its last readers have gone. It is over."""
        self._budget.kept_bytes -= len(self._window)

    def check_offset(self, offset: int) -> None:
        """Raises ChatError 410 and 416."""
        if offset < self._base:
            raise gone()
        if self.is_over and offset > self.end:
            raise past_end(self.end)

    @contextlib.contextmanager
    def read_from(self, offset: int) -> Iterator[Reader]:
        """Be one of its readers. Raises ChatError 410 and 416."""
        self.check_offset(offset)
        reader = Reader(self, offset)
        self._readers.add(reader)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            if not self._readers:
                self._alone_since = max(self._alone_since, self._loop.time())
                self._look_whether_wanted()

    # The side of whoever answers

    async def receive(self) -> Message:
        """As ASGI's, of a request whose body was read."""
        await self._unwanted.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """As ASGI's. Waits while no more can be kept."""
        if message["type"] == "http.response.start":
            self.head = message
            if message["status"] != 200:
                self._ids = None
            return
        is_last = not message.get("more_body", False)
        piece = message.get("body", b"")
        if self._ids is not None:
            piece = self._ids.feed(piece, is_last=is_last)
        if is_last and not self.is_over:
            self.state = State.FINISHED
        self._window += piece
        self._budget.kept_bytes += len(piece)
        self._wake()
        while self._is_full() and not self._unwanted.is_set() and not self.is_over:
            self._has_room.clear()
            await self._has_room.wait()

    def _is_full(self) -> bool:
        """Drop what is too old and has been read; whether there is still too much."""
        most = LEAST_KEPT_BYTES if self._budget.is_spent else MOST_KEPT_BYTES
        if len(self._window) <= most:
            return False
        needed = min((reader.offset for reader in self._readers), default=self._base)
        if not self._readers and self._alone_since > self._loop.time():
            needed = self.stored
        surplus = min(len(self._window) - most, needed - self._base)
        if surplus > 0:
            del self._window[:surplus]
            self._base += surplus
            self._budget.kept_bytes -= surplus
        return len(self._window) > most

    async def _run(self, answering: Coroutine[object, object, object], on_over: Callable[[Resumable], None]) -> None:
        try:
            await answering
        except Exception:  # an edge: the readers are told
            logger.exception("generation %s broke off", self.title.id)
        finally:
            if not self.is_over:
                self.state = self._why if self._unwanted.is_set() else State.BROKEN
            if self._timer is not None:
                self._timer.cancel()
            self._wake()
            on_over(self)

    # Whether it is wanted

    def _look_whether_wanted(self) -> None:
        """Stop it once nobody has read it for the time of grace; look again when that may have passed."""
        self._timer = None
        if self._readers or self.is_over:
            return
        # Of an answer that has not begun nobody knows the name.
        until = self._alone_since + (self._grace_seconds if self.head is not None else 0.0)
        if self._loop.time() >= until:
            self.give_up(State.STOPPED)
        else:
            self._timer = self._loop.call_at(until, self._look_whether_wanted)

    def give_up(self, why: State) -> None:
        """Tell who answers that nobody wants it."""
        if not self._unwanted.is_set():
            self._why = why
            self._unwanted.set()
            self._has_room.set()

    def _wake(self) -> None:
        for reader in self._readers:
            reader.news.set()

    def note_read(self) -> None:
        """A reader has got on."""
        self._has_room.set()


class Reader:
    """One reader's place in an answer."""

    def __init__(self, resumable: Resumable, offset: int) -> None:
        self.offset = offset
        self.news = asyncio.Event()
        self._resumable = resumable

    async def wait_begun(self) -> Message | None:
        """Status and headers; None of an answer that ended without."""
        while self._resumable.head is None and not self._resumable.is_over:
            self.news.clear()
            await self.news.wait()
        return self._resumable.head

    async def read(self) -> bytes:
        """What comes next; empty at the end."""
        resumable = self._resumable
        while self.offset >= resumable.end:
            if resumable.is_over:
                return b""
            self.news.clear()
            await self.news.wait()
        piece = resumable.read_window(self.offset, MOST_READ_BYTES)
        self.offset += len(piece)
        resumable.note_read()
        return piece


def gone() -> ChatError:
    message = "The beginning of what you ask for is not kept any more. Ask from a later offset, or ask anew."
    return ChatError(410, "generation_gone", message, "offset")


def past_end(end: int) -> ChatError:
    message = f"This answer has {end} bytes. Ask from an offset within it."
    return ChatError(416, "offset_past_end", message, "offset")


def ending_of(state: State) -> ChatError:
    """What readers are told of an answer that has no end of its own."""
    if state is State.STOPPED:
        return ChatError(499, "stopped", "This answer was stopped, because nobody read it or asked for its end.")
    return ChatError(502, "interrupted", "This answer broke off: its server ended. Ask again for a whole one.")
