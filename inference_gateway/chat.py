"""The chat core: what is asked and what comes back, as plain values, whatever protocol carried them.

A protocol is a codec around these (``inference_gateway.codecs``), an engine is something that turns a
``ChatRequest`` into a stream of ``ChatEvent`` (``inference_gateway.engines``). Nothing here knows a
protocol's field names, does I/O or imports Django.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

#: Roles that a message may have, in every dialect.
ROLES = ("system", "developer", "user", "assistant", "tool", "function")


class ChatError(Exception):
    """Why a question has no (whole) answer.

    ``status`` is the HTTP status that fits before the first byte; ``code`` is stable and what programs and
    tests look at; ``message`` is a sentence for a person with the cure; ``field`` names the request's field
    at fault, as its dialect spells it.
    """

    def __init__(self, status: int, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        #: In how many seconds the engine wants to be asked again, where it said so.
        self.wait_seconds: int | None = None
        #: An account was closed with it (``accounts``): the request is not counted again where it is told.
        self.is_accounted = False


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to an engine. None means "the engine's own default".

    Either ``messages`` (a dialogue) or ``prompt`` (plain text to continue: a string, a list of strings, or
    token ids) is set. ``extra`` holds every other field of OpenAI's API as it came (tools,
    response_format, logprobs, seed, ...) and reaches the engine untouched.
    """

    messages: tuple[Mapping[str, Any], ...] = ()
    prompt: str | list[Any] | None = None
    model: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    extra: Mapping[str, Any] = field(default_factory=dict)

    def with_defaults(
        self,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
    ) -> ChatRequest:
        """The same question with what it left open filled in."""
        return replace(
            self,
            max_tokens=max_tokens if self.max_tokens is None else self.max_tokens,
            temperature=temperature if self.temperature is None else self.temperature,
            top_p=top_p if self.top_p is None else self.top_p,
            top_k=top_k if self.top_k is None else self.top_k,
        )


@dataclass(frozen=True, slots=True)
class Carried:
    """What an engine said beside the kinds of event below: carried to the caller, not understood here.

    ``delta`` lay inside the piece of message (refusal, annotations), ``choice`` beside it (logprobs),
    ``answer`` beside the list of choices (system_fingerprint, timings).
    """

    delta: Mapping[str, Any] = field(default_factory=dict)
    choice: Mapping[str, Any] = field(default_factory=dict)
    answer: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatEvent:
    """A step of an answer. ``index`` says which of the ``n`` answers (choices) it belongs to."""

    index: int = 0
    carried: Carried | None = None


@dataclass(frozen=True, slots=True)
class Text(ChatEvent):
    """The next piece of the answer. Empty where only ``carried`` matters."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning(ChatEvent):
    """The next piece of what a reasoning model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCalls(ChatEvent):
    """Pieces of tool calls in OpenAI's form; each has its own ``index`` among the calls of the choice."""

    deltas: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Done(ChatEvent):
    """The choice ``index`` is complete: ``stop``, ``length``, ``tool_calls``, ... Once for each choice."""

    finish_reason: str


@dataclass(frozen=True, slots=True)
class Usage(ChatEvent):
    """Tokens of the whole request. At most once, last. ``fields`` is the engine's whole usage object."""

    prompt_tokens: int
    completion_tokens: int
    fields: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        counted = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }
        return counted | dict(self.fields)


@dataclass(slots=True)
class Choice:
    """One answer as far as it has come."""

    text: str = ""
    reasoning: str = ""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str | None = None
    delta: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


class Answer:
    """The fold of a stream of events: feed it each event, read it at any time.

    A non-streamed answer is this at the end; a cut-off turn is this where it was cut.
    """

    def __init__(self, events: Iterable[ChatEvent] = ()) -> None:
        self._choices: dict[int, Choice] = {}
        self.usage: Usage | None = None
        self.extra: dict[str, Any] = {}
        for event in events:
            self.add(event)

    @property
    def choices(self) -> list[Choice]:
        """By index; a question for one answer that produced nothing still has its one empty choice."""
        return [self._choices[index] for index in sorted(self._choices)] or [Choice()]

    @property
    def text(self) -> str:
        """The text of the first choice, which is all that a protocol without choices can carry."""
        return self.choices[0].text

    @property
    def finish_reason(self) -> str | None:
        return self.choices[0].finish_reason

    def add(self, event: ChatEvent) -> None:
        if event.carried is not None:
            merge_fields(self.extra, event.carried.answer)
        if isinstance(event, Usage):
            self.usage = event
            return
        choice = self._choices.setdefault(event.index, Choice())
        if event.carried is not None:
            merge_fields(choice.delta, event.carried.delta, joins_text=True)
            merge_fields(choice.extra, event.carried.choice)
        match event:
            case Text():
                choice.text += event.text
            case Reasoning():
                choice.reasoning += event.text
            case ToolCalls():
                merge_tool_calls(choice.tool_calls, event.deltas)
            case Done():
                choice.finish_reason = event.finish_reason


def merge_fields(into: dict[str, Any], more: Mapping[str, Any], joins_text: bool = False) -> None:
    """Add the fields of one piece to those so far: objects by key, lists end to end, else the later wins.

    With ``joins_text`` strings are pieces and are joined.
    """
    for key, value in more.items():
        old = into.get(key)
        if isinstance(old, dict) and isinstance(value, Mapping):
            merge_fields(old, value, joins_text)
        elif isinstance(old, list) and isinstance(value, list):
            old.extend(value)
        elif joins_text and isinstance(old, str) and isinstance(value, str):
            into[key] = old + value
        elif value is not None or old is None:
            into[key] = _copied(value)


def merge_tool_calls(calls: list[dict[str, Any]], deltas: Iterable[Mapping[str, Any]]) -> None:
    """Put pieces of tool calls together: the first piece of a call has its id, type and name."""
    for delta in deltas:
        position = delta.get("index", len(calls))
        call = next((call for call in calls if call["index"] == position), None)
        if call is None:
            calls.append(call := {"index": position, "type": "function", "function": {"arguments": ""}})
        for key, value in delta.items():
            if key == "function" and isinstance(value, Mapping):
                merge_fields(call["function"], value, joins_text=True)
            elif key != "index" and value is not None:
                call[key] = value


def _copied(value: Any) -> Any:
    """The outermost containers copied, so that merging never writes into an event."""
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return list(value) if isinstance(value, list) else value
