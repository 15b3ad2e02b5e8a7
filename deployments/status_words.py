"""What people read for the words that programs do: statuses, phases of instances, ends of programs (eas.md §4.3).

REST, the command line and the database keep EAS's own words.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy

from deployments.models import Status

STATUSES = {
    Status.CREATING: gettext_lazy("Creating"),
    Status.WAITING: gettext_lazy("Waiting"),
    Status.RUNNING: gettext_lazy("Running"),
    Status.UPDATING: gettext_lazy("Updating"),
    Status.SCALING: gettext_lazy("Scaling"),
    Status.STOPPING: gettext_lazy("Stopping"),
    Status.STOPPED: gettext_lazy("Stopped"),
    Status.STARTING: gettext_lazy("Starting"),
    Status.DELETING: gettext_lazy("Deleting"),
    Status.DELETE_FAILED: gettext_lazy("Delete failed"),
    Status.FAILED: gettext_lazy("Failed"),
}
PHASES = {
    "Pending": gettext_lazy("Waiting"),
    "Creating": gettext_lazy("Creating"),
    "Starting": gettext_lazy("Starting"),
    "Ready": gettext_lazy("Ready"),
    "BackOff": gettext_lazy("Waiting to be started again"),
    "Failed": gettext_lazy("Failed"),
    "Stopping": gettext_lazy("Stopping"),
}
EXITS = {
    "Completed": gettext_lazy("Ended by itself"),
    "Error": gettext_lazy("Ended with an error"),
    "OOMKilled": gettext_lazy("Out of memory"),
    "StartError": gettext_lazy("Could not be started"),
}


def status_word(status: str) -> str:
    """In the active language."""
    return str(STATUSES[Status(status)])


def phase_word(phase: str) -> str:
    """In the active language; a word that is not known as it is."""
    return str(PHASES.get(phase, phase))


def exit_word(reason: str) -> str:
    """In the active language; a reason that a cluster made up as it is."""
    return str(EXITS.get(reason, reason))
