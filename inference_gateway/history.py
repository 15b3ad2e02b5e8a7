"""Turns on their way into the database: opened before the answer, kept current, closed however it ends.

A turn under way is saved every half second and touched every second. One that nobody has touched for five
seconds has lost its server and becomes ``interrupted``. Nothing here is held across a stream: each write is
one short transaction in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from deployments.words import words_of
from inference_gateway.answer import INTERNAL_ERROR
from inference_gateway.chat import Answer, ChatError, ChatEvent, ChatRequest, Done, Text
from inference_gateway.codecs.eas import Round
from inference_gateway.database import in_database
from inference_gateway.directory import Route, ServiceEntry
from inference_gateway.engines.base import Engine
from inference_gateway.models import TITLE_LENGTH, Conversation, Turn

logger = logging.getLogger(__name__)

SAVE_EVERY_SECONDS = 0.5
TOUCH_EVERY_SECONDS = 1.0
LOST_AFTER = timedelta(seconds=5)
#: Earlier rounds read back for a question; the model gets the last few of them (``max_rounds``).
MAX_ROUNDS = 50
#: How often the last write of a turn is tried, and how long an answer's end waits for it.
CLOSE_ATTEMPTS = 6
CLOSE_WAIT_SECONDS = 2.0
#: A turn whose text helps the next question.
TELLING = (Turn.Status.FINISHED, Turn.Status.STOPPED, Turn.Status.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class NewTurn:
    """What is asked, and where it belongs."""

    service: ServiceEntry
    conversation_id: uuid.UUID
    source: Conversation.Source
    question: str
    system_prompt: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """What an earlier run wrote of an answer that goes on, and what it counted."""

    text: str = ""
    completion_tokens: int = 0
    first_token_ms: int | None = None
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class OpenedTurn:
    """A turn that is now ``generating``. ``rounds`` are the earlier ones, oldest first."""

    id: int
    generation: uuid.UUID
    conversation_id: uuid.UUID
    system_prompt: str
    rounds: tuple[Round, ...]
    kept: Kept = field(default_factory=Kept)


def open_turn(new: NewTurn) -> OpenedTurn:
    """Create the turn, and at the first one its conversation. Raises ChatError 404 ``conversation_not_found``."""
    now = timezone.now()
    with transaction.atomic():
        conversation, _ = Conversation.objects.select_for_update().get_or_create(
            id=new.conversation_id,
            defaults={
                "service_id": new.service.id,
                "service_name": new.service.name,
                "workspace_id": new.service.workspace_id,
                "title": storable(new.question)[:TITLE_LENGTH],
                "source": new.source,
            },
        )
        check_is_of(conversation, new.service)
        last = conversation.turns.order_by("-number").first()
        system_prompt = storable(new.system_prompt) or conversation.system_prompt
        turn = Turn.objects.create(
            conversation=conversation,
            number=last.number + 1 if last else 1,
            parent=last,
            question=storable(new.question),
            parameters=dict(new.parameters),
        )
        Conversation.objects.filter(pk=conversation.pk).update(
            updated_at=now, system_prompt=system_prompt, service_id=new.service.id
        )
        rounds = read_rounds(conversation)
    return OpenedTurn(turn.pk, turn.generation, conversation.pk, system_prompt, rounds)


def read_past(conversation_id: uuid.UUID, service: ServiceEntry) -> tuple[str, tuple[Round, ...]]:
    """System prompt and rounds of a conversation so far; of a new one, nothing. Raises as ``open_turn``."""
    conversation = Conversation.objects.filter(pk=conversation_id).first()
    if conversation is None:
        return "", ()
    check_is_of(conversation, service)
    return conversation.system_prompt, read_rounds(conversation)


def check_is_of(conversation: Conversation, service: ServiceEntry) -> None:
    """A program's conversation belongs to one service, or to the name of one that is gone.

    One answer for another service's, a person's and a deleted one: whoever guesses learns nothing.
    """
    is_its_own = conversation.service_id == service.id or (
        conversation.service_id is None
        and (conversation.service_name, conversation.workspace_id) == (service.name, service.workspace_id)
    )
    if conversation.owner_id is None and conversation.deleted_at is None and is_its_own:
        return
    message = (
        f"There is no conversation {conversation.pk} to go on with at {service.name}. "
        "Send a new UUID in X-Slipway-Conversation to begin one."
    )
    raise ChatError(404, "conversation_not_found", message, "X-Slipway-Conversation")


def read_rounds(conversation: Conversation) -> tuple[Round, ...]:
    """The last rounds with an answer, whole or cut off, oldest first."""
    told = conversation.turns.filter(status__in=TELLING).exclude(answer="")
    newest = told.order_by("-number").values_list("question", "answer")[:MAX_ROUNDS]
    return tuple(reversed([(question, answer) for question, answer in newest]))


def storable(text: str) -> str:
    """Text that every database takes: no NUL, no half characters."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def save_answer(opened: OpenedTurn, text: str) -> None:
    """The text so far of a turn under way."""
    Turn.objects.filter(pk=opened.id, generation=opened.generation, status=Turn.Status.GENERATING).update(
        answer=storable(text), updated_at=timezone.now()
    )


