"""One action on many services: who they are, what is said before, and what came of each (console.md §4).

Nothing is remembered between two requests: the page carries the names that are left, so a request ends after two
seconds however many there are, and the next goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from django.contrib.auth.models import User
from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.confirmations import instances_words
from deployments import lifecycle
from deployments.accounts import workspaces_to_change
from deployments.lifecycle import Conflict
from deployments.models import Desired, Instance, Service
from deployments.spec import SpecInvalid
from deployments.spec.names import NAME_PATTERN
from deployments.words import number

#: A database takes only so many names in one question.
NAMES_AT_ONCE = 500
MOST_NAMES = 20_000
SECONDS_AT_ONCE = 2.0

Part = TypeVar("Part")
VERBS: Mapping[str, Callable[[Service, User], Service]] = {
    "stop": lifecycle.stop,
    "start": lifecycle.start,
    "restart": lifecycle.restart,
    "delete": lifecycle.delete,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one service. ``is_refused``: it stays as it was, and ``said`` tells why."""

    name: str
    said: str
    is_refused: bool = False


@dataclass(slots=True)
class Report:
    """What came of those that were reached, in their order, and the names that are left."""

    outcomes: list[Outcome] = field(default_factory=list)
    rest: tuple[str, ...] = ()

    @property
    def refused(self) -> list[Outcome]:
        return [one for one in self.outcomes if one.is_refused]


def parse_names(text: str) -> tuple[str, ...]:
    """The names in a form's field, each once; what is no name is left out."""
    named = dict.fromkeys(text.split()[:MOST_NAMES])
    return tuple(name for name in named if NAME_PATTERN.fullmatch(name))


def in_parts(whole: Sequence[Part]) -> Iterator[Sequence[Part]]:
    return (whole[begin : begin + NAMES_AT_ONCE] for begin in range(0, len(whole), NAMES_AT_ONCE))


def visible_services(user: User, names: Sequence[str]) -> Iterator[Service]:
    for some in in_parts(names):
        yield from Service.objects.visible_to(user).filter(name__in=some).order_by()


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before: as ``Confirmation``, for many. ``phrase`` is what has to be typed, "" for nothing."""

    action: str
    title: str
    sentences: tuple[str, ...]
    button: str
    phrase: str = ""


def question_of(user: User, action: str, names: Sequence[str]) -> Question:
    """What ``action`` would do to those of ``names`` that it would change, in numbers."""
    changeable = frozenset(workspaces_to_change(user).values_list("pk", flat=True))
    found = list(visible_services(user, names))
    own = [one for one in found if one.workspace_id in changeable]
    touched = [one for one in own if changes(action, one)]
    count = len(touched)
    sentences = list(consequences(action, touched))
    if len(own) > count:
        sentences.append(unchanged_words(action, len(own) - count))
    if len(found) > len(own):
        viewed = len(found) - len(own)
        sentences.append(
            ngettext(
                "%(count)s may only be viewed by you and stays as it is.",
                "%(count)s may only be viewed by you and stay as they are.",
                viewed,
            )
            % {"count": number(viewed)}
        )
    titles = {
        "stop": ngettext("Stop %(count)s service?", "Stop %(count)s services?", count),
        "start": ngettext("Start %(count)s service?", "Start %(count)s services?", count),
        "restart": ngettext("Restart %(count)s service?", "Restart %(count)s services?", count),
        "delete": ngettext("Delete %(count)s service?", "Delete %(count)s services?", count),
    }
    buttons = {"stop": _("Stop"), "start": _("Start"), "restart": _("Restart"), "delete": _("Delete")}
    title = titles[action] % {"count": number(count)}
    phrase = f"delete {count}" if action == "delete" and count else ""
    return Question(action, title, tuple(sentences), buttons[action] if count else "", phrase)


def changes(action: str, service: Service) -> bool:
    """Whether the action would change anything of the service."""
    if service.desired == Desired.DELETED:
        return action == "delete"
    is_stopped = service.desired == Desired.STOPPED
    return is_stopped if action == "start" else (action == "delete" or not is_stopped)


def consequences(action: str, services: Sequence[Service]) -> Iterator[str]:
    """What happens, in numbers."""
    wanted = sum(one.wanted_instances for one in services)
    if not services:
        return
    if action == "start":
        yield _("They will run %(instances)s together.") % {"instances": instances_words(wanted)}
    elif action == "restart":
        yield _("Replaces %(instances)s, one after another in each service. Requests keep being answered.") % {
            "instances": instances_words(wanted)
        }
    else:
        running = sum(
            Instance.objects.filter(service__in=some).order_by().aggregate(number=Count("pk"))["number"]
            for some in in_parts([one.pk for one in services])
        )
        if running:
            yield ngettext(
                "%(count)s instance ends once it has answered what it is answering now.",
                "%(count)s instances end once they have answered what they are answering now.",
                running,
            ) % {"count": number(running)}
        if action == "stop":
            yield _("New requests are refused until you start them again. Nothing is deleted.")
        else:
            yield _("Their versions, logs, events and tokens are removed for good. Conversations stay readable.")


def unchanged_words(action: str, count: int) -> str:
    sentences = {
        "stop": ngettext("%(count)s is stopped already.", "%(count)s are stopped already.", count),
        "start": ngettext("%(count)s is not stopped.", "%(count)s are not stopped.", count),
        "restart": ngettext(
            "%(count)s is stopped and stays so: start it instead.",
            "%(count)s are stopped and stay so: start them instead.",
            count,
        ),
        "delete": ngettext("%(count)s is being deleted already.", "%(count)s are being deleted already.", count),
    }
    return sentences[action] % {"count": number(count)}


def carry_out(user: User, action: str, names: Sequence[str], seconds: float = SECONDS_AT_ONCE) -> Report:
    """Do it to one after another until the time is over; at least to one."""
    began, report = time.monotonic(), Report()
    changeable = frozenset(workspaces_to_change(user).values_list("pk", flat=True))
    for at, some in enumerate(in_parts(names)):
        services = {one.name: one for one in visible_services(user, some)}
        for within, name in enumerate(some):
            done = at * NAMES_AT_ONCE + within
            if done and time.monotonic() - began > seconds:
                report.rest = tuple(names[done:])
                return report
            report.outcomes.append(outcome_of(user, action, name, services.get(name), changeable))
    return report


def outcome_of(user: User, action: str, name: str, service: Service | None, changeable: frozenset[int]) -> Outcome:
    """Do it to one, and say what came of it."""
    if service is None:
        return Outcome(name, _("Nothing here of that name, or not for you."), is_refused=True)
    if service.workspace_id not in changeable:
        return Outcome(name, _("You may view it, not change it. Ask an owner."), is_refused=True)
    try:
        changed = VERBS[action](service, user)
    except Conflict as conflict:
        return Outcome(name, conflict.message, is_refused=True)
    except SpecInvalid as invalid:
        return Outcome(name, str(invalid), is_refused=True)
    if changed.generation == service.generation:
        return Outcome(name, _("Nothing to do: it was so already."))
    done = {"stop": _("Stopping"), "start": _("Starting"), "restart": _("Restarting"), "delete": _("Deleting")}
    return Outcome(name, done[action])
