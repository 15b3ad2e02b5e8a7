"""The Celery application. It makes things quick, never right: see ``deployments.tasks``."""

from __future__ import annotations

import logging.config
import os
from typing import Any

from celery import Celery, beat, bootsteps
from celery.signals import beat_init, setup_logging
from django.conf import settings

from deployments.pulse import pulse_file

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

app = Celery("slipway")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["deployments", "inference_gateway"])

#: How often the worker's loop touches its file.
PULSE_SECONDS = 10.0


class Pulse(bootsteps.StartStopStep):
    """In the worker, by the timer of its loop: nothing is touched while no message could be taken either."""

    requires = ("celery.worker.components:Timer",)

    def start(self, worker: Any) -> None:
        touch = pulse_file("worker").touch
        touch()
        worker.timer.call_repeatedly(PULSE_SECONDS, touch)


class PulsingScheduler(beat.Scheduler):
    """In beat: touched with each turn, which are as far apart as the nearest entry of the schedule."""

    def tick(self, *args: Any, **options: Any) -> float:
        pulse_file("beat").touch()
        return super().tick(*args, **options)


app.steps["worker"].add(Pulse)


@setup_logging.connect
def _use_django_logging(**_: Any) -> None:
    """Keep Celery from installing handlers of its own (a receiver is all it takes)."""
    logging.config.dictConfig(settings.LOGGING)


@beat_init.connect
def _sweep_at_once(**_: Any) -> None:
    """Beat's own first sweep would come a whole interval after its start."""
    app.send_task("deployments.tasks.sweep", expires=2.0, retry=False)
