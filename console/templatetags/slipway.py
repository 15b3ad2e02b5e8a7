"""Icons, instants and durations as console.md §7 words them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django import template
from django.contrib.auth.models import User
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import conditional_escape, escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, ngettext

from console.start_timeline import Step
from deployments.words import in_digits, number, translated

register = template.Library()

DAY = timedelta(days=1)
HIDDEN = mark_safe(" hidden")


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """An icon of the sprite in the colour of its text; decoration only, the words stand beside it."""
    classes = f"icon {extra}".strip()
    return format_html(
        '<svg class="{}" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        classes,
        static("icons.svg"),
        name,
    )


@register.filter
def ago(instant: datetime | None, now: datetime | None = None) -> SafeString | str:
    """``<time>``: "2 min ago" under a day, else the date; the exact instant with its zone as its title."""
    return "–" if instant is None else time_tag("ago", instant, relative_words(instant, now or timezone.now()))


@register.filter
def day(instant: datetime) -> SafeString:
    """``<time>``: the date alone; the exact instant as its title."""
    return time_tag("day", instant, day_words(instant))


@register.filter
def exact(instant: datetime) -> SafeString:
    """``<time>``: the instant itself, with its zone."""
    return time_tag("exact", instant, exact_words(instant))


def time_tag(form: str, instant: datetime, words: str) -> SafeString:
    """In UTC, which is all that the server knows; ``instants.js`` writes it on the reader's clock and calendar."""
    return format_html(
        '<time data-at="{}" datetime="{}" title="{}">{}</time>',
        form,
        instant.astimezone(UTC).isoformat(timespec="seconds"),
        exact_words(instant),
        words,
    )


def exact_words(instant: datetime) -> str:
    return in_digits(f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")


def day_words(instant: datetime) -> str:
    return in_digits(f"{instant.astimezone(UTC):%Y-%m-%d}")


def relative_words(instant: datetime, now: datetime) -> str:
    """How long ago, to one unit; a date from a day on."""
    passed = now - instant
    if passed >= DAY:
        return day_words(instant)
    seconds = max(0, int(passed.total_seconds()))
    if seconds < 5:
        return gettext("just now")
    if seconds < 60:
        return seconds_ago(seconds, number(seconds))
    if seconds < 3600:
        return minutes_ago(seconds // 60, number(seconds // 60))
    return hours_ago(seconds // 3600, number(seconds // 3600))


def seconds_ago(count: int, shown: str) -> str:
    return ngettext("%(count)s s ago", "%(count)s s ago", count) % {"count": shown}


def minutes_ago(count: int, shown: str) -> str:
    return ngettext("%(count)s min ago", "%(count)s min ago", count) % {"count": shown}


def hours_ago(count: int, shown: str) -> str:
    return ngettext("%(count)s h ago", "%(count)s h ago", count) % {"count": shown}


@register.simple_tag
def ago_words() -> SafeString:
    """The words that a script counts on with, as attributes. Units that are cut short have one form for all counts."""
    return format_html(
        'data-ago-now="{}" data-ago-seconds="{}" data-ago-minutes="{}" data-ago-hours="{}"',
        gettext("just now"),
        seconds_ago(2, "%n%"),
        minutes_ago(2, "%n%"),
        hours_ago(2, "%n%"),
    )


@register.filter
def reason_words(reason: str) -> str:
    """Why there is a version: as somebody wrote it, else Slipway's own word in the reader's language."""
    own = {"Created": gettext("Created"), "Updated": gettext("Updated")}
    return own.get(reason, reason)


@register.filter
def seconds_words(seconds: float | None) -> str:
    """A duration: "840 ms", "12 s", "1 min 52 s", "3 h 5 min"."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return gettext("%(count)s ms") % {"count": number(round(seconds * 1000))}
    whole = round(seconds)
    if whole < 60:
        return gettext("%(count)s s") % {"count": number(whole)}
    if whole < 3600:
        return gettext("%(minutes)s min %(seconds)s s") % {
            "minutes": number(whole // 60),
            "seconds": number(whole % 60),
        }
    return gettext("%(hours)s h %(minutes)s min") % {
        "hours": number(whole // 3600),
        "minutes": number(whole % 3600 // 60),
    }


@register.filter(name="number")
def number_words(value: float | None, decimals: int = 0) -> str:
    """A number in the reader's digits, with grouped thousands. Not for ids, and not for what a form sends back."""
    return "–" if value is None else number(value, decimals)


@register.filter
def digits(text: str) -> str:
    """A number that is written already, in the reader's digits."""
    return in_digits(text)


@register.filter
def said(text: str) -> str:
    """A sentence that is kept, in the reader's language (``deployments.words``)."""
    return translated(text)


@register.simple_tag
def unread_notices(user: User) -> int:
    """How many notices a person has not read; it came with the person (``deployments.accounts.PeopleBackend``)."""
    return int(getattr(user, "unread_notices", 0))


@register.simple_tag
def ticking(since: datetime, now: datetime) -> SafeString:
    """Seconds since an instant, as of now; a script counts on without asking."""
    seconds = max(0.0, (now - since).total_seconds())
    words = seconds_words(seconds) if seconds >= 1 else gettext("%(count)s s") % {"count": number(0)}
    return format_html('<span class="number" data-since="{}">{}</span>', since.isoformat(), words)


@register.simple_tag
def waits(step: Step) -> SafeString:
    """A step that goes on: its time and the usual one, and both ways to say it, of which a script shows the right one.

    Console.md §7, "loading" and "slow".
    """
    elapsed = ticking(step.began_at, step.now)
    word = step.word
    if step.usual is None or step.slow_at is None:
        return filled(gettext("%(step)s, %(elapsed)s."), step=word, elapsed=elapsed)
    usual = seconds_words(step.usual.seconds)
    plain = filled(gettext("%(step)s, %(elapsed)s. Usually %(usual)s."), step=word, elapsed=elapsed, usual=usual)
    slow = filled(
        gettext("%(step)s. Longer than usual: %(elapsed)s, usually %(usual)s."), step=word, elapsed=elapsed, usual=usual
    )
    return format_html(
        '<span data-hide-at="{at}"{plain_hidden}>{plain}</span><span data-show-at="{at}"{slow_hidden}>{slow}</span>',
        at=step.slow_at.isoformat(),
        plain=plain,
        plain_hidden=HIDDEN if step.is_slow else "",
        slow=slow,
        slow_hidden="" if step.is_slow else HIDDEN,
    )


def filled(text: str, **values: str) -> SafeString:
    """A translated sentence with markup as its values."""
    return mark_safe(escape(text) % {name: conditional_escape(value) for name, value in values.items()})  # noqa: S308


@register.filter(name="json")
def json_text(value: Any) -> str:
    """A JSON value on indented lines, escaped by the template like any other text."""
    return "–" if value is None else json.dumps(value, indent=2, ensure_ascii=False)
