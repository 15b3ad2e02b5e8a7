"""Where the parts of a document stand in its text, and what no text of a document may hold. Pure."""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass

from django.utils.translation import gettext as _

from deployments.spec.spec import MAX_DEPTH
from deployments.words import number

#: Levels that are read at all; the document's own limit is said by ``ServiceSpec.parse``, with the field's words.
MAX_TEXT_DEPTH = 4 * MAX_DEPTH


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: line and column, both from 1."""

    line: int
    column: int


class TextInvalid(ValueError):
    """Text that is no document. ``place`` is where it stops being one, None for the text as a whole."""

    def __init__(self, code: str, message: str, place: Place | None = None) -> None:
        self.code = code
        self.message = message
        self.place = place
        super().__init__(message)


class NoNumber(Exception):
    """A number that no JSON document holds."""

    def __init__(self, said: str) -> None:
        self.said = said
        super().__init__(said)


def finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise NoNumber(digits)
    return value


def number_words(said: str) -> str:
    return _("%(number)s is no number that a service document can hold. Write a smaller one, or a text.") % {
        "number": said[:40]
    }


def too_deep(place: Place) -> TextInvalid:
    return TextInvalid(
        "document_too_large",
        _("The document nests too deeply here: at most %(levels)s levels.") % {"levels": number(MAX_DEPTH)},
        place,
    )


def whole_text(text: str, place: Place) -> str:
    """The text. Raises ``TextInvalid`` for what no database, shell or terminal takes."""
    if re.search("[\0\ud800-\udfff]", text):
        raise TextInvalid("text_invalid", _("This text holds a NUL or half a character. Remove it."), place)
    return text


class Lines:
    """The places of a text's characters."""

    def __init__(self, text: str) -> None:
        self.starts = [0, *(found.end() for found in re.finditer(r"\n", text))]

    def place(self, at: int) -> Place:
        line = bisect.bisect_right(self.starts, at)
        return Place(line, at - self.starts[line - 1] + 1)


class Walk:
    """A walk over a document in the order of its text, which notes the place of every path. No recursion.

    A name's place counts for its value, so that an error is shown where the line begins.
    """

    def __init__(self, lines: Lines | None = None) -> None:
        self.lines = lines
        self.places: dict[str, Place] = {}
        self.stack: list[tuple[str, str, set[str]]] = []  # kind, path, names so far
        self.counts: list[int] = []
        self.pending: str | None = None  # the path of a name whose value comes next

    @property
    def wants_name(self) -> bool:
        return bool(self.stack) and self.stack[-1][0] == "object" and self.pending is None

    def name(self, name: str, at: int | Place) -> None:
        _kind, path, names = self.stack[-1]
        place = self._place(at)
        if name in names:
            told = {"name": name[:60]}
            raise TextInvalid("name_twice", _("%(name)s is given twice. Keep one of the two.") % told, place)
        names.add(name)
        self.pending = f"{path}.{name}".lstrip(".") if path else name
        self.places.setdefault(self.pending, place)

    def value(self, at: int | Place) -> str:
        """Note a value; its path."""
        if self.pending is not None:
            path, self.pending = self.pending, None
            return path
        if not self.stack:
            path = ""
        else:
            path = f"{self.stack[-1][1]}[{self.counts[-1]}]"
            self.counts[-1] += 1
        self.places.setdefault(path, self._place(at))
        return path

    def open(self, kind: str, at: int | Place) -> None:
        path = self.value(at)
        self.stack.append((kind, path, set()))
        self.counts.append(0)

    def close(self) -> None:
        self.stack.pop()
        self.counts.pop()

    def _place(self, at: int | Place) -> Place:
        if isinstance(at, Place):
            return at
        assert self.lines is not None
        return self.lines.place(at)
