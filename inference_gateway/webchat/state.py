"""What a person waiting for an answer is told about the service (console.md §6 "Service state", §7)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.translation import gettext as _

from deployments.accounts import may_change, owners_words
from deployments.models import Service, Status
from deployments.stages import Stage
from deployments.status_words import status_word
from deployments.timelines import alike_of_service
from deployments.usual import usual_times
from deployments.words import number, translated

#: Nothing happens until somebody does something.
HELPLESS = (Status.STOPPED, Status.STOPPING, Status.FAILED)
#: It will answer by itself.
COMING = (Status.CREATING, Status.WAITING, Status.STARTING)


@dataclass(frozen=True, slots=True)
class ServiceState:
    """``sentence`` is empty while the service answers; ``tone`` is idle, busy or bad."""

    status: str
    sentence: str = ""
    tone: str = "busy"

    def as_json(self) -> dict[str, str]:
        return {"status": self.status, "sentence": self.sentence, "tone": self.tone}


def find_state(user: User, service_id: int) -> ServiceState | None:
    """The state of a service now, None once it is gone: with the time that is left, and for a viewer whom to ask."""
    service = Service.objects.select_related("workspace", "wanted_revision", "serving_revision").filter(pk=service_id)
    row = service.first()
    if row is None:
        return None
    state = describe(row.name, row.status, row.sentence)
    if row.status in HELPLESS and not may_change(user, row.workspace):
        asked = _("Ask %(names)s.") % {"names": owners_words(row.workspace)}
        return replace(state, sentence=f"{state.sentence} {asked}")
    if row.status in COMING and (left := describe_time_left(row, timezone.now())):
        return replace(state, sentence=f"{state.sentence} {left}")
    return state


def describe_time_left(service: Service, now: datetime) -> str:
    """How long until the service answers, by its past starts or those of services alike; empty where there are none."""
    starting = service.instances.filter(ready_at=None).exclude(phase="Stopping").order_by("-created_at").first()
    usual = usual_times(service, alike_of_service(service)).get(Stage.READY) if starting else None
    if starting is None or usual is None:
        return ""
    passed = (now - starting.created_at).total_seconds()
    if passed > usual.slow_after_seconds:
        told = _("Longer than usual: %(passed)s, usually %(usual)s.")
        return told % {"passed": duration_words(passed), "usual": duration_words(usual.seconds)}
    return _("About %(left)s left.") % {"left": duration_words(max(1.0, usual.seconds - passed))}


def duration_words(seconds: float) -> str:
    """As in "12 s" and "1 min 52 s"."""
    whole = round(seconds)
    if whole < 60:
        return _("%(count)s s") % {"count": number(whole)}
    return _("%(minutes)s min %(seconds)s s") % {"minutes": number(whole // 60), "seconds": number(whole % 60)}


def describe(name: str, status: str, message: str) -> ServiceState:
    """A status and its step as one sentence that says what becomes of a message. Pure."""
    if status in (Status.RUNNING, Status.UPDATING, Status.SCALING):
        return ServiceState(status)
    if status in (Status.STOPPED, Status.STOPPING):
        told = _("%(name)s is stopped. Messages are kept here, and answered once it is started.")
        return ServiceState(status, told % {"name": name}, "idle")
    if status == Status.FAILED:
        told = _("%(name)s failed: %(cause)s Messages are kept here, and answered once it runs.")
        return ServiceState(status, told % {"name": name, "cause": translated(message)}, "bad")
    if status in (Status.DELETING, Status.DELETE_FAILED):
        return ServiceState(status, _("%(name)s is being deleted.") % {"name": name}, "bad")
    told = _("%(status)s: %(step)s Messages are kept, and answered once it runs.")
    return ServiceState(
        status, told % {"status": status_word(status), "step": translated(message) or _("Starting instances.")}
    )
