"""What a person waiting for an answer is told about the service (console.md §6 "Service state", §7)."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from deployments.models import Service, Status
from deployments.words import translated


@dataclass(frozen=True, slots=True)
class ServiceState:
    """``sentence`` is empty while the service answers; ``tone`` is idle, busy or bad."""

    status: str
    sentence: str = ""
    tone: str = "busy"

    def as_json(self) -> dict[str, str]:
        return {"status": self.status, "sentence": self.sentence, "tone": self.tone}


def find_state(service_id: int) -> ServiceState | None:
    """The state of a service now, None once it is gone."""
    row = Service.objects.filter(pk=service_id).values("name", "status", "message").first()
    return describe(row["name"], row["status"], row["message"]) if row else None


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
    return ServiceState(status, told % {"status": status, "step": translated(message) or _("Starting instances.")})
