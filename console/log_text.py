"""A line of a log as the viewer shows it: its number, its instant, and its text in runs of one style. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.terminal_text import styled_runs


@dataclass(frozen=True, slots=True)
class Line:
    """``number`` counts from 1, as editors do; ``instant`` is ISO 8601 in UTC."""

    number: int
    instant: str
    runs: tuple[tuple[str, str], ...]

    @property
    def time(self) -> str:
        """The instant as it is read without scripts, in UTC: ``2026-01-31 12:00:00.123``."""
        return self.instant.replace("T", " ").removesuffix("Z")

    def as_json(self) -> list[object]:
        """``[number, instant, text]``; a text with styles is a list of ``[characters, class names]``."""
        is_plain = not any(names for _, names in self.runs)
        return [self.number, self.instant, "".join(text for text, _ in self.runs) if is_plain else list(self.runs)]


def line_of(index: int, text: str) -> Line:
    """The line that a cluster gave as ``(index, text)``: ``text`` begins with its instant and a space."""
    instant, _, said = text.partition(" ")
    return Line(index + 1, instant, tuple(styled_runs(said)))
