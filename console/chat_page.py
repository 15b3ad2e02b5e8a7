"""What the web chat's page shows: conversations by day, a dialogue with its branches, parameters, words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from deployments.catalog import find_model, find_repository
from deployments.engines import read_command
from deployments.models import Service
from inference_gateway.codecs.eas import MOST_TOKENS, PAGE_DEFAULTS, EasDefaults
from inference_gateway.directory import read_traits
from inference_gateway.models import Conversation, Turn
from inference_gateway.webchat.turns import conversations_of, path_to, stats_of

CONVERSATIONS_A_PAGE = 50
#: Turns as HTML; older ones come on demand.
TURNS_A_PAGE = 50


@dataclass(frozen=True, slots=True)
class Day:
    """Conversations of one day under its name."""

    word: str
    conversations: list[Conversation]


@dataclass(frozen=True, slots=True)
class ShownTurn:
    """A turn with the numbers of all answers to its question, its own among them."""

    turn: Turn
    parent: int | None
    alternatives: tuple[int, ...]
    statistics: str

    @property
    def place(self) -> int:
        return self.alternatives.index(self.turn.number) + 1

    @property
    def previous(self) -> int | None:
        return self.alternatives[self.place - 2] if self.place > 1 else None

    @property
    def next(self) -> int | None:
        return self.alternatives[self.place] if self.place < len(self.alternatives) else None

    @property
    def alternatives_text(self) -> str:
        return ",".join(map(str, self.alternatives))


@dataclass(frozen=True, slots=True)
class Parameter:
    """One field of eas.md §1.3. ``unsupported`` says why it cannot be set here."""

    name: str
    label: str
    hint: str
    kind: str  # number, switch
    default: Any
    value: Any = None
    low: float | None = None
    high: float | None = None
    step: str = "any"
    unsupported: str = ""

    @property
    def default_text(self) -> str:
        if isinstance(self.default, bool):
            return _("on") if self.default else _("off")
        return str(self.default)

    @property
    def is_on(self) -> bool:
        return bool(self.default if self.value is None else self.value)


def list_conversations(user: User, service: Service, before: str | None = None) -> tuple[list[Day], str | None]:
    """Fifty conversations, newest first, by day; and where the next fifty begin, if there are more.

    ``before`` is what an earlier call returned: it goes on after that row also when others moved to the top.
    """
    rows = conversations_of(user, service).filter(source=Conversation.Source.WEB).order_by("-updated_at", "-pk")
    if before is not None and (instant := parse_instant(before)) is not None:
        rows = rows.filter(updated_at__lt=instant)
    found = list(rows[: CONVERSATIONS_A_PAGE + 1])
    shown = found[:CONVERSATIONS_A_PAGE]
    following = shown[-1].updated_at.isoformat() if len(found) > len(shown) else None
    return by_day(shown, timezone.localtime(timezone.now())), following


def parse_instant(text: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant.tzinfo is not None else None


def by_day(conversations: Iterable[Conversation], now: datetime) -> list[Day]:
    """Grouped under Today, Yesterday and dates. Pure."""
    days: list[Day] = []
    for conversation in conversations:
        word = day_word(timezone.localtime(conversation.updated_at), now)
        if not days or days[-1].word != word:
            days.append(Day(word, []))
        days[-1].conversations.append(conversation)
    return days


def day_word(instant: datetime, now: datetime) -> str:
    if instant.date() == now.date():
        return _("Today")
    if instant.date() == (now - timedelta(days=1)).date():
        return _("Yesterday")
    return date_format(instant, "DATE_FORMAT")


def show_turns(turns: Sequence[Turn], number: int | None) -> list[ShownTurn]:
    """The dialogue through turn ``number``, each turn with its alternatives."""
    numbers = {turn.pk: turn.number for turn in turns}
    siblings: dict[int | None, list[int]] = {}
    for turn in sorted(turns, key=lambda turn: turn.number):
        siblings.setdefault(turn.parent_id, []).append(turn.number)
    return [
        ShownTurn(
            turn=turn,
            parent=numbers.get(turn.parent_id or 0),
            alternatives=tuple(siblings[turn.parent_id]),
            statistics=stats_line(turn),
        )
        for turn in path_to(turns, number)
    ]


def stats_line(turn: Turn) -> str:
    """The line under an answer, in the words that the page's script uses too."""
    stats, told = stats_of(turn), words()
    parts: list[str] = []
    if (wait := stats["first_token_ms"]) is not None:
        parts.append(told["firstToken"].replace("%t%", f"{wait} ms" if wait < 1000 else f"{wait / 1000:.1f} s"))
    if stats["tokens_per_second"] is not None:
        parts.append(told["rate"].replace("%n%", f"{stats['tokens_per_second']:.1f}"))
    if stats["completion_tokens"] is not None:
        key = "tokensOut" if stats["prompt_tokens"] is None else "tokens"
        parts.append(
            told[key].replace("%in%", str(stats["prompt_tokens"])).replace("%out%", str(stats["completion_tokens"]))
        )
    if stats["revision"] is not None:
        parts.append(f"r{stats['revision']}")
    return " · ".join(parts)


