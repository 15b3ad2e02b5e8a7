"""What an open page is told of a conversation: turns begun anywhere, text from any offset, how they ended.

A turn that this process generates is followed by its events. One of another process is read from its row
every half second, so several servers need nothing but the database between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from inference_gateway.database import in_database
from inference_gateway.models import Turn
from inference_gateway.webchat.generation import (
    LOOK_EVERY_SECONDS,
    WAITING,
    WRITING,
    Generation,
    Generations,
    note_viewer,
)
from inference_gateway.webchat.turns import turn_as_json

#: How often a page looks for turns that were begun on another process.
IDLE_LOOK_SECONDS = 2.0
#: Pieces that come quicker than pages paint travel together.
PAINT_SECONDS = 0.03

Send = Callable[[dict[str, Any]], Awaitable[None]]


def count_units(text: str) -> int:
    """Length in UTF-16 code units."""
    return len(text) + sum(character > "\uffff" for character in text)


def cut_units(text: str, units: int) -> str:
    """The first ``units`` UTF-16 code units of ``text``; half a character at the cut is left out."""
    return text.encode("utf-16-le", "surrogatepass")[: 2 * units].decode("utf-16-le", "ignore")


class Follower:
    """Follows one conversation for one page, from the point that the page has reached.

    ``number`` is the newest turn that the page shows (0: none), ``units`` how much of its answer it has,
    and ``has_ended`` whether it has seen how that ended. With ``units`` None it shows another branch.
    """

    def __init__(
        self, generations: Generations, send: Send, conversation: UUID, number: int, units: int | None, has_ended: bool
    ) -> None:
        self._generations = generations
        self._send = send
        self._conversation = conversation
        self._number = number
        self._known_units = units or 0
        self._is_elsewhere = units is None
        self._has_ended = has_ended
        self._sent = ""
        self._phase = ""

    async def follow(self) -> None:
        """Until cancelled."""
        with self._generations.listening(self._conversation) as news:
            while True:
                news.clear()
                is_distant = False
                for turn in await in_database(load_turns, self._conversation, self._number):
                    is_distant = await self._follow_turn(turn)
                try:
                    pause = LOOK_EVERY_SECONDS if is_distant else IDLE_LOOK_SECONDS
                    await asyncio.wait_for(news.wait(), pause)
                except TimeoutError:
                    continue

    async def _follow_turn(self, turn: Turn) -> bool:
        """Bring the page up to date with a turn. True: it goes on, on another process."""
        if turn.number > self._number or (self._has_ended and self._goes_on(turn)):
            self._number, self._known_units, self._has_ended = turn.number, 0, False
            self._sent, self._phase, self._is_elsewhere = "", "", False
            await self._send({"type": "turn", **turn_as_json(turn)})
        if self._has_ended:
            return False
        generation = self._generations.find(turn.pk)
        if generation is not None:
            await self._follow_here(generation)
            # Its row says how it ended.
            refreshed = await in_database(load_turns, self._conversation, turn.number)
            turn = refreshed[0] if refreshed and refreshed[0].pk == turn.pk else turn
            await self._send_text(generation.text)
        else:
            await self._send_text(turn.answer)
        if turn.status == Turn.Status.GENERATING and generation is None:
            await self._send_phase(WRITING if turn.answer else WAITING)
            await in_database(note_viewer, turn.pk)
            return True
        self._has_ended = True
        await self._send({"type": "end", **turn_as_json(turn)})
        return False

    def _goes_on(self, turn: Turn) -> bool:
        """Whether an answer that had ended was taken up again, and perhaps has ended once more meanwhile."""
        units = count_units(self._sent) or self._known_units
        return turn.status == Turn.Status.GENERATING or (not self._is_elsewhere and count_units(turn.answer) != units)

    async def _follow_here(self, generation: Generation) -> None:
        with generation.watched() as changed:
            while not generation.is_over:
                changed.clear()
                await self._send_phase(generation.phase)
                await self._send_text(generation.text)
                await asyncio.sleep(PAINT_SECONDS)
                await changed.wait()

    async def _send_phase(self, phase: str) -> None:
        if phase != self._phase:
            self._phase = phase
            await self._send({"type": "phase", "turn": self._number, "phase": phase})

    async def _send_text(self, text: str) -> None:
        """What the page lacks of ``text``. The page puts it at ``offset`` and drops what it had behind that."""
        if self._known_units:
            self._sent, self._known_units = cut_units(text, self._known_units), 0
        if text == self._sent:
            return
        keeps = self._sent if text.startswith(self._sent) else ""
        await self._send(
            {"type": "text", "turn": self._number, "offset": count_units(keeps), "delta": text[len(keeps) :]}
        )
        self._sent = text


def load_turns(conversation: UUID, number: int) -> list[Turn]:
    """Turn ``number`` and those after it, oldest first."""
    rows = Turn.objects.filter(conversation_id=conversation, number__gte=number)
    return list(rows.select_related("parent").order_by("number"))
