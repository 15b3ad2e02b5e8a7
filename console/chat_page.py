"""What the web chat's page shows of a dialogue: its turns with their branches, parameters, the context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from console.chat_words import notice_line, plain, stats_line, words
from deployments.catalog import find_model, find_repository
from deployments.engines import read_command
from deployments.models import Service
from deployments.words import number
from inference_gateway.codecs.eas import MOST_TOKENS, PAGE_DEFAULTS, EasDefaults
from inference_gateway.directory import read_traits
from inference_gateway.models import Conversation, Turn
from inference_gateway.runtime.model_files import MOST_DEFAULT_CONTEXT
from inference_gateway.webchat.continuing import is_continuable
from inference_gateway.webchat.turns import conversations_of, dict_by_pk, load_outline, path_to, stats_of

#: Turns as HTML at first, fifty messages (console.md §6); others come on demand.
TURNS_A_PAGE = 25
#: Flags that set the context, the runtime's and vLLM's.
CONTEXT_FLAGS = ("context", "max-model-len")
#: Turns shown before one in the middle of a dialogue that was asked for.
TURNS_BEFORE = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the address asks for, by turn numbers: the branch through ``turn``, of it the part before or after."""

    turn: int | None = None
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True, slots=True)
class ShownTurn:
    """A turn with the numbers of all answers to its question, its own among them."""

    turn: Turn
    parent: int | None
    alternatives: tuple[int, ...]
    statistics: str
    notice: str

    @property
    def is_continuable(self) -> bool:
        return is_continuable(self.turn)

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
class Window:
    """Turns that follow each other. ``leaf`` is the last of their branch, ``latest`` of the conversation; 0: none."""

    turns: list[ShownTurn]
    has_earlier: bool
    has_later: bool
    leaf: int
    latest: int


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


def show_turns(conversation: UUID, wanted: Wanted) -> Window:
    """The part of a conversation that a page shows, in two queries however long it is."""
    outline = load_outline(conversation)
    path = path_to(outline, wanted.turn)
    numbers = {turn.pk: turn.number for turn in outline}
    siblings: dict[int | None, list[int]] = {}
    for turn in outline:
        siblings.setdefault(turn.parent_id, []).append(turn.number)
    first, last = cut_window([turn.number for turn in path], wanted)
    full = dict_by_pk(Turn.objects.filter(pk__in=[turn.pk for turn in path[first:last]])) if path else {}
    shown = [
        ShownTurn(
            turn=full[turn.pk],
            parent=numbers.get(turn.parent_id or 0),
            alternatives=tuple(siblings[turn.parent_id]),
            statistics=stats_line(full[turn.pk]),
            notice=notice_line(full[turn.pk]),
        )
        for turn in path[first:last]
        if turn.pk in full
    ]
    return Window(
        turns=shown,
        has_earlier=first > 0,
        has_later=last < len(path),
        leaf=path[-1].number if path else 0,
        latest=outline[-1].number if outline else 0,
    )


def cut_window(path: Sequence[int], wanted: Wanted) -> tuple[int, int]:
    """Where in a dialogue's turns the part to show begins and ends: its end, unless something else is wanted. Pure."""
    if wanted.before in path:
        end = path.index(wanted.before)
        return max(0, end - TURNS_A_PAGE), end
    if wanted.after in path:
        first = path.index(wanted.after) + 1
        return first, min(len(path), first + TURNS_A_PAGE)
    newest = max(0, len(path) - TURNS_A_PAGE)
    place = path.index(wanted.turn) if wanted.turn in path else newest
    if place >= newest:
        return newest, len(path)
    first = max(0, place - TURNS_BEFORE)
    return first, first + TURNS_A_PAGE


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

    def number_field(name: str, label: str, hint: str, low: float, high: float, step: str = "any") -> Parameter:
        default = getattr(defaults, name)
        return Parameter(name, label, hint, "number", default, values.get(name), low, high, step)

    return [
        number_field("max_new_tokens", _("Longest answer"), _("In tokens."), 1, MOST_TOKENS, "1"),
        number_field("temperature", _("Temperature"), _("0 gives the same answer each time."), 0, 2),
        number_field("top_p", _("Top P"), _("Only the likeliest words that add up to this share."), 0, 1),
        number_field("top_k", _("Top K"), _("Only this many of the likeliest words."), 1, MOST_TOKENS, "1"),
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


def find_conversation(user: User, service: Service, conversation: UUID) -> Conversation | None:
    return conversations_of(user, service).filter(pk=conversation).first()


@dataclass(frozen=True, slots=True)
class Context:
    """How many tokens a dialogue may have, and who says so. ``tokens`` is None where nobody does."""

    tokens: int | None
    source: str


def find_context(service: Service) -> Context:
    """The context of the revision that serves: its command's, else the model's as its engine takes it."""
    revision = service.serving_revision or service.wanted_revision
    spec = service.find_spec()
    command = read_command(spec.document["containers"][0]) if spec is not None else None
    if revision is None or command is None:
        return Context(None, _("How much the model takes in is not known here."))
    for flag in CONTEXT_FLAGS:
        if (given := command.arguments.find(flag)) is not None and given.isdecimal():
            told = _("Set by %(flag)s in the command of %(revision)s.")
            return Context(int(given), told % {"flag": f"--{flag}", "revision": f"r{revision.number}"})
    named = command.model or ""
    model = find_model(named) or find_repository(named)
    if model is None:
        return Context(None, _("How much the model takes in is not known here."))
    most = model.context_tokens
    if command.recipe.label == "chat-llm":
        most = min(most, MOST_DEFAULT_CONTEXT)
    return Context(most, _("What %(model)s takes in, as the catalog has it.") % {"model": model.name})


def used_context(window: Window) -> int | None:
    """Tokens that the newest shown answer and all before it took, as the engine counted; None unknown."""
    stats = stats_of(window.turns[-1].turn) if window.turns else {}
    return stats.get("context_tokens")


def parameters_of_branch(conversation: Conversation, window: Window) -> tuple[dict[str, Any], str]:
    """The parameters and the system prompt that the next message starts with: those of the branch's last question."""
    last = window.turns[-1].turn if window.turns else None
    if last is None or last.number == window.latest or window.has_later:
        return conversation.parameters, conversation.system_prompt
    parameters = dict(last.parameters)
    return parameters, str(parameters.pop("system_prompt", ""))


def context_words(used: int | None, context: Context) -> str:
    """As in "3,210 of 8,192"; the first number alone where the second is not known."""
    if used is None:
        return ""
    if context.tokens is None:
        return number(used)
    told = plain(words()["context"]).replace("%n%", number(used))
    return told.replace("%most%", number(context.tokens))
