"""How a service's status looks: word, icon and tone (console.md §3). Pure.

The badge tells what is known now. Where the cluster has been silent for half a minute the last status is not
repeated as if it were fresh: the badge says Unknown, and when it was last seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext

from console.templatetags.slipway import relative_words
from deployments.models import Service, Status
from deployments.status_words import status_word
from deployments.words import number, translated

SILENT_AFTER = timedelta(seconds=30)
UNKNOWN = "Unknown"

ICONS_AND_TONES = {
    Status.RUNNING: ("circle-check", "ok"),
    Status.STOPPING: ("square", "idle"),
    Status.STOPPED: ("square", "idle"),
    Status.DELETING: ("square", "idle"),
    Status.FAILED: ("octagon-x", "bad"),
    Status.DELETE_FAILED: ("octagon-x", "bad"),
}
IN_MOTION = ("loader", "accent")


@dataclass(frozen=True, slots=True)
class Badge:
    """``status`` is EAS's word, or ``Unknown``; ``word`` is what people read."""

    status: str
    word: str
    icon: str
    tone: str


def badge_of(service: Service, ready: int, now: datetime, heard_at: datetime | None = None) -> Badge:
    """The badge of a service of which ``ready`` instances answer. ``heard_at`` is ``Cluster.heard_at``."""
    status = Status(service.status)
    if is_silent(service, now, heard_at):
        seen = relative_words(seen_at(service, now, heard_at), now)
        return Badge(UNKNOWN, gettext("Unknown, seen %(ago)s") % {"ago": seen}, "circle-help", "unknown")
    if status == Status.RUNNING and ready < service.wanted_instances:
        word = gettext("Running %(ready)s/%(wanted)s") % {
            "ready": number(ready),
            "wanted": number(service.wanted_instances),
        }
        return Badge(status, word, "circle-alert", "warn")
    icon, tone = ICONS_AND_TONES.get(status, IN_MOTION)
    return Badge(status, status_word(status), icon, tone)


def is_silent(service: Service, now: datetime, heard_at: datetime | None = None) -> bool:
    """Whether nobody has been able to look for half a minute. Stopped services are looked at rarely, and rest."""
    if service.status == Status.STOPPED:
        return False
    # What was asked a moment ago cannot have been seen yet, so silence counts from the later of the two.
    since = max(seen_at(service, now, heard_at), service.progress_since)
    return now - since > SILENT_AFTER


def seen_at(service: Service, now: datetime, heard_at: datetime | None) -> datetime:
    """When the cluster last told how the service is.

    A platform that tells by itself had nothing to tell since the last look, unless a look is due that nobody takes.
    """
    looked_at = service.observed_at or service.created_at
    is_overdue = now - service.next_check_at > SILENT_AFTER
    if heard_at is None or service.observed_at is None or is_overdue:
        return looked_at
    return max(looked_at, heard_at)


def step_of(service: Service) -> str:
    """The sentence under the badge, where the badge does not say it all."""
    if service.status == Status.RUNNING and service.reason == "RUNNING":
        return ""
    return translated(service.sentence)
