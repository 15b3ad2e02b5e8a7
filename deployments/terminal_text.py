"""What a terminal makes of a program's output: colours and weights as styles, everything else it obeys removed.

Pure. Escape sequences are ECMA-48's: control sequences (CSI), of which SGR (``ESC [ 1;31 m``) sets the style of what
follows, and operating system commands (OSC: titles, links). A style lasts to its line's end at most, for a line is
read alone: whoever forgot to reset a colour does not paint the rest of the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

SEQUENCE = re.compile(
    r"\x1b\[([0-?]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[PX^_][^\x1b]*(?:\x1b\\)?|\x1b.?"
)
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
MOST_PARAMETERS = 64


@dataclass(frozen=True, slots=True)
class Style:
    """How a run of characters looks. Colours are names of ``COLOURS`` or ""."""

    colour: str = ""
    ground: str = ""
    bold: bool = False
    faint: bool = False
    italic: bool = False
    underline: bool = False

    @property
    def names(self) -> str:
        """Class names, "" for plain text: ``ansi-red ansi-bold``."""
        named = [f"ansi-{self.colour}"] if self.colour else []
        named += [f"ansi-on-{self.ground}"] if self.ground else []
        named += [f"ansi-{name}" for name in ("bold", "faint", "italic", "underline") if getattr(self, name)]
        return " ".join(named)


PLAIN = Style()


def plain_text(text: str) -> str:
    """The text alone, as one would read it in a terminal."""
    if "\x1b" in text:
        text = SEQUENCE.sub("", text)
    return UNPRINTABLE.sub("", text)


def styled_runs(text: str) -> list[tuple[str, str]]:
    """(characters, class names) in order; runs of one style are joined, empty ones left out."""
    runs: list[tuple[str, str]] = []
    for part, style in split_styles(text):
        clean, names = UNPRINTABLE.sub("", part), style.names
        if clean and runs and runs[-1][1] == names:
            runs[-1] = (runs[-1][0] + clean, names)
        elif clean:
            runs.append((clean, names))
    return runs


def split_styles(text: str) -> Iterator[tuple[str, Style]]:
    style, at = PLAIN, 0
    for found in SEQUENCE.finditer(text):
        yield text[at : found.start()], style
        at = found.end()
        if found[2] == "m":
            style = next_style(style, found[1])
    yield text[at:], style


def next_style(style: Style, parameters: str) -> Style:
    """The style after an SGR sequence; what a terminal would not know is passed over."""
    codes = [int(part) if part.isdecimal() and len(part) < 4 else 0 for part in re.split("[;:]", parameters)]
    waiting = iter(codes[:MOST_PARAMETERS])
    for code in waiting:
        if code == 0:
            style = PLAIN
        elif code in SWITCHES:
            style = replace(style, **SWITCHES[code])  # type: ignore[arg-type]
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style = replace(style, colour=COLOURS[code % 10])
        elif 40 <= code <= 47 or 100 <= code <= 107:
            style = replace(style, ground=COLOURS[code % 10])
        elif code == 38:
            style = replace(style, colour=extended_colour(waiting))
        elif code == 48:
            style = replace(style, ground=extended_colour(waiting))
    return style


SWITCHES: dict[int, dict[str, str | bool]] = {
    1: {"bold": True},
    2: {"faint": True},
    3: {"italic": True},
    4: {"underline": True},
    22: {"bold": False, "faint": False},
    23: {"italic": False},
    24: {"underline": False},
    39: {"colour": ""},
    49: {"ground": ""},
}


def extended_colour(codes: Iterator[int]) -> str:
    """The nearest of the eight, whose contrast is known in both themes, for ``5;n`` (of 256) or ``2;r;g;b``."""
    kind = next(codes, 0)
    if kind == 5:
        number = next(codes, 0)
        if number < 16:
            return COLOURS[number % 8]
        if number >= 232:
            return "black" if number < 248 else "white"
        cube = min(number, 231) - 16
        return nearest_colour(cube // 36 * 51, cube // 6 % 6 * 51, cube % 6 * 51)
    if kind == 2:
        return nearest_colour(next(codes, 0), next(codes, 0), next(codes, 0))
    return ""


def nearest_colour(red: int, green: int, blue: int) -> str:
    """By which of the three parts are strong; greys are dark or light."""
    strongest, weakest = max(red, green, blue), min(red, green, blue)
    if strongest - weakest < 40:
        return "black" if strongest < 128 else "white"
    middle = (strongest + weakest) / 2
    return COLOURS[(red > middle) + 2 * (green > middle) + 4 * (blue > middle)]
