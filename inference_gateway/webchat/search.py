"""Finding a person's conversations by what was said in them: titles, questions and answers (console.md §6).

A word is found wherever it stands, also within another one and in languages without blanks, in either case. The
newest conversations are looked through first, a few at a time, until enough are found or the time is up; what is
left is then a page further. So a search takes a second at most, however much was ever said.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Min, Q

from deployments.models import Service
from inference_gateway.models import Conversation, Turn
from inference_gateway.webchat.turns import conversations_of

MOST_FOUND = 50
MOST_SECONDS = 1.0
LONGEST_TEXT = 200
MOST_WORDS = 8
#: Conversations looked through in one query: few at first, more while that is quick.
FEWEST_AT_ONCE, MOST_AT_ONCE = 25, 400
QUICK_SECONDS = 0.1
#: Letters of an excerpt on either side of what was found.
AROUND = 60


@dataclass(frozen=True, slots=True)
class Excerpt:
    """``match`` as it stands in the text, and what is around it."""

    before: str
    match: str
    after: str


@dataclass(frozen=True, slots=True)
class Found:
    """A conversation and its first turn that has all of the words; None where only the title has them."""

    conversation: Conversation
    turn: int | None
    excerpt: Excerpt | None


@dataclass(frozen=True, slots=True)
class Findings:
    """``before`` is where to go on, None where everything was looked through."""

    found: list[Found]
    before: str | None


def split_words(text: str) -> list[str]:
    return text.replace("\0", "")[:LONGEST_TEXT].split()[:MOST_WORDS]


def search(
    user: User,
    service: Service,
    text: str,
    before: datetime | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Findings:
    """Conversations with a service that hold every word of ``text``, the last used first."""
    words = split_words(text)
    rows = conversations_of(user, service).filter(source=Conversation.Source.WEB).order_by("-updated_at", "-pk")
    began, at_once, found = clock(), FEWEST_AT_ONCE, list[Found]()
    while words:
        part_began = clock()
        part = list((rows.filter(updated_at__lt=before) if before else rows)[:at_once])
        for one in find_in(part, words):
            found.append(one)
            if len(found) == MOST_FOUND:
                return Findings(found, one.conversation.updated_at.isoformat())
        if len(part) < at_once:
            break
        before = part[-1].updated_at
        if clock() - began > MOST_SECONDS:
            return Findings(found, before.isoformat())
        if clock() - part_began < QUICK_SECONDS:
            at_once = min(MOST_AT_ONCE, 2 * at_once)
    return Findings(found, None)


def find_in(conversations: Sequence[Conversation], words: Sequence[str]) -> list[Found]:
    """Those of ``conversations`` that have every word in their title or in one of their turns, in the same order."""
    wanted = Q(conversation_id__in=[one.pk for one in conversations])
    for word in words:
        wanted &= contains("question", word) | contains("answer", word)
    first = dict(Turn.objects.filter(wanted).values_list("conversation_id").annotate(Min("number")).order_by())
    places = Q(pk__in=[])
    for key, number in first.items():
        places |= Q(conversation_id=key, number=number)
    turns = {turn.conversation_id: turn for turn in Turn.objects.filter(places)} if first else dict[UUID, Turn]()
    found = []
    for one in conversations:
        turn = turns.get(one.pk)
        if turn is not None:
            found.append(Found(one, turn.number, cut_excerpt(turn, words)))
        elif all(word.casefold() in one.title.casefold() for word in words):
            found.append(Found(one, None, None))
    return found


def contains(column: str, word: str) -> Q:
    """SQLite's LIKE folds the case of ASCII alone; its REGEXP, which is Python's, that of every script."""
    if connection.vendor == "sqlite" and not word.isascii():
        return Q(**{f"{column}__iregex": re.escape(word)})
    return Q(**{f"{column}__icontains": word})


def cut_excerpt(turn: Turn, words: Sequence[str]) -> Excerpt | None:
    """The first of the words in the answer, else in the question, in one line."""
    for text in (turn.answer, turn.question):
        for word in words:
            match = re.search(re.escape(word), text, re.IGNORECASE)
            if match is not None:
                start, end = max(0, match.start() - AROUND), min(len(text), match.end() + AROUND)
                before = ("…" if start else "") + one_line(text[start : match.start()])
                after = one_line(text[match.end() : end]) + ("…" if end < len(text) else "")
                return Excerpt(before, match.group(), after)
    return None


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)
