"""Continuous batching: dialogues join and leave between two steps of the model.

One thread owns the model. Between two steps it forgets who has left, lets who waits in while a slot is free, reads
one more piece of one new prompt, and makes one token of every dialogue that answers. A piece of a prompt is as
long as takes a quarter of a second, so that nobody waits longer for a token, and a caller who leaves is noticed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable

import torch

from inference_gateway.chat import ChatError, ChatEvent, ChatRequest, Done, Text, Usage
from inference_gateway.runtime.hugging_face.batch import Batch, Model
from inference_gateway.runtime.hugging_face.questions import Question, QuestionReader
from inference_gateway.runtime.hugging_face.sampling import Sampler
from inference_gateway.runtime.hugging_face.text import TextMaker

logger = logging.getLogger(__name__)

_PIECE_SECONDS = 0.25
_SHORTEST_PIECE, _LONGEST_PIECE = 16, 2048


class Dialogue:
    """One answer being made. The scheduler's thread calls ``tell``; the caller's sets ``has_left``."""

    def __init__(
        self,
        question: Question,
        sampler: Sampler,
        text: TextMaker,
        index: int,
        tell: Callable[[ChatEvent | ChatError], None],
    ) -> None:
        self.question = question
        self.index = index
        self.has_left = False
        self.made = 0
        self.last_token = -1
        self._sampler = sampler
        self._text = text
        self._tell = tell

    def take(self, scores: torch.Tensor, ends: frozenset[int]) -> bool:
        """Choose a token and tell its text; returns whether the answer is complete."""
        self.last_token = self._sampler.choose(scores)
        self.made += 1
        if self.last_token in ends:
            return self._end("stop")
        if text := self._text.feed(self.last_token):
            self._tell(Text(text, index=self.index))
        if self._text.has_stopped:
            return self._end("stop")
        return self._end("length") if self.made >= self.question.max_tokens else False

    def fail(self, error: ChatError) -> None:
        self._tell(error)

    def _end(self, reason: str) -> bool:
        if not self._text.has_stopped and (text := self._text.finish()):
            self._tell(Text(text, index=self.index))
            reason = "stop" if self._text.has_stopped else reason
        self._tell(Done(reason, index=self.index))
        return True


class Scheduler:
    """``start`` once; its thread ends with the process. ``slots`` dialogues are in the model at once."""

    def __init__(self, model: Model, slots: int, ends: frozenset[int]) -> None:
        self._model = model
        self._slots = slots
        self._ends = ends
        self._is_batchable = model.is_batchable()
        self._waiting: deque[Dialogue] = deque()
        self._reading: deque[_Reading] = deque()
        self._batches: list[tuple[Batch, list[Dialogue]]] = []
        self._piece_tokens = 128
        self._news = threading.Condition()

    def start(self) -> None:
        threading.Thread(target=self._run, name="scheduler", daemon=True).start()

    def submit(self, dialogue: Dialogue) -> None:
        with self._news:
            self._waiting.append(dialogue)
            self._news.notify()

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._reading or self._batches)
            self._forget_who_left()
            self._admit()
            if self._reading:
                self._read_piece(self._reading[0])
            for entry in list(self._batches):
                self._step(*entry)

    def _forget_who_left(self) -> None:
        with self._news:
            self._waiting = deque(dialogue for dialogue in self._waiting if not dialogue.has_left)
        self._reading = deque(reading for reading in self._reading if not reading.dialogue.has_left)
        for batch, dialogues in list(self._batches):
            self._keep(batch, dialogues, [not dialogue.has_left for dialogue in dialogues])

    def _admit(self) -> None:
        taken = len(self._reading) + sum(len(dialogues) for _, dialogues in self._batches)
        with self._news:
            while self._waiting and taken < self._slots:
                self._reading.append(_Reading(self._waiting.popleft(), self._model))
                taken += 1

    def _read_piece(self, reading: _Reading) -> None:
        """One piece of one prompt, in turn; a prompt at its end gives the answer's first token."""
        self._reading.rotate(-1)
        dialogue, began = reading.dialogue, time.monotonic()
        try:
            scores = reading.read(self._piece_tokens)
            if scores is None:
                taken = time.monotonic() - began
                self._piece_tokens *= 2 if taken < _PIECE_SECONDS / 2 else 1
                self._piece_tokens //= 2 if taken > _PIECE_SECONDS else 1
                self._piece_tokens = min(max(self._piece_tokens, _SHORTEST_PIECE), _LONGEST_PIECE)
                return
            self._reading.remove(reading)
            if not dialogue.take(scores[0], self._ends):
                self._join(reading)
        except Exception as error:
            if reading in self._reading:
                self._reading.remove(reading)
            self._fail([dialogue], error)

    def _join(self, reading: _Reading) -> None:
        batch = Batch(reading.cache, len(reading.dialogue.question.ids))
        if self._is_batchable and self._batches:
            together, dialogues = self._batches[0]
            together.join(batch)
            dialogues.append(reading.dialogue)
        else:
            self._batches.append((batch, [reading.dialogue]))

    def _step(self, batch: Batch, dialogues: list[Dialogue]) -> None:
        try:
            scores = batch.step(self._model, [dialogue.last_token for dialogue in dialogues])
            goes_on = [not dialogue.take(row, self._ends) for dialogue, row in zip(dialogues, scores, strict=True)]
            self._keep(batch, dialogues, goes_on)
        except Exception as error:
            self._batches = [entry for entry in self._batches if entry[0] is not batch]
            self._fail(dialogues, error)

    def _keep(self, batch: Batch, dialogues: list[Dialogue], stays: list[bool]) -> None:
        if all(stays):
            return
        if any(stays):
            rows = [row for row, one in enumerate(stays) if one]
            batch.keep(rows)
            dialogues[:] = [dialogues[row] for row in rows]
        else:
            self._batches = [entry for entry in self._batches if entry[0] is not batch]

    def _fail(self, dialogues: list[Dialogue], error: Exception) -> None:
        logger.error("A step of the model failed", exc_info=error)
        if isinstance(error, torch.OutOfMemoryError):
            told = ChatError(503, "out_of_memory", "The model's memory is full. Try a shorter dialogue, or later.")
        else:
            told = ChatError(500, "engine_error", "The model failed while it answered. Its log says why.")
        for dialogue in dialogues:
            dialogue.fail(told)


