"""The resource picker's bar: one machine's memory as rectangles, in words too (console.md §4). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from deployments.fitting import Recommendation, describe
from deployments.memory_plan import MemoryBar
from deployments.words import number

WIDTH = 1000  # of the drawing's own units


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of the bar. ``x`` and ``width`` are in thousandths of it."""

    key: str
    word: str
    gib: str
    x: int
    width: int


@dataclass(frozen=True, slots=True)
class Bar:
    """What the template draws. ``limit_x`` is where the machine ends, None where everything is within it."""

    segments: tuple[Segment, ...]
    limit_x: int | None
    caption: str
    label: str


def draw_bar(found: Recommendation, *, is_absent: bool) -> Bar:
    """The bar of a recommendation. ``is_absent``: the machine is not of this cluster."""
    bar = found.bar
    place = describe(found)
    total = _("%(total)s GiB on %(machine)s") % {"total": number(bar.total_gib, 1), "machine": place}
    caption = _("%(where)s, which is not here") % {"where": total} if is_absent else total
    segments = segments_of(bar)
    label = ", ".join(f"{one.word} {one.gib} GiB" for one in segments)
    scale = max(bar.total_gib, bar.needed_gib) or 1.0
    limit = round(bar.total_gib / scale * WIDTH) if bar.shortfall_gib else None
    return Bar(segments, limit, caption, f"{caption}: {label}")


def segments_of(bar: MemoryBar) -> tuple[Segment, ...]:
    parts = [
        ("weights", _("Weights"), bar.weights_gib),
        ("cache", _("KV cache"), bar.kv_cache_gib),
        ("runtime", _("Runtime"), bar.runtime_gib),
        ("short", _("Short"), bar.shortfall_gib) if bar.shortfall_gib else ("free", _("Free"), bar.free_gib),
    ]
    scale = max(bar.total_gib, bar.needed_gib) or 1.0
    segments, at = [], 0
    for key, word, gib in parts:
        if key == "short":
            segments.append(Segment(key, word, number(gib, 1), round(bar.total_gib / scale * WIDTH), 0))
            continue
        # A part too small to be seen still gets a sliver.
        width = min(WIDTH - at, max(4, round(gib / scale * WIDTH))) if gib else 0
        segments.append(Segment(key, word, number(gib, 1), at, width))
        at += width
    return tuple(segments)