def close_turn(opened: OpenedTurn, columns: Mapping[str, Any]) -> None:
    """The turn's end. One taken for lost meanwhile is put right; a later run of it is left alone."""
    rows = Turn.objects.filter(
        pk=opened.id,
        generation=opened.generation,
        # Stopped: a page on another server process said so, and this process heard of it from the row.
        status__in=(Turn.Status.GENERATING, Turn.Status.INTERRUPTED, Turn.Status.STOPPED),
    )
    now = timezone.now()
    if rows.update(**columns, updated_at=now):
        Conversation.objects.filter(pk=opened.conversation_id).update(updated_at=now)


#: The texts of turns by their generation, where they are known beyond the rows.
TextFinder = Callable[[Iterable[uuid.UUID]], Mapping[uuid.UUID, str]]


def no_texts(generations: Iterable[uuid.UUID]) -> Mapping[uuid.UUID, str]:
    return {}


def interrupt_lost_turns(*, is_boot: bool = False, find_texts: TextFinder = no_texts) -> int:
    """Turns whose server is gone keep their text and become ``interrupted``. Returns how many.

    Text that ``find_texts`` knows counts where it goes on from the row's. At a server's start on SQLite there is no
    other server, so every turn under way is such a turn.
    """
    under_way = Turn.objects.filter(status=Turn.Status.GENERATING)
    if not (is_boot and connection.vendor == "sqlite"):
        under_way = under_way.filter(updated_at__lt=timezone.now() - LOST_AFTER)
    lost = list(under_way.values_list("pk", "generation", "answer"))
    texts = find_texts([generation for _, generation, _ in lost]) if lost else {}
    count = 0
    for key, generation, answer in lost:
        text = storable(texts.get(generation, ""))
        whole = text if text.startswith(answer) else answer
        # Whoever has touched it meanwhile writes on.
        of_this_run = under_way.filter(pk=key, generation=generation, answer=answer)
        count += of_this_run.update(status=Turn.Status.INTERRUPTED, answer=whole)
    return count


def touch_turns(ids: list[int]) -> None:
    Turn.objects.filter(pk__in=ids, status=Turn.Status.GENERATING).update(updated_at=timezone.now())


class TurnRecorder:
    """Follows one answer: ``add`` every event, then ``close`` once, however it ended."""

    def __init__(self, history: History, opened: OpenedTurn, clock: Callable[[], float] = time.monotonic) -> None:
        self.opened = opened
        #: Whether its text is to lie elsewhere, too, before it is saved (``inference_gateway.ahead``).
        self.is_ahead = False
        self.answer = Answer([Text(opened.kept.text)] if opened.kept.text else ())
        self.revision_number: int | None = None
        self.rounds_left_out = 0
        self._history = history
        self._clock = clock
        self._began_at = self._saved_at = clock()
        self._first_token_ms: int | None = None
        self._pieces = 0
        self._save: asyncio.Task[None] | None = None

    def add(self, event: ChatEvent) -> None:
        """Take an event in; now and then this starts a save, which is not waited for."""
        self.answer.add(event)
        if not isinstance(event, Text):
            return
        now = self._clock()
        self._pieces += bool(event.text)
        if self._first_token_ms is None and event.text:
            self._first_token_ms = round((now - self._began_at) * 1000)
        if now - self._saved_at >= SAVE_EVERY_SECONDS and (self._save is None or self._save.done()):
            self._saved_at = now
            self._save = asyncio.create_task(self._save_now())

    def note_route(self, route: Route) -> None:
        """Which revision answers. Times are the engine's: they count from here, not from the wait before."""
        self.revision_number = route.revision_number
        self._began_at = self._clock()

    async def close(self, status: Turn.Status, error: ChatError | None = None) -> None:
        """Write the end. Returns when it is written, or after two seconds with the write still being tried."""
        columns = {
            "answer": storable(self.answer.text),
            "status": status,
            "error_code": error.code[:64] if error else "",
            "error_message": error.message if error else "",
            "error_words": words_of(error.message) if error else [],
            "finish_reason": (self.answer.finish_reason or "")[:32],
            "revision_number": self.revision_number,
            "rounds_left_out": self.rounds_left_out,
            **self._count(),
        }
        await self._history.close(self, columns)

    def _count(self) -> dict[str, int | None]:
        """Tokens and times; of an answer that went on, those of all its runs together.

        The engine counts the kept text to the prompt of a later run, and that run's wait is no time of writing.
        """
        usage, kept = self.answer.usage, self.opened.kept
        # A cut-off answer has no usage; its pieces are counted, for engines send one a token.
        written = kept.completion_tokens + (usage.completion_tokens if usage else self._pieces)
        ran_ms = round((self._clock() - self._began_at) * 1000)
        is_first = kept.first_token_ms is None
        return {
            "prompt_tokens": max(0, usage.prompt_tokens - kept.completion_tokens) if usage else None,
            "completion_tokens": written if usage else written or None,
            "first_token_ms": self._first_token_ms if is_first else kept.first_token_ms,
            "duration_ms": ran_ms if is_first else kept.duration_ms + max(0, ran_ms - (self._first_token_ms or ran_ms)),
        }

    async def _save_now(self) -> None:
        try:
            await in_database(save_answer, self.opened, self.answer.text)
        except DatabaseError as error:
            logger.warning("turn %s: the text so far was not saved: %s", self.opened.id, error)


