"""Line charts as a page needs them: paths of an SVG, ticks, a legend, and the same numbers as a table. Pure.

A plot is 1,000 wide and 100 high, stretched to its box; whatever is written stands beside it as HTML, so that it keeps
its shape, can be selected, and is in the reader's digits. A gap is no zero: lines break there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from deployments.words import number

WIDTH, HEIGHT = 1000, 100
#: So many instants stand below a plot.
INSTANTS = 4
Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """``look`` is one of console.md §3's chart colours, 1 to 6; 0 is the day before, dashed and pale."""

    label: str
    look: int
    values: Values


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened: a line from top to bottom at ``share`` of the width, and words in row ``place``."""

    place: int
    share: float
    words: str

    @property
    def path(self) -> str:
        """``d`` of an SVG path."""
        return f"M{self.share * WIDTH:.1f} 0V{HEIGHT}"


@dataclass(frozen=True, slots=True)
class DrawnLine:
    label: str
    look: int
    path: str
    #: The newest number, "–" where there is none.
    newest: str


@dataclass(frozen=True, slots=True)
class Chart:
    """``unit`` is written beside the title and in the table's heads. Without ``lines`` there is nothing to show."""

    key: str
    title: str
    unit: str
    lines: tuple[DrawnLine, ...] = ()
    #: Of the vertical axis, from the top.
    ticks: tuple[str, ...] = ()
    instants: tuple[datetime, ...] = ()
    #: An instant, the lines' numbers, and the words of a mark that falls between it and the next.
    rows: tuple[tuple[datetime, tuple[str, ...], str], ...] = field(default=(), repr=False)
    marks: tuple[Mark, ...] = ()


def draw(
    key: str, title: str, unit: str, instants: Sequence[datetime], lines: Sequence[Line], marks: tuple[Mark, ...] = ()
) -> Chart:
    """Lines without any number are left out, but not out of a chart that has others: the reader looks for them."""
    known = [value for line in lines for value in line.values if value is not None]
    if not known:
        return Chart(key, title, unit)
    top = ceiling(max(known))
    decimals = decimals_of(top)
    drawn = [
        DrawnLine(line.label, line.look, path_of(line.values, top), written(newest(line.values), decimals))
        for line in lines
    ]
    words = {mark.place: mark.words for mark in marks}
    rows = tuple(
        (instant, tuple(written(line.values[place], decimals) for line in lines), words.get(place, ""))
        for place, instant in enumerate(instants)
    )
    ticks = tuple(number(part, max(0, 1 - math.floor(math.log10(top)))) for part in (top, top / 2, 0))
    spread = [round(place * (len(instants) - 1) / (INSTANTS - 1)) for place in range(INSTANTS)]
    return Chart(key, title, unit, tuple(drawn), ticks, tuple(instants[place] for place in spread), rows, marks)


def ceiling(most: float) -> float:
    """1, 2 or 5 times a power of ten that is not below ``most``; 1 where nothing is above 0."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= most * 0.999999)


def decimals_of(top: float) -> int:
    """Enough to tell a hundredth of the axis apart."""
    return max(0, min(4, 2 - math.floor(math.log10(top)))) if top < 100 else 0


def path_of(values: Values, top: float) -> str:
    """``d`` of an SVG path; an instant alone between gaps becomes a dot."""
    parts: list[str] = []
    has_begun = False
    for place, value in enumerate(values):
        if value is None:
            has_begun = False
            continue
        x = (place + 0.5) / len(values) * WIDTH
        y = HEIGHT - min(value / top, 1.0) * HEIGHT
        is_alone = not has_begun and (place + 1 == len(values) or values[place + 1] is None)
        parts.append(f"{'L' if has_begun else 'M'}{x:.1f} {y:.1f}" + ("h0" if is_alone else ""))
        has_begun = True
    return "".join(parts)


def newest(values: Values) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def written(value: float | None, decimals: int) -> str:
    return "–" if value is None else number(value, decimals)