class _Reading:
    """A prompt on its way into a cache of its own."""

    def __init__(self, dialogue: Dialogue, model: Model) -> None:
        self.dialogue = dialogue
        self.cache = model.make_cache()
        self._model = model
        self._place = 0

    def read(self, tokens: int) -> torch.Tensor | None:
        """Read that many more; returns the scores of the first token of the answer at the end."""
        ids = self.dialogue.question.ids
        piece = ids[self._place : self._place + tokens]
        self._place += len(piece)
        scores = self._model.run([piece], self.cache)
        return scores if self._place == len(ids) else None


class TransformersEngine:
    """An ``Engine`` in this process."""

    def __init__(self, model: Model, reader: QuestionReader, scheduler: Scheduler, ends: frozenset[int]) -> None:
        self._model = model
        self._reader = reader
        self._scheduler = scheduler
        self._ends = ends

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Codes: ``context_length_exceeded``, ``invalid_request``, ``no_chat_template``, ``engine_error``,
        ``out_of_memory``.
        """
        questions = await asyncio.to_thread(self._reader.read, request)
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[ChatEvent | ChatError] = asyncio.Queue()

        def tell(event: ChatEvent | ChatError) -> None:
            loop.call_soon_threadsafe(told.put_nowait, event)

        dialogues = [self._begin(question, index, tell) for index, question in enumerate(questions)]
        try:
            for dialogue in dialogues:
                self._scheduler.submit(dialogue)
            is_open = len(dialogues)
            while is_open:
                event = await told.get()
                if isinstance(event, ChatError):
                    raise event
                is_open -= isinstance(event, Done)
                yield event
            # Answers to one prompt share it: it is counted once.
            prompts = [question.ids for question in questions[:: request.n]]
            yield Usage(sum(map(len, prompts)), sum(dialogue.made for dialogue in dialogues))
        finally:
            for dialogue in dialogues:
                dialogue.has_left = True

    def _begin(self, question: Question, index: int, tell: Callable[[ChatEvent | ChatError], None]) -> Dialogue:
        forbidden = tuple(self._ends) if question.ignores_end else ()
        sampler = Sampler(question.sampling, question.ids, forbidden, self._model.device)
        return Dialogue(question, sampler, TextMaker(self._reader.decode, question.ids, question.stops), index, tell)