def find_defaults(service: Service) -> tuple[EasDefaults, str]:
    """What a service does where a message says nothing: parameters, and the system prompt."""
    revision = service.serving_revision or service.wanted_revision
    spec = service.find_spec()
    if revision is None or spec is None:
        return PAGE_DEFAULTS, ""
    defaults = read_traits(spec).eas_defaults
    command = read_command(spec.document["containers"][0])
    named = (command.model if command else None) or ""
    model = find_model(named) or find_repository(named)
    return defaults, defaults.system_prompt or (model.default_system_prompt if model else "")


def list_parameters(defaults: EasDefaults, values: dict[str, Any]) -> list[Parameter]:
    """All of eas.md §1.3 but the dialogue itself, with this conversation's values."""

    def number(name: str, label: str, hint: str, low: float, high: float, step: str = "any") -> Parameter:
        default = getattr(defaults, name)
        return Parameter(name, label, hint, "number", default, values.get(name), low, high, step)

    return [
        number("max_new_tokens", _("Longest answer"), _("In tokens."), 1, MOST_TOKENS, "1"),
        number("temperature", _("Temperature"), _("0 gives the same answer each time."), 0, 2),
        number("top_p", _("Top P"), _("Only the likeliest words that add up to this share."), 0, 1),
        number("top_k", _("Top K"), _("Only this many of the likeliest words."), 1, MOST_TOKENS, "1"),
        Parameter(
            "do_sample", _("Sampling"), _("Off: always the likeliest word."), "switch", True, values.get("do_sample")
        ),
        Parameter(
            "use_cache", _("KV cache"), "", "switch", True, unsupported=_("Engines here always keep their cache.")
        ),
        Parameter(
            "use_stream_chat",
            _("Streaming"),
            "",
            "switch",
            True,
            unsupported=_("This page shows every answer while it is written."),
        ),
        Parameter(
            "langchain",
            _("Knowledge base"),
            "",
            "switch",
            False,
            unsupported=_("This service has no knowledge base."),
        ),
    ]


def starters() -> list[str]:
    """Three questions to begin with."""
    return [
        _("Explain how a lighthouse lens works, in a few sentences."),
        _("Write a Python function that reverses the words of a sentence."),
        _("Plan a weekend in the mountains as a short list."),
    ]


def words() -> dict[str, str]:
    """What the page's script says."""
    return {
        "send": _("Send"),
        "stop": _("Stop"),
        "copy": _("Copy"),
        "copied": _("Copied"),
        "code": _("code"),
        "waiting": _("Waiting for a free instance, %s% s. Your message is kept."),
        "reading": _("Reading your message, %s% s"),
        "thinking": _("Thinking, %s% s"),
        "answering": _("Answering"),
        "stopping": _("Stopping"),
        "stopped": _("Stopped. What had been written is kept."),
        "interrupted": _("The server went away while it answered. What had been written is kept."),
        "said_finished": _("Answer complete, %n% words"),
        "said_stopped": _("Stopped after %n% words"),
        "said_interrupted": _("The answer was interrupted after %n% words"),
        "said_failed": _("The answer failed"),
        "firstToken": _("First token %t%"),
        "rate": _("%n% tokens/s"),
        "tokens": _("%in% tokens in, %out% out"),
        "tokensOut": _("%out% tokens out"),
        "serviceGone": _("This service is not here any more, or not for you. The conversation is kept."),
        "deleted": _("Deleted."),
        "undo": _("Undo"),
        "title": _("Title"),
        "renameFailed": _("Not renamed. Try again."),
        "deleteFailed": _("Not deleted. Try again."),
    }


def find_conversation(user: User, service: Service, conversation: UUID) -> Conversation | None:
    return conversations_of(user, service).filter(pk=conversation).first()
