"""Sentences that are kept, and shown later to people who read different languages; numbers in their digits.

What is worded and shown in one request goes through gettext as everywhere. A ``Sentence`` is for what is stored (an
event, a status, a step) or made in one process and shown by another: it *is* its English text, so that rows, REST and
logs speak English, and it remembers the message and the values it was made of, so that a page can say it again.

Processes without Django make sentences too (the chat-llm runtime), so Django is loaded where something is translated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Value: TypeAlias = str | int | float

#: After these the next sentence follows without a space, as Chinese and Japanese are set.
FULL_WIDTH_ENDS = "。！？：；，」』）"
PERSIAN_DIGITS = str.maketrans("0123456789.,", "۰۱۲۳۴۵۶۷۸۹٫٬")


class Figure(str):
    """A number as English writes it (``32,768``, ``19.4``), shown in the reader's digits; made by ``figure``."""

    __slots__ = ()


def figure(value: float, decimals: int = 0) -> Figure:
    """With grouped thousands, as a value of a sentence that is kept. An int needs none where it stays below 1,000."""
    return Figure(f"{value:,.{decimals}f}")


@dataclass(frozen=True, slots=True)
class Said:
    """One sentence as it was made. ``plural`` is "" where nothing is counted; then ``count`` means nothing."""

    message: str
    plural: str = ""
    count: int = 0
    values: Mapping[str, Value] | None = None

    def english(self) -> str:
        text = self.message if not self.plural or self.count == 1 else self.plural
        return text if self.values is None else text % self.values

    def translated(self) -> str:
        """In the active language; in English where its translation does not take these values."""
        from django.utils.translation import gettext, ngettext  # late: see the module

        text = ngettext(self.message, self.plural, self.count) if self.plural else gettext(self.message)
        if self.values is None:
            return text
        try:
            return text % {name: show(value) for name, value in self.values.items()}
        except (KeyError, TypeError, ValueError):
            return self.english()


class Sentence(str):
    """English text with the sentences it was made of; whole sentences, one after another."""

    __slots__ = ("parts",)
    parts: tuple[Said | str, ...]

    def __new__(cls, *parts: Said | str) -> Sentence:
        made = super().__new__(cls, " ".join(part.english() if isinstance(part, Said) else part for part in parts))
        made.parts = parts
        return made

    def translated(self) -> str:
        """In the active language. Parts that are plain text (a program's last words) stay as they are."""
        text = ""
        for part in self.parts:
            said = part.translated() if isinstance(part, Said) else part
            text += said if not text or text[-1] in FULL_WIDTH_ENDS else f" {said}"
        return text

    def as_json(self) -> list[Any]:
        """For a JSON column; ``read_sentence`` is the way back."""
        return [part if isinstance(part, str) else encode(part) for part in self.parts]


def say(message: str, /, **values: Value) -> Sentence:
    """One sentence with named placeholders. Numbers are shown in the reader's digits, so write ``%(count)s``.

    A value may be a Sentence itself. The call is what the extraction of messages looks for: ``message`` is a literal.
    """
    return Sentence(Said(message, values=values or None))


def say_plural(message: str, plural: str, count: int, /, **values: Value) -> Sentence:
    """One sentence about ``count`` things; ``%(count)s`` is filled in."""
    return Sentence(Said(message, plural, count, {"count": count, **values}))


def join(*texts: str) -> Sentence:
    """Whole sentences one after another. Empty ones are left out, plain text is kept untranslated."""
    parts: list[Said | str] = []
    for text in texts:
        if isinstance(text, Sentence):
            parts += text.parts
        elif text:
            parts.append(text)
    return Sentence(*parts)


def translated(text: str) -> str:
    """A sentence in the active language; any other text as it is."""
    return text.translated() if isinstance(text, Sentence) else text


def words_of(text: str) -> list[Any]:
    """What to keep beside ``text`` so that it can be said again; empty for plain text."""
    return text.as_json() if isinstance(text, Sentence) else []


def read_sentence(text: str, words: object) -> str:
    """What ``words_of`` was given. Plain ``text`` where ``words`` are empty, wrong, or of another text."""
    if not isinstance(words, list) or not words:
        return text
    try:
        found = Sentence(*(part if isinstance(part, str) else decode(part) for part in words))
    except (AttributeError, KeyError, TypeError, ValueError):
        return text
    # A text that was changed alone is the truth: old words must not speak for it.
    return found if found == text else text


def encode(part: Said) -> dict[str, Any]:
    values = {name: encode_value(value) for name, value in (part.values or {}).items()}
    encoded: dict[str, Any] = {"message": part.message}
    if part.plural:
        encoded |= {"plural": part.plural, "count": part.count}
    return encoded | ({"values": values} if values else {})


def encode_value(value: Value) -> Any:
    if isinstance(value, Sentence):
        return {"words": value.as_json()}
    return {"figure": str(value)} if isinstance(value, Figure) else value


def decode(part: Mapping[str, Any]) -> Said:
    values = {name: decode_value(value) for name, value in part.get("values", {}).items()}
    return Said(str(part["message"]), str(part.get("plural", "")), int(part.get("count", 0)), values or None)


def decode_value(value: Any) -> Value:
    if not isinstance(value, dict):
        return value if isinstance(value, int | float) else str(value)
    if "figure" in value:
        return Figure(value["figure"])
    return Sentence(*(one if isinstance(one, str) else decode(one) for one in value["words"]))


def show(value: Value) -> str:
    """A value as it stands in a sentence of the active language."""
    if isinstance(value, Sentence):
        return value.translated()
    if isinstance(value, int | float | Figure):
        return in_digits(str(value))
    return str(value)


def number(value: float, decimals: int = 0) -> str:
    """What ``figure`` writes, for a sentence that is shown at once: 32,768 and 1.5, ۳۲٬۷۶۸ and ۱٫۵."""
    return in_digits(figure(value, decimals))


def in_digits(text: str) -> str:
    """Digits (and marks between them) of a number that is written Latin, in the active language's."""
    from django.utils.translation import get_language  # late: see the module

    return text.translate(PERSIAN_DIGITS) if (get_language() or "").startswith("fa") else text


def list_words(items: Sequence[str]) -> str:
    """The items as "a, b and c", as the active language lists."""
    if len(items) < 2:
        return "".join(items)
    from django.utils.translation import gettext as _  # late: see the module

    start = items[0]
    for item in items[1:-1]:
        start = _("%(start)s, %(next)s") % {"start": start, "next": item}
    return _("%(start)s and %(end)s") % {"start": start, "end": items[-1]}


def choice_words(items: Sequence[str]) -> str:
    """The items as "a, b or c", as the active language lists."""
    if len(items) < 2:
        return "".join(items)
    from django.utils.translation import gettext as _  # late: see the module

    start = items[0]
    for item in items[1:-1]:
        start = _("%(start)s, %(next)s") % {"start": start, "next": item}
    return _("%(start)s or %(end)s") % {"start": start, "end": items[-1]}
