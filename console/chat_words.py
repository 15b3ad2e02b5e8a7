"""What the web chat says: the sentences that its script shows too, so that both say the same."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.templatetags.slipway import seconds_words
from deployments.words import number
from inference_gateway.models import Turn
from inference_gateway.webchat.turns import stats_of

#: An answer that broke off on the way, whatever the cause: its words are kept.
BROKEN_OFF = frozenset({"engine_stream_broken", "engine_unreachable", "engine_timeout"})


def starters() -> list[str]:
    """Three questions to begin with."""
    return [
        _("Explain how a lighthouse lens works, in a few sentences."),
        _("Write a Python function that reverses the words of a sentence."),
        _("Plan a weekend in the mountains as a short list."),
    ]


def words() -> dict[str, str | list[str]]:
    """What the page's script says. ``%…%`` is filled in there; of a pair the first is for one, the other for more."""
    return {
        "send": _("Send"),
        "stop": _("Stop"),
        "copy": _("Copy"),
        "code": _("code"),
        "waiting": _("Waiting for a free instance, %s% s. Your message is kept."),
        "reading": _("Reading your message, %s% s"),
        "thinking": _("Thinking, %s% s"),
        "answering": _("Answering"),
        "stopping": _("Stopping"),
        "stopped": _("Stopped. What had been written is kept."),
        "interrupted": _("The server went away while it answered. What had been written is kept."),
        "length": _("The longest answer allowed was reached. Continue goes on from here."),
        "cutOff": pair(
            lambda n: ngettext(
                "The instance stopped after %n% token. It is kept.",
                "The instance stopped after %n% tokens. They are kept.",
                n,
            )
        ),
        "leftOut": pair(
            lambda n: ngettext(
                "The context was full: the model did not see the oldest question and its answer. They are kept here.",
                "The context was full: the model did not see the oldest %n% questions and answers. They are kept here.",
                n,
            )
        ),
        "said_finished": pair(lambda n: ngettext("Answer complete, %n% word", "Answer complete, %n% words", n)),
        "said_stopped": pair(lambda n: ngettext("Stopped after %n% word", "Stopped after %n% words", n)),
        "said_interrupted": pair(
            lambda n: ngettext(
                "The answer was interrupted after %n% word", "The answer was interrupted after %n% words", n
            )
        ),
        "brokenOff": sorted(BROKEN_OFF),
        "said_failed": _("The answer failed"),
        "firstToken": _("First token %t%"),
        "rate": _("%n% tokens/s"),
        "tokens": _("%in% tokens in, %out% out"),
        "tokensOut": _("%out% tokens out"),
        "context": _("%n% of %most%"),
        "serviceGone": _("This service is not here any more, or not for you. The conversation is kept."),
        "deleted": _("Deleted."),
        "undo": _("Undo"),
        "title": _("Title"),
        "renameFailed": _("Not renamed. Try again."),
        "deleteFailed": _("Not deleted. Try again."),
        "pinFailed": _("Not changed. Try again."),
        "loadFailed": _("The messages could not be loaded. Try again."),
    }


def pair(count: Any) -> list[str]:
    """Both forms of a counted sentence, with the number left to the script."""
    return [count(1), count(2)]


def counted(sentence: str | list[str], count: int) -> str:
    """One of ``words`` with its number."""
    form = sentence if isinstance(sentence, str) else sentence[count != 1]
    return form.replace("%n%", number(count))


def plain(sentence: str | list[str]) -> str:
    """One of ``words`` that has no forms."""
    assert isinstance(sentence, str)
    return sentence


def notice_line(turn: Turn) -> str:
    """Why an answer ends where it does, and what it was not based on; empty where there is nothing to say."""
    told = words()
    said = []
    if turn.status == Turn.Status.FAILED:
        is_broken_off = turn.answer and turn.completion_tokens and turn.error_code in BROKEN_OFF
        said.append(counted(told["cutOff"], turn.completion_tokens or 0) if is_broken_off else turn.error_sentence)
    elif turn.status in (Turn.Status.STOPPED, Turn.Status.INTERRUPTED):
        said.append(plain(told[turn.status]))
    elif turn.finish_reason == "length":
        said.append(plain(told["length"]))
    if turn.rounds_left_out:
        said.append(counted(told["leftOut"], turn.rounds_left_out))
    return " ".join(said)


def stats_line(turn: Turn) -> str:
    """The line under an answer."""
    stats, told = stats_of(turn), words()
    parts: list[str] = []
    if (wait := stats["first_token_ms"]) is not None:
        told_wait = seconds_words(wait / 1000) if wait < 1000 else _("%(count)s s") % {"count": number(wait / 1000, 1)}
        parts.append(plain(told["firstToken"]).replace("%t%", told_wait))
    if stats["tokens_per_second"] is not None:
        parts.append(plain(told["rate"]).replace("%n%", number(stats["tokens_per_second"], 1)))
    if stats["completion_tokens"] is not None:
        key = "tokensOut" if stats["prompt_tokens"] is None else "tokens"
        counts = {"%in%": stats["prompt_tokens"] or 0, "%out%": stats["completion_tokens"]}
        sentence = plain(told[key])
        for name, count in counts.items():
            sentence = sentence.replace(name, number(count))
        parts.append(sentence)
    if stats["revision"] is not None:
        parts.append(f"r{stats['revision']}")
    return " · ".join(parts)