class History:
    """The turns under way in this process, and the writes that are not done yet."""

    def __init__(self) -> None:
        self._open: dict[int, TurnRecorder] = {}
        self._closing: dict[asyncio.Task[None], uuid.UUID] = {}
        #: Set with each turn whose text is to lie elsewhere, too; whoever stores them clears it.
        self.has_ahead = asyncio.Event()
        self.find_texts: TextFinder = no_texts

    @property
    def under_way(self) -> list[TurnRecorder]:
        """The turns that are not closed."""
        return list(self._open.values())

    async def open(self, new: NewTurn) -> TurnRecorder:
        """Begin a turn, after what is still being written of its conversation. See ``open_turn``."""
        ahead = [task for task, key in self._closing.items() if key == new.conversation_id]
        if ahead:
            await asyncio.wait(ahead, timeout=CLOSE_WAIT_SECONDS)
        return self.follow(await in_database(open_turn, new))

    def follow(self, opened: OpenedTurn, *, is_ahead: bool = False) -> TurnRecorder:
        """Record a turn that was opened elsewhere (the web chat opens its own)."""
        recorder = TurnRecorder(self, opened)
        recorder.is_ahead = is_ahead
        self._open[opened.id] = recorder
        if is_ahead:
            self.has_ahead.set()
        return recorder

    async def close(self, recorder: TurnRecorder, columns: Mapping[str, Any]) -> None:
        """What ``TurnRecorder.close`` does. The write goes on when whoever waits is cancelled."""
        opened = recorder.opened
        task = asyncio.create_task(self._close(opened, columns))
        self._closing[task] = opened.conversation_id
        task.add_done_callback(self._closing.pop)
        await asyncio.wait({task}, timeout=CLOSE_WAIT_SECONDS)

    async def keep(self) -> None:
        """Until cancelled: touch the turns under way, and interrupt those that others left."""
        is_boot = True
        while True:
            try:
                if self._open:
                    await in_database(touch_turns, list(self._open))
                await in_database(interrupt_lost_turns, is_boot=is_boot, find_texts=self.find_texts)
                is_boot = False
            except DatabaseError as error:
                logger.warning("Turns under way could not be looked after: %s", error)
            await asyncio.sleep(TOUCH_EVERY_SECONDS)

    async def drain(self, timeout_seconds: float) -> None:
        """Wait for the writes that are not done yet."""
        if self._closing:
            await asyncio.wait(set(self._closing), timeout=timeout_seconds)

    async def _close(self, opened: OpenedTurn, columns: Mapping[str, Any]) -> None:
        try:
            for attempt in range(CLOSE_ATTEMPTS):
                try:
                    await in_database(close_turn, opened, columns)
                    return
                except DatabaseError as error:
                    logger.warning("turn %s: its end was not written yet: %s", opened.id, error)
                    await asyncio.sleep(0.2 * 2**attempt)
            logger.error("turn %s: its end could not be written", opened.id)
        finally:
            self._open.pop(opened.id, None)


class RecordedEngine:
    """An ``Engine`` that records the one question it is asked in a turn opened before.

    The turn is closed in whatever way the answer ends; ``stopped`` is a caller who left, unless ``cut_off`` knows
    of another reason.
    """

    def __init__(
        self,
        engine: Engine,
        recorder: TurnRecorder,
        cut_off: Callable[[], Turn.Status] = lambda: Turn.Status.STOPPED,
    ) -> None:
        self._engine = engine
        self._recorder = recorder
        self._cut_off = cut_off

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """See ``Engine``."""
        recorder = self._recorder
        ended: Turn.Status | None = None
        failure: ChatError | None = None
        try:
            async with aclosing(self._engine.generate(request)) as events:
                async for event in events:
                    recorder.add(event)
                    # A choice that is done is a finished answer, even if the caller leaves before its usage.
                    if isinstance(event, Done):
                        ended = Turn.Status.FINISHED
                    yield event
            ended = Turn.Status.FINISHED
        except ChatError as error:
            ended, failure = Turn.Status.FAILED, error
            raise
        except Exception:
            ended, failure = Turn.Status.FAILED, INTERNAL_ERROR
            raise
        finally:
            await recorder.close(ended or self._cut_off(), failure)
