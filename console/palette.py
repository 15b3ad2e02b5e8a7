"""What the palette finds (console.md §2): services, pages, and what the person may do with a service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import Q
from django.utils.translation import gettext as _

from console.service_list import engine_words
from deployments.accounts import workspaces_to_change
from deployments.models import Desired, Service
from deployments.spec import LLM_ENGINES

MOST_ENTRIES = 12
MOST_SERVICES = 20
#: How many services are offered before anything is typed, and for an action's word alone.
RECENT_SERVICES = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. ``is_post``: choosing it does it at once, and can be undone as simply; else it opens ``href``."""

    label: str
    href: str
    icon: str
    note: str = ""
    is_post: bool = False


def find_entries(user: User, query: str) -> list[Entry]:
    """The lines for what was typed, best first. Three queries, whatever the number of services."""
    words = query.casefold().split()
    changeable = frozenset(workspaces_to_change(user).values_list("pk", flat=True))
    services = find_services(user, words)
    named = [service for service in services if all(word in service.name for word in words)]
    found = [Entry(service.name, f"/services/{service.name}", "box", service.workspace.name) for service in named]
    found.sort(key=lambda entry: (not words or not entry.label.startswith(words[0]), len(entry.label)))
    chosen = named if len(named) == 1 else [service for service in named if words == [service.name]]
    actions = [
        entry
        for service in services
        for entry in actions_of(service, may_change=service.workspace_id in changeable)
        if words and (service in chosen or has_word_of_action(entry, service, words))
    ]
    pages = [page for page in pages_of(may_deploy=bool(changeable)) if matches(page.label, words)]
    best = [*pages, *found] if words and pages and not named else [*found, *actions[: len(chosen) * MOST_ENTRIES]]
    return list(dict.fromkeys([*best, *actions, *found, *pages]))[:MOST_ENTRIES]


def find_services(user: User, words: Sequence[str]) -> list[Service]:
    """Those named by any of the words; where none is, those changed last, for "stop" may mean any of them."""
    rows = Service.objects.visible_to(user).select_related("workspace", "wanted_revision").order_by("-updated_at")
    named = Q()
    for word in words:
        named |= Q(name__contains=word)
    found = list(rows.filter(named)[: MOST_SERVICES if words else RECENT_SERVICES])
    return found or list(rows[:RECENT_SERVICES])


def has_word_of_action(entry: Entry, service: Service, words: Sequence[str]) -> bool:
    """Whether all words are of "Stop chat_a", and one of them of "Stop" and not of the name."""
    verb = entry.label.replace(service.name, "")
    return matches(entry.label, words) and any(word in verb.casefold() and word not in service.name for word in words)


def matches(label: str, words: Sequence[str]) -> bool:
    return all(word in label.casefold() for word in words)


def pages_of(*, may_deploy: bool) -> Iterator[Entry]:
    yield Entry(_("Services"), "/", "boxes", _("Page"))
    if may_deploy:
        yield Entry(_("LLM Deployment"), "/deploy/llm", "rocket", _("Page"))
        yield Entry(_("Custom Deployment"), "/deploy/custom", "sliders-horizontal", _("Page"))
    yield Entry(_("Clusters"), "/clusters", "server", _("Page"))
    yield Entry(_("Keys"), "/keys", "key-round", _("Page"))
    yield Entry(_("Usage"), "/usage", "chart-column", _("Page"))
    yield Entry(_("Workspaces and members"), "/workspaces", "users", _("Page"))
    yield Entry(_("Settings: profile"), "/settings/profile", "user", _("Page"))
    yield Entry(_("Settings: password and sessions"), "/settings/security", "shield", _("Page"))
    yield Entry(_("Settings: appearance"), "/settings/appearance", "palette", _("Page"))
    yield Entry(_("REST API"), "/api/schema/", "file-text", _("Page"))


def actions_of(service: Service, *, may_change: bool) -> Iterator[Entry]:
    """What the service's page and its menu offer this person, in their words."""
    name, base = {"name": service.name}, f"/services/{service.name}"
    if engine_words(service) in LLM_ENGINES:
        yield Entry(_("View Web App %(name)s") % name, f"{base}/chat", "message-square")
    yield Entry(_("Invocation Information %(name)s") % name, f"{base}/invocation", "terminal")
    yield Entry(_("Events %(name)s") % name, f"{base}/events", "history")
    yield Entry(_("Versions %(name)s") % name, f"{base}/versions", "arrow-left-right")
    if not may_change or service.desired == Desired.DELETED:
        return
    yield Entry(_("Logs %(name)s") % name, f"{base}/logs", "file-text")
    yield Entry(_("Online debugging %(name)s") % name, f"{base}/debug", "send")
    yield Entry(_("Update Service %(name)s") % name, f"{base}/edit", "pencil")
    if service.desired == Desired.STOPPED:
        yield Entry(_("Start %(name)s") % name, f"{base}/start", "play", is_post=True)
    else:
        yield Entry(_("Stop %(name)s") % name, f"{base}/stop", "circle-stop")
        yield Entry(_("Restart %(name)s") % name, f"{base}/restart", "rotate-cw")
    yield Entry(_("Scale %(name)s") % name, f"{base}/scale", "scaling")
    yield Entry(_("Delete %(name)s") % name, f"{base}/delete", "trash-2")
